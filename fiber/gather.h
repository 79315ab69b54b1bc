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

#include "weft/fiber/core/call.h"
#include "weft/fiber/core/cancel_scope.h"
#include "weft/fiber/core/elements.h"
#include "weft/fiber/outcome.h"
#include "weft/fiber/task_group.h"

namespace weft {

template <class F>
using GatheredResult = std::conditional_t<std::is_void_v<std::invoke_result_t<F&>>, std::monostate,
                                          std::decay_t<std::invoke_result_t<F&>>>;

// f()'s result, as it is gathered.
template <class T, class F>
T call_to_gather(F& f) {
  return std::invoke(f);
}

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

// Runs the callables at once, each as a fiber, and waits until all have ended. Returns their
// results in the order of the arguments: a tuple, with std::monostate for void.
//
//   auto [user, cart] = weft::gather([&] { return find_user(id); }, [&] { return cart_of(id); });
//
// The first exception cancels the rest; when all have ended it is thrown, and what else they have
// thrown, mostly consequences, is dropped: gather_all() keeps all. A cancellation of the caller
// cancels all of them likewise; if one of them then fails, that is thrown. A cancellation point.
// The callables are used in place, not copied. Results that are references are copied, those that
// can be neither moved nor copied do not compile. Throws std::invalid_argument if one is null, and
// as spawn() does.
template <class... F>
auto gather(F&&... fs) -> std::tuple<GatheredResult<F>...> {
  static_assert((kCanBeReturned<GatheredResult<F>> && ...),
                "a result can be neither moved nor copied: return a pointer");
  (checked_callable(fs, "gather"), ...);
  std::tuple<std::optional<GatheredResult<F>>...> results;
  with_task_group([&](TaskGroup& group) {
    std::apply(
        [&](auto&... result) {
          (group.spawn([&f = fs, &result] {
            if constexpr (std::is_void_v<std::invoke_result_t<decltype(f)>>) {
              std::invoke(f);
              result.emplace();
            } else {
              result.emplace(call_to_gather<GatheredResult<decltype(f)>>(f));
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
  Elements<R> fs(range);
  using Result = std::invoke_result_t<decltype(fs[0])>;
  if constexpr (std::is_void_v<Result>) {
    with_task_group([&](TaskGroup& group) {
      for (std::size_t i = 0; i < fs.size(); ++i) {
        group.spawn([&f = checked_callable(fs[i], "gather")] { std::invoke(f); }, place(i));
      }
    });
  } else {
    static_assert(kCanBeReturned<std::decay_t<Result>>,
                  "a result can be neither moved nor copied: return a pointer");
    std::vector<std::optional<std::decay_t<Result>>> slots(fs.size());
    with_task_group([&](TaskGroup& group) {
      for (std::size_t i = 0; i < fs.size(); ++i) {
        group.spawn(
            [&f = checked_callable(fs[i], "gather"), &result = slots[i]] {
              result.emplace(call_to_gather<std::decay_t<Result>>(f));
            },
            place(i));
      }
    });
    std::vector<std::decay_t<Result>> results;
    results.reserve(slots.size());
    for (auto& result : slots) results.push_back(gathered(result));
    return results;
  }
}

// The same for a range of callables, also const, or a view, which is run through once: returns a
// vector, or nothing if they return nothing.
template <CallableRange R>
auto gather(R&& range) {
  return gather_placed(range, [](std::size_t) { return SpawnOptions(); });
}

// A child of gather_all(). It is cancelled only if the caller is. Then its failure is thrown, not
// kept.
template <class T, class F>
void settle(F& f, std::optional<Outcome<T>>& outcome) {
  const auto cancelled = [] { return Scheduler::current_fiber()->cancel_requested; };
  try {
    outcome.emplace(Outcome<T>::of(f));
  } catch (const Cancelled&) {
    if (cancelled()) throw;
    outcome.emplace(Outcome<T>::failed(std::current_exception()));  // another task's
  }
  if (!*outcome && cancelled()) std::rethrow_exception(outcome->exception());
}

// A child without an outcome was cancelled.
template <class T>
Outcome<T> settled(std::optional<Outcome<T>>& outcome) {
  if (outcome) return std::move(*outcome);
  return Outcome<T>::failed(std::make_exception_ptr(TaskCancelled()));
}

// Runs the callables at once, each as a fiber, and waits until all have ended, whatever they end
// with: a failure cancels nobody. Returns a value or an exception of each, in the order of the
// arguments: a tuple of Outcome (asyncio's gather with return_exceptions).
//
//   for (auto& page : weft::gather_all(fetches)) page ? show(*page) : log(page.exception());
//
// A cancellation of the caller cancels all of them; when they have ended throws what the first of
// them then failed with, or else Cancelled. Otherwise as gather().
template <class... F>
auto gather_all(F&&... fs) -> std::tuple<Outcome<ResultOf<F&>>...> {
  static_assert((kCanBeReturned<std::invoke_result_t<F&>> && ...),
                "a result can be neither moved nor copied: return a pointer");
  (checked_callable(fs, "gather_all"), ...);
  std::tuple<std::optional<Outcome<ResultOf<F&>>>...> outcomes;
  with_task_group([&](TaskGroup& group) {
    std::apply(
        [&](auto&... outcome) {
          (group.spawn([&f = fs, &outcome] { weft::settle(f, outcome); }), ...);
        },
        outcomes);
  });
  return std::apply([](auto&... outcome) { return std::make_tuple(settled(outcome)...); },
                    outcomes);
}

// gather_all() of a range, with place(i) as the options of the i-th.
template <class R, class Place>
auto gather_all_placed(R& range, Place place) {
  Elements<R> fs(range);
  using T = ResultOf<decltype(fs[0])>;
  static_assert(kCanBeReturned<T>, "a result can be neither moved nor copied: return a pointer");
  std::vector<std::optional<Outcome<T>>> slots(fs.size());
  with_task_group([&](TaskGroup& group) {
    for (std::size_t i = 0; i < fs.size(); ++i) {
      group.spawn(
          [&f = checked_callable(fs[i], "gather_all"), &slot = slots[i]] { weft::settle(f, slot); },
          place(i));
    }
  });
  std::vector<Outcome<T>> outcomes;
  outcomes.reserve(slots.size());
  for (auto& slot : slots) outcomes.push_back(settled(slot));
  return outcomes;
}

// The same for a range of callables: returns a vector.
template <CallableRange R>
auto gather_all(R&& range) {
  return gather_all_placed(range, [](std::size_t) { return SpawnOptions(); });
}

}  // namespace weft

#endif  // WEFT_FIBER_GATHER_H_
