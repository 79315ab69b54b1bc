#ifndef WEFT_FIBER_GATHER_H_
#define WEFT_FIBER_GATHER_H_

#include <cstddef>
#include <exception>
#include <functional>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "weft/fiber/cancel.h"
#include "weft/fiber/cancel_scope.h"
#include "weft/fiber/core/callable.h"
#include "weft/fiber/outcome.h"
#include "weft/fiber/task_group.h"
#include "weft/fiber/wait.h"

namespace weft {

namespace internal {

template <class F>
using GatheredResult = std::conditional_t<std::is_void_v<std::invoke_result_t<F&>>, std::monostate,
                                          std::decay_t<std::invoke_result_t<F&>>>;

template <class R>
concept CallableRange = requires(R& range) {
  std::begin(range) != std::end(range);
  std::invoke(*std::begin(range));
};

}  // namespace internal

// Runs the callables at once, each as a fiber, and waits until all have ended. Returns their
// results in the order of the arguments: a tuple, with std::monostate for void.
//
//   auto [user, cart] = weft::gather([&] { return find_user(id); }, [&] { return cart_of(id); });
//   std::vector<std::function<Page()>> loads = loads_of(cart);
//   std::vector<Page> pages = weft::gather(loads);
//
// The first exception cancels the rest; when all have ended it is thrown, and what else they have
// thrown, mostly consequences, is dropped: gather_all() keeps all. A cancellation of the caller
// cancels all of them likewise; if one of them then fails, that is thrown. A cancellation point.
// The callables are used in place, not copied. Results that are references are copied, those that
// can be neither moved nor copied do not compile. Throws std::invalid_argument if one is null, and
// as spawn() does.
template <class... F>
auto gather(F&&... fs) -> std::tuple<internal::GatheredResult<F>...>;

// The same for a range of callables, also const, or a view, which is run through once: returns a
// vector, or nothing if they return nothing.
template <internal::CallableRange R>
auto gather(R&& range);

// Runs the callables at once, each as a fiber, and waits until all have ended, whatever they end
// with: a failure cancels nobody. Returns a value or an exception of each, in the order of the
// arguments: a tuple of Outcome (asyncio's gather with return_exceptions).
//
//   for (auto& page : weft::gather_all(fetches)) page ? show(*page) : log(page.exception());
//
// A cancellation of the caller cancels all of them; when they have ended throws what the first of
// them then failed with, or else Cancelled. Otherwise as gather().
template <class... F>
auto gather_all(F&&... fs) -> std::tuple<Outcome<internal::ResultOf<F&>>...>;

// The same for a range of callables: returns a vector.
template <internal::CallableRange R>
auto gather_all(R&& range);

struct RaceOptions {
  // When the next callable begins: as soon as the one before has ended, but at the latest after
  // this time. Zero or less: all begin at once. Duration::max(): one after the other.
  AnyDuration stagger = {};
};

// What race() throws if all have failed.
struct RaceFailed : std::runtime_error {
  RaceFailed() : std::runtime_error("weft::race: all have failed") {}
  std::vector<std::exception_ptr> failures;  // one of each, in the order of the arguments
};

// Runs the callables, each as a fiber, and returns the result of the first that succeeds. The rest
// are then cancelled and waited for; what they return or throw is dropped. (asyncio's
// staggered_race, JavaScript's Promise.any.)
//
//   Page page = weft::race([&] { return from(mirror); }, [&] { return from(origin); });
//   weft::race(ask_a, ask_b, weft::RaceOptions{.stagger = 250ms});  // the last argument
//   std::vector<std::function<TcpStream()>> attempts = attempts_at(addresses);
//   TcpStream stream = weft::race(attempts, {.stagger = 250ms});  // as RFC 8305 has it
//
// A failure cancels no other callable; if all fail, throws RaceFailed. With a stagger, those that
// have not begun when the first succeeds never do. A cancellation of the caller cancels all of
// them; when they have ended throws Cancelled, even if one of them had succeeded. A cancellation
// point. All results have the same type; see gather() for what it may be. The callables are used in
// place, not copied. Throws std::invalid_argument if there are none, or one is null, and as spawn()
// does.
template <class F, class... Rest>
requires std::is_invocable_v<F&>
auto race(F&& f, Rest&&... rest) -> internal::ResultOf<F&>;

// The same for a range of callables.
template <internal::CallableRange R>
decltype(auto) race(R&& range, RaceOptions options = {});

// ---- Implementation -----------------------------------------------------------------------------

namespace internal {

// f()'s result, as gather() keeps it.
template <class T, class F>
T call_to_gather(F& f) {
  return std::invoke(f);
}
struct KeepResult {
  template <class F, class T>
  void operator()(F& f, std::optional<T>& slot) const {
    if constexpr (std::is_void_v<std::invoke_result_t<F&>>) {
      std::invoke(f);
      slot.emplace();
    } else {
      slot.emplace(call_to_gather<T>(f));
    }
  }
};

// A child that was cancelled, by what it waited for and not with the group, has no result.
template <class T>
T&& gathered(std::optional<T>& result) {
  if (!result) throw TaskCancelled();
  return std::move(*result);
}

// The outcome of f(), as gather_all() keeps it. The child is cancelled only if the caller is. Then
// its failure is thrown, not kept.
struct KeepOutcome {
  template <class F, class T>
  void operator()(F& f, std::optional<Outcome<T>>& slot) const {
    try {
      slot.emplace(Outcome<T>::of(f));
    } catch (const Cancelled&) {
      if (current_fiber()->cancel_requested) throw;
      slot.emplace(Outcome<T>::failed(std::current_exception()));  // another task's
    }
    if (!*slot && current_fiber()->cancel_requested) std::rethrow_exception(slot->exception());
  }
};

// A child without an outcome was cancelled.
template <class T>
Outcome<T> settled(std::optional<Outcome<T>>& outcome) {
  if (outcome) return std::move(*outcome);
  return Outcome<T>::failed(std::make_exception_ptr(TaskCancelled()));
}

// Calls keep(f, slot) for each of the callables and its slot, as the children of one group.
template <class Keep, class... Slots, class... F>
void gather_into(std::tuple<Slots...>& slots, Keep keep, F&... fs) {
  with_task_group([&](TaskGroup& group) {
    std::apply([&](Slots&... slot) { (group.spawn([&] { keep(fs, slot); }), ...); }, slots);
  });
}

// The same for a range, with place(i) as the options of the i-th. Returns the slots.
template <class Slot, class R, class Place, class Keep>
std::vector<Slot> gather_range(R& range, const char* caller, Place place, Keep keep) {
  Elements<R> fs(range);
  std::vector<Slot> slots(fs.size());
  with_task_group([&](TaskGroup& group) {
    for (std::size_t i = 0; i < fs.size(); ++i) {
      group.spawn([&, &f = checked_callable(fs[i], caller), &slot = slots[i]] { keep(f, slot); },
                  place(i));
    }
  });
  return slots;
}

template <class T, class Slot, class Take>
std::vector<T> taken_from(std::vector<Slot>& slots, Take take) {
  std::vector<T> results;
  results.reserve(slots.size());
  for (Slot& slot : slots) results.push_back(take(slot));
  return results;
}

template <class R>
using ElementOf = std::remove_reference_t<decltype(std::declval<Elements<R>&>()[0])>;

template <class R, class Place>
auto gather_placed(R& range, Place place) {
  using T = GatheredResult<ElementOf<R>>;
  static_assert(kCanBeReturned<T>, "a result can be neither moved nor copied: return a pointer");
  auto slots = gather_range<std::optional<T>>(range, "gather", place, KeepResult());
  if constexpr (!std::is_void_v<std::invoke_result_t<ElementOf<R>&>>) {
    return taken_from<T>(slots, gathered<T>);
  }
}

template <class R, class Place>
auto gather_all_placed(R& range, Place place) {
  using T = ResultOf<ElementOf<R>&>;
  static_assert(kCanBeReturned<T>, "a result can be neither moved nor copied: return a pointer");
  auto slots = gather_range<std::optional<Outcome<T>>>(range, "gather_all", place, KeepOutcome());
  return taken_from<Outcome<T>>(slots, settled<T>);
}

inline SpawnOptions here(std::size_t) { return {}; }

// The fibers of a race. All are cancelled before the first is waited for.
struct Racers {
  ~Racers() {
    cancel();
    const auto going = std::move(tasks);  // one that succeeds yet has none to cancel
  }
  void cancel() {
    for (Task<void>& task : tasks) task.cancel();
  }
  std::vector<Task<void>> tasks;
};

// Runs attempt(0) to attempt(count - 1) as race() does; each returns whether it has succeeded.
// Returns the first that has, or else `count`, when all have ended.
template <class Attempt>
std::size_t first_success(std::size_t count, Duration stagger, Attempt attempt) {
  std::size_t winner = count;
  Racers racers;
  while (winner == count && racers.tasks.size() < count) {
    racers.tasks.push_back(spawn([&, i = racers.tasks.size()] {
      if (!attempt(i) || winner != count) return;
      winner = i;
      racers.cancel();  // also the one that began last, which may be waited for below
    }));
    if (stagger > Duration::zero()) racers.tasks.back().wait_for(stagger);
  }
  weft::wait(racers.tasks);
  return winner;
}

}  // namespace internal

template <class... F>
auto gather(F&&... fs) -> std::tuple<internal::GatheredResult<F>...> {
  static_assert((internal::kCanBeReturned<internal::GatheredResult<F>> && ...),
                "a result can be neither moved nor copied: return a pointer");
  (internal::checked_callable(fs, "gather"), ...);
  std::tuple<std::optional<internal::GatheredResult<F>>...> slots;
  internal::gather_into(slots, internal::KeepResult(), fs...);
  return std::apply(
      [](auto&... slot) {
        return std::tuple<internal::GatheredResult<F>...>(internal::gathered(slot)...);
      },
      slots);
}

template <internal::CallableRange R>
auto gather(R&& range) {
  return internal::gather_placed(range, internal::here);
}

template <class... F>
auto gather_all(F&&... fs) -> std::tuple<Outcome<internal::ResultOf<F&>>...> {
  static_assert((internal::kCanBeReturned<std::invoke_result_t<F&>> && ...),
                "a result can be neither moved nor copied: return a pointer");
  (internal::checked_callable(fs, "gather_all"), ...);
  std::tuple<std::optional<Outcome<internal::ResultOf<F&>>>...> slots;
  internal::gather_into(slots, internal::KeepOutcome(), fs...);
  return std::apply([](auto&... slot) { return std::make_tuple(internal::settled(slot)...); },
                    slots);
}

template <internal::CallableRange R>
auto gather_all(R&& range) {
  return internal::gather_all_placed(range, internal::here);
}

template <internal::CallableRange R>
decltype(auto) race(R&& range, RaceOptions options) {
  using T = internal::ResultOf<internal::ElementOf<std::remove_reference_t<R>>&>;
  internal::Elements<std::remove_reference_t<R>> fs(range);
  if (fs.size() == 0) throw std::invalid_argument("weft::race: no callables");
  for (std::size_t i = 0; i < fs.size(); ++i) internal::checked_callable(fs[i], "race");
  std::vector<std::optional<Outcome<T>>> outcomes(fs.size());
  const std::size_t winner =
      internal::first_success(fs.size(), options.stagger, [&](std::size_t i) {
        const auto f = [&]() -> T { return internal::as_in_a_task(fs[i]); };
        return outcomes[i].emplace(Outcome<T>::of(f)).has_value();
      });
  if (winner < fs.size()) return static_cast<T>(std::move(*outcomes[winner]).value());
  RaceFailed all;
  for (auto& outcome : outcomes) all.failures.push_back(internal::settled(outcome).exception());
  throw all;
}

template <class F, class... Rest>
requires std::is_invocable_v<F&>
auto race(F&& f, Rest&&... rest) -> internal::ResultOf<F&> {
  RaceOptions options;
  std::vector<std::function<internal::ResultOf<F&>()>> fs;
  const auto add = [&]<class Part>(Part& part) {
    if constexpr (std::is_convertible_v<Part, RaceOptions>) {
      options = part;
    } else {
      static_assert(std::is_same_v<internal::ResultOf<Part&>, internal::ResultOf<F&>>);
      fs.emplace_back(std::ref(internal::checked_callable(part, "race")));
    }
  };
  add(f);
  (add(rest), ...);
  return race(fs, options);
}

}  // namespace weft

#endif  // WEFT_FIBER_GATHER_H_
