#ifndef WEFT_FIBER_TIMEOUT_H_
#define WEFT_FIBER_TIMEOUT_H_

#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include "weft/fiber/cancel.h"
#include "weft/fiber/cancel_scope.h"
#include "weft/fiber/core/callable.h"
#include "weft/fiber/core/cancel_scope.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/time.h"

namespace weft {

namespace internal {

// What try_within() makes of a result of type T.
template <class T>
using ResultInTime =
    std::conditional_t<std::is_void_v<T>, bool,
                       std::conditional_t<std::is_reference_v<T>, Kept<T>, std::optional<Kept<T>>>>;

}  // namespace internal

// Runs f in the calling fiber and returns its result. When the time is over, the wait in which f is
// then, and each later one, throws Cancelled, which turns into TimeoutError here.
//
//   Page page = weft::with_timeout(5s, [&] { return load(url); });
//
// The end of the time is noticed by the scheduler's loop: a wait that other ready fibers satisfy
// before it looks still returns. yield() looks at the clock itself, so in with_timeout(0s, ...) the
// first one throws.
//
// Timeouts nest. A Cancelled belongs to the outermost scope that wants it: if an enclosing timeout
// expired as well, or the task was cancelled, it passes through here unchanged. If f returns, or
// throws its own exception, without another wait, that stands even after the deadline. If a task or
// a group that f destroys on its way out has failed, that failure is thrown rather than
// TimeoutError or Cancelled.
//
// Not a cancellation point itself. Does not wait. Costs a reading of the clock (with_timeout) and
// two list operations, however many timeouts are pending.
// A negative duration counts as zero. Throws std::invalid_argument if f is null, and
// std::logic_error outside fibers, where nothing could end a wait.
// It also works inside a destructor that unwinding has called, which other cancellations do not
// reach. TimeoutError may not leave that destructor: catch it there, or use shield_for().
template <class F>
auto with_deadline(AnyTimePoint deadline, F&& f, const char* caller = "weft::with_deadline")
    -> std::invoke_result_t<F&> {
  internal::checked_callable(f, "with_deadline");
  CancelScope scope(deadline, caller);
  try {
    return std::invoke(f);
  } catch (const Cancelled&) {
    if (!scope.caused()) throw;
  }
  throw TimeoutError();
}

template <class F>
auto with_timeout(AnyDuration time, F&& f) -> std::invoke_result_t<F&> {
  internal::checked_callable(f, "with_timeout");
  return with_deadline(internal::deadline_within(time), std::forward<F>(f), "weft::with_timeout");
}

// The same without an exception: returns what f returns as an optional, or nullopt if the time was
// over and f ended by that (trio's move_on_after). For an f that returns nothing: true, or false.
// For one that returns a reference: a pointer, or null.
//
//   std::optional<Page> page = weft::try_within(200ms, [&] { return cache.load(url); });
//   if (!page) page = load(url);
//   const bool flushed = weft::try_within(1s, [&] { log.flush(); });
//
// Throws what f throws, and Cancelled if the task or a scope around was cancelled.
template <class F>
auto try_within(AnyDuration time, F&& f) -> internal::ResultInTime<std::invoke_result_t<F&>> {
  using Result = std::invoke_result_t<F&>;
  internal::checked_callable(f, "try_within");
  CancelScope scope(internal::deadline_within(time), "weft::try_within");
  try {
    if constexpr (std::is_void_v<Result>) {
      std::invoke(f);
      return true;
    } else {
      return internal::result_to_keep<Result>(f);
    }
  } catch (const Cancelled&) {
    if (!scope.caused()) throw;
  }
  return {};
}

// Runs f in the calling fiber and returns its result, with the cancellation of the task and of all
// timeouts around held back until f ends: the first wait afterwards throws. Timeouts inside f work.
// On a plain thread just calls f. Throws std::invalid_argument if f is null.
template <class F>
auto shield(F&& f) -> std::invoke_result_t<F&> {
  internal::checked_callable(f, "shield");
  const internal::ShieldScope scope;
  return std::invoke(f);
}

// The same with a time limit: for destructors that wait. When the time is over, the wait that f is
// in, and each later one, throws Cancelled, which shield_for() catches. Returns false then, and
// true if f has returned.
//
//   ~Session() {
//     std::error_code ignored;  // without it a failure would throw, and leave the destructor
//     weft::shield_for(1s, [&] { stream_.write_all("QUIT\r\n", ignored); });
//   }
//
// The limit also holds while the stack unwinds. A negative time counts as zero: f ends at its first
// wait that is not over at once. On a plain thread there is no limit: it just calls f. If a task or
// a group that f destroys on its way out has failed, that failure is thrown. Throws
// std::invalid_argument if f is null.
template <class F>
bool shield_for(AnyDuration time, F&& f) {
  internal::checked_callable(f, "shield_for");
  if (!internal::current_fiber()) {
    std::invoke(f);
    return true;
  }
  CancelScope scope(internal::deadline_within(time), "weft::shield_for");
  scope.set_shield(true);
  try {
    std::invoke(f);
    return true;
  } catch (const Cancelled&) {
    scope.caused();  // throws the failure
    return false;
  }
}

}  // namespace weft

#endif  // WEFT_FIBER_TIMEOUT_H_
