#ifndef WEFT_FIBER_GATHER_H_
#define WEFT_FIBER_GATHER_H_

#include <cstddef>
#include <functional>
#include <iterator>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "weft/fiber/call.h"
#include "weft/fiber/cancel.h"
#include "weft/fiber/task_group.h"

namespace weft {

template <class F>
using GatheredResult = std::conditional_t<std::is_void_v<std::invoke_result_t<F&>>, std::monostate,
                                          std::decay_t<std::invoke_result_t<F&>>>;

// A child that was cancelled, by what it waited for and not with the group, has no result.
template <class T>
T&& gathered(std::optional<T>& result) {
  if (!result) throw TaskCancelled();
  return std::move(*result);
}

template <class R>
concept CallableRange = requires(R& range) {
  std::begin(range) != std::end(range);
  std::invoke(*std::begin(range));
};

// Has start(group) spawn children, and waits until they have ended, also where that fails or the
// caller is cancelled. Throws what came first, but the failure of a child rather than Cancelled:
// nothing is left to be told to the exception handler.
template <class Start>
void run_group(Start start) {
  TaskGroup group;
  try {
    start(group);
    group.join();
  } catch (const Cancelled&) {
    group.cancel();
    const ShieldScope unwatched;
    group.join();
    throw;
  } catch (...) {
    group.cancel();
    const ShieldScope unwatched;
    try {
      group.join();
    } catch (...) {  // a consequence
    }
    throw;
  }
}

// Runs the callables at once, each as a fiber, and waits until all have ended. Returns their
// results in the order of the arguments: a tuple, with std::monostate for void.
//
// The first exception cancels the rest; when all have ended it is thrown. A cancellation of the
// caller cancels all of them likewise; if one of them then fails, that is thrown. A cancellation
// point. The callables are used in place, not copied. Throws std::invalid_argument if one is null,
// and as spawn() does.
template <class... F>
auto gather(F&&... fs) -> std::tuple<GatheredResult<F>...> {
  (checked_callable(fs, "gather"), ...);
  std::tuple<std::optional<GatheredResult<F>>...> results;
  run_group([&](TaskGroup& group) {
    std::apply(
        [&](auto&... result) {
          (group.spawn([&f = fs, &result] {
            if constexpr (std::is_void_v<std::invoke_result_t<decltype(f)>>) {
              std::invoke(f);
              result.emplace();
            } else {
              result.emplace(std::invoke(f));
            }
          }),
           ...);
        },
        results);
  });
  return std::apply(
      [](auto&... result) { return std::tuple<GatheredResult<F>...>(gathered(result)...); },
      results);
}

// gather() of a range, with place(i) as the options of the i-th.
template <class R, class Place>
auto gather_placed(R& range, Place place) {
  using Result = std::invoke_result_t<decltype(*std::begin(range))>;
  if constexpr (std::is_void_v<Result>) {
    run_group([&](TaskGroup& group) {
      for (std::size_t i = 0; auto& f : range) {
        group.spawn([&f = checked_callable(f, "gather")] { std::invoke(f); }, place(i++));
      }
    });
  } else {
    std::vector<std::optional<std::decay_t<Result>>> slots(
        static_cast<std::size_t>(std::distance(std::begin(range), std::end(range))));
    run_group([&](TaskGroup& group) {
      for (std::size_t i = 0; auto& f : range) {
        group.spawn([&f = checked_callable(f, "gather"),
                     &result = slots[i]] { result.emplace(std::invoke(f)); },
                    place(i));
        ++i;
      }
    });
    std::vector<std::decay_t<Result>> results;
    results.reserve(slots.size());
    for (auto& result : slots) results.push_back(gathered(result));
    return results;
  }
}

// The same for a range of callables: returns a vector, or nothing if they return nothing.
template <CallableRange R>
auto gather(R&& range) {
  return gather_placed(range, [](std::size_t) { return SpawnOptions(); });
}

}  // namespace weft

#endif  // WEFT_FIBER_GATHER_H_
