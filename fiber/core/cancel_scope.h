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
// calls they belong to; a fiber is cancelled if, from the innermost scope outwards, a scope that
// is over (cancelled or expired) comes before a shield, or there is no shield and the fiber itself
// was cancelled. A scope may be both: then its own end counts, and what comes from outside does
// not.
//
// A scope also keeps a failure for its owner: one that turned up in a destructor while the stack
// unwound, where it could not be thrown. See Scheduler::handle_exception_here().
//
// Threads: interrupt(), over() and expired() from any, the rest from the fiber's own.
class Scope {
 public:
  enum class Kind : unsigned char {
    kShield,  // shields from the start, and leaves failures to the scope around it
    kBody,    // of a TaskGroup
    kTimed,   // a TimedScope
    kNoWaiting,
  };

  // Enters the scope. `fiber` is the running one, or null, but for kTimed: then the scope does
  // nothing.
  Scope(Fiber* fiber, Kind kind) noexcept;
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  // Recomputes Fiber::cancelled, and ends the wait of a fiber that is cancelled.
  // Runs on the fiber's home thread.
  static void update(Fiber& fiber) noexcept;

  // Whether what a fiber does is cancelled, while `uncaught` exceptions are in flight. A scope that
  // was entered while fewer were in flight does not count: its Cancelled would have to leave the
  // destructor that one of the exceptions has called.
  static bool reaches(const Fiber& fiber, unsigned uncaught) noexcept;

  // The innermost scope that reports how it ended, which a shield does not; null: the task.
  static Scope* owner_of_failures(const Fiber& fiber) noexcept;

  // Whether an exception is in flight through the innermost scope of the running fiber, or the
  // task, and so a destructor that finds a failure may leave it to that.
  static bool unwinds(const Fiber& running) noexcept;

  // Makes the current or next wait in the scope throw. From any thread, while the caller keeps the
  // fiber from leaving the scope. If it returns true, the caller still has to call
  // update(*fiber()), after it has released its lock: the fiber is of this thread, and may wait in
  // the queue of that lock.
  [[nodiscard]] bool interrupt() noexcept;

  Fiber* fiber() const noexcept { return fiber_; }

  // Acquire: what came before the end is seen, also if the request of an interrupt() elsewhere was
  // not served yet.
  bool over() const noexcept { return end_.load(std::memory_order_acquire) != End::kNone; }
  bool expired() const noexcept { return end_.load(std::memory_order_acquire) == End::kExpired; }

  bool shielded() const noexcept { return shielded_; }
  // Throws std::logic_error in another fiber.
  void set_shield(bool shielded);

  // To be asked when Cancelled has left the scope: the failure that was kept in it, or null. The
  // owner is to get it rather than the Cancelled.
  std::exception_ptr take_kept() noexcept;

  // The same: throws what was kept. Otherwise returns whether it was this scope that cancelled, and
  // nothing further out wants the Cancelled for itself.
  bool caused();

 private:
  friend class NoWaitingScope;
  friend class TimedScope;

  enum class End : unsigned char { kNone, kCancelled, kExpired };

  // The first end counts.
  void end(End end) noexcept;
  void check_fiber() const;

  void enter() noexcept;
  void leave() noexcept;
  void leave_with_kept() noexcept;

  static bool reaches(const Scope* innermost, const Fiber& fiber, unsigned uncaught) noexcept;

  Fiber* const fiber_;
  Scope* outer_ = nullptr;
  const Kind kind_;
  bool shielded_;
  Atomic<End> end_{End::kNone};
  bool outer_limited_ = false;    // Fiber::limited outside
  unsigned uncaught_;             // exceptions in flight when it was entered
  std::uint16_t outer_refusals_;  // where it shields: Fiber::refusals outside
};

// Holds back the cancellation of the calling fiber while it lives. On a plain thread: nothing.
class ShieldScope final : public Scope {
 public:
  ShieldScope() noexcept;
};

// Cancels the calling fiber from `deadline` on, while it lives. See weft::CancelScope.
class TimedScope final : public Scope, private Timer {
 public:
  // Throws std::logic_error outside fibers: the message names `caller`.
  TimedScope(TimePoint deadline, const char* caller);
  ~TimedScope();

  using Timer::deadline;
  void set_deadline(TimePoint deadline);

  // Expires the timeouts around the running fiber, up to the first shield, whose time is over
  // though their timers have not run yet. Reads the clock.
  static void expire_those_due(Fiber& running) noexcept;

 private:
  void expire_if_due(TimePoint now) noexcept;
};

// Makes each wait of the calling fiber throw std::logic_error while it lives, before other fibers
// run; yield() throws after they have. To the wait it is a cancellation, so a ShieldScope within
// holds it back.
class NoWaitingScope final : public Scope {
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
