#ifndef WEFT_FIBER_CANCEL_H_
#define WEFT_FIBER_CANCEL_H_

#include <stdexcept>

#include "weft/fiber/time.h"
#include "weft/fiber/timer_queue.h"

namespace weft {

class Fiber;

[[noreturn]] void throw_cancelled();

// What a wait throws in a fiber that was cancelled: by Task::cancel(), by the end of its owner or
// of the runtime, or by a timeout around it.
//
// Cancellation is a level, not an event: from the request on, every wait of the fiber throws, so a
// `catch (...)` may delay the end but cannot swallow it. Waits do not throw inside shield(), nor
// while a destructor called by stack unwinding waits. It is no std::exception, so that a handler
// for errors does not catch it by accident. Only weft throws it.
class Cancelled final {
 private:
  friend void weft::throw_cancelled();
  Cancelled() = default;
};

// What joining a task throws when that task ended by cancellation.
class TaskCancelled : public std::runtime_error {
 public:
  TaskCancelled() : std::runtime_error("weft: the task was cancelled") {}
};

// What with_timeout and with_deadline throw when the time is over.
class TimeoutError : public std::runtime_error {
 public:
  TimeoutError() : std::runtime_error("weft: the time is over") {}
};

// A stretch of a fiber's execution that changes how cancellation reaches it. Scopes nest like the
// calls they belong to; a fiber is cancelled if, from the innermost scope outwards, a timeout that
// expired comes before a shield, or there is no shield and the fiber itself was cancelled.
class CancelScope {
 public:
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;

  // Recomputes Fiber::cancelled, and ends the wait of a fiber that is cancelled.
  // Runs on the fiber's home thread.
  static void update(Fiber& fiber) noexcept;

  // Whether what runs directly in this scope is cancelled.
  bool cancelled() const noexcept;

 protected:
  enum class Kind : unsigned char { kTimeout, kShield };

  // Enters the scope. `fiber` is the running one, or null: then the scope does nothing.
  CancelScope(Fiber* fiber, Kind kind) noexcept;
  ~CancelScope();

  Fiber* const fiber_;
  CancelScope* outer_ = nullptr;
  const Kind kind_;
  bool expired_ = false;
};

// Holds back the cancellation of the calling fiber while it lives. On a plain thread: nothing.
class ShieldScope final : public CancelScope {
 public:
  ShieldScope() noexcept;
};

// Cancels the calling fiber from `deadline` on, while it lives.
class TimeoutScope final : public CancelScope, private Timer {
 public:
  // Throws std::logic_error outside fibers: `caller` says who needs one.
  TimeoutScope(TimePoint deadline, const char* caller);
  ~TimeoutScope();

  // To be asked when Cancelled has left the scope: whether it was this scope that cancelled, and
  // nothing further out wants the Cancelled for itself.
  bool caused() const noexcept;
};

}  // namespace weft

#endif  // WEFT_FIBER_CANCEL_H_
