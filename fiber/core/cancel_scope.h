#ifndef WEFT_FIBER_CORE_CANCEL_SCOPE_H_
#define WEFT_FIBER_CORE_CANCEL_SCOPE_H_

#include <cstdint>
#include <exception>

#include "weft/fiber/cancel.h"
#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/timer_queue.h"
#include "weft/fiber/time.h"

namespace weft::internal {

class Fiber;

// From now on, if Cancelled leaves a noexcept function, std::terminate() says so on stderr. Then,
// as in all other cases, it calls the handler that was set before.
void explain_terminate() noexcept;

// A stretch of a fiber's execution that changes how cancellation reaches it. Scopes nest like the
// calls they belong to; a fiber is cancelled if, from the innermost scope outwards, a timeout that
// expired or a body that was interrupted comes before a shield, or there is no shield and the fiber
// itself was cancelled.
//
// A scope also keeps a failure for its owner: one that turned up in a destructor while the stack
// unwound, where it could not be thrown. See Scheduler::handle_exception_here().
class CancelScope {
 public:
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;

  // Recomputes Fiber::cancelled, and ends the wait of a fiber that is cancelled.
  // Runs on the fiber's home thread.
  static void update(Fiber& fiber) noexcept;

  // Interrupts those bodies of the fiber that were asked to be. On the fiber's home thread.
  static void serve_interrupts(Fiber& fiber) noexcept;

  // Whether what a fiber does is cancelled, while `uncaught` exceptions are in flight. A scope that
  // was entered while fewer were in flight does not count: its Cancelled would have to leave the
  // destructor that one of the exceptions has called.
  static bool reaches(const Fiber& fiber, unsigned uncaught) noexcept;

  // The innermost scope that reports how it ended, which a shield does not; null: the task.
  static CancelScope* owner_of_failures(const Fiber& fiber) noexcept;

  // Whether an exception is in flight through the innermost scope of the running fiber, or the
  // task, and so a destructor that finds a failure may leave it to that.
  static bool unwinds(const Fiber& running) noexcept;

  // To be asked when Cancelled has left the scope: the failure that was kept in it, or null. The
  // owner is to get it rather than the Cancelled.
  std::exception_ptr take_kept() noexcept;

 protected:
  friend class NoWaitingScope;
  friend class TimeoutScope;

  enum class Kind : unsigned char { kTimeout, kShield, kBody, kNoWaiting };

  // Enters the scope. `fiber` is the running one, or null: then the scope does nothing.
  CancelScope(Fiber* fiber, Kind kind) noexcept;
  CancelScope(Fiber& fiber, Kind kind) noexcept;
  ~CancelScope();

  Fiber* const fiber_;
  CancelScope* outer_ = nullptr;
  const Kind kind_;
  bool expired_ = false;
  bool outer_limited_ = false;  // Fiber::limited outside
  unsigned uncaught_;           // exceptions in flight when it was entered

  static bool reaches(const CancelScope* innermost, const Fiber& fiber, unsigned uncaught) noexcept;

 private:
  void enter() noexcept;
  void leave() noexcept;
  void leave_with_kept() noexcept;

  std::uint16_t outer_refusals_;  // kShield: Fiber::refusals outside
};

// Holds back the cancellation of the calling fiber while it lives. On a plain thread: nothing.
class ShieldScope final : public CancelScope {
 public:
  ShieldScope() noexcept;
};

// Cancels the calling fiber from `deadline` on, while it lives.
class TimeoutScope final : public CancelScope, private Timer {
 public:
  // Throws std::logic_error outside fibers: the message names `caller`.
  TimeoutScope(TimePoint deadline, const char* caller);
  ~TimeoutScope();

  // Expires the timeouts around the running fiber, up to the first shield, whose time is over
  // though their timers have not run yet. Reads the clock.
  static void expire_those_due(Fiber& running) noexcept;

  // To be asked when Cancelled has left the scope: whether it was this scope that cancelled, and
  // nothing further out wants the Cancelled for itself.
  bool caused() const noexcept;
};

// Cancels the calling fiber from interrupt() on, while it lives: the body of a TaskGroup. On a
// plain thread: nothing.
class BodyScope final : public CancelScope {
 public:
  BodyScope() noexcept;

  // Makes the current or next wait in the scope throw. From any thread, while the caller keeps the
  // fiber from leaving the scope. If it returns true, the caller still has to call
  // serve_interrupts(*fiber()), after it has released its lock: the fiber is of this thread, and
  // may wait in the queue of that lock.
  [[nodiscard]] bool interrupt() noexcept;

  Fiber* fiber() const noexcept { return fiber_; }

 private:
  friend class CancelScope;

  Atomic<bool> asked_{false};
};

// Makes each wait of the calling fiber throw std::logic_error while it lives, before other fibers
// run; yield() throws after they have. To the wait it is a cancellation, so a ShieldScope within
// holds it back.
class NoWaitingScope final : public CancelScope {
 public:
  // Throws std::logic_error outside fibers: the message names `caller`.
  explicit NoWaitingScope(const char* caller);

  // Whether there is one, with no shield between.
  static bool around(const Fiber& running) noexcept;
  // Throws, naming the wait, if there is. REQUIRES: cancellation_due().
  static void check(const Fiber& running, const char* what);
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_CANCEL_SCOPE_H_
