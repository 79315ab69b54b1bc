#ifndef WEFT_FIBER_CANCEL_SCOPE_H_
#define WEFT_FIBER_CANCEL_SCOPE_H_

#include <cstddef>
#include <functional>

#include "weft/fiber/cancel.h"
#include "weft/fiber/core/cancel_scope.h"
#include "weft/fiber/time.h"

namespace weft {

// A part of what a fiber does that can be cancelled alone: from its deadline on, or by cancel().
// The wait that the fiber is then in, and each later one in the scope, throws Cancelled.
// with_timeout(), shield_for() and try_within() are made of it; it is for what they cannot say,
// such as a deadline that moves.
//
//   weft::CancelScope scope(weft::now() + 5s);
//   try {
//     while (read(stream)) scope.set_deadline(weft::now() + 5s);
//   } catch (const weft::Cancelled&) {
//     if (!scope.caused()) throw;  // the task was cancelled, or a scope further out
//   }
//
// Constructing it enters the scope, destroying it leaves it. It lies on the stack of the fiber, and
// scopes are left in the reverse order of being entered. Leave it before the task ends.
//
// Scopes nest, with those of timeouts, shields and groups. A Cancelled belongs to the outermost
// scope that wants it: see caused().
//
// Threads: cancel(), cancelled() and expired() from any fiber or thread; the caller sees to it that
// the scope lives until the call returns. The rest is for the fiber that has made it;
// set_deadline() and set_shield() throw std::logic_error in another one. Nothing here waits, or is
// a cancellation point. Costs what with_timeout() costs.
class CancelScope {
 public:
  // Enters the scope. A deadline that is over is noticed as with_timeout() says. Throws
  // std::logic_error outside fibers, where nothing could end a wait: the message names `caller`.
  explicit CancelScope(AnyTimePoint deadline = kForever, const char* caller = "weft::CancelScope")
      : scope_(deadline, caller) {}
  static void* operator new(std::size_t) = delete;

  // When it expires, or has expired; kForever: never.
  TimePoint deadline() const noexcept { return scope_.deadline(); }

  // Moves the deadline; kForever takes it away. If it is over already, the scope expires, and the
  // next wait throws. No effect once the scope was cancelled or has expired. Costs two list
  // operations and a reading of the clock.
  void set_deadline(AnyTimePoint deadline) { scope_.set_deadline(deadline); }

  // Makes the current or next wait in the scope throw Cancelled, and every later one in it. No
  // effect twice. From another scheduler or thread it takes effect when the fiber's own scheduler
  // looks at its inbox.
  void cancel() noexcept {
    if (scope_.interrupt()) internal::Scope::update(*scope_.fiber());
  }

  // cancelled(): by cancel() or by the deadline. expired(): by the deadline. Neither says whether a
  // wait has thrown because of that: see caused().
  bool cancelled() const noexcept { return scope_.over(); }
  bool expired() const noexcept { return scope_.expired(); }

  // A shield holds back cancellations of the task and of the scopes around, as shield() does. The
  // scope's own deadline and cancel() still work. Once the shield is off again, what was held back
  // reaches the next wait. It is off at first.
  void set_shield(bool shielded) { scope_.set_shield(shielded); }
  bool shielded() const noexcept { return scope_.shielded(); }

  // To be called by the handler that has caught Cancelled, while the scope exists. True: the
  // Cancelled was this scope's, and ends here (trio's cancelled_caught). False: it is that of the
  // task or of a scope around, so throw it again. If a task or a group that was destroyed on the
  // way to the handler has failed, throws that failure: it is more than a cancellation. (Without
  // this call the exception handler gets it.)
  bool caused() { return scope_.caused(); }

 private:
  internal::TimedScope scope_;
};

namespace internal {

// Calls f() for what catches its Cancelled, and does not pass it on. If a failure was kept while
// that unwound, throws the failure instead, as the end of a task does.
template <class F>
decltype(auto) as_in_a_task(F&& f) {
  CancelScope scope;
  try {
    return std::invoke(f);
  } catch (const Cancelled&) {
    scope.caused();
    throw;
  }
}

}  // namespace internal

}  // namespace weft

#endif  // WEFT_FIBER_CANCEL_SCOPE_H_
