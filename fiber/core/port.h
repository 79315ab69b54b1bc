#ifndef WEFT_FIBER_CORE_PORT_H_
#define WEFT_FIBER_CORE_PORT_H_

#include <cstddef>

#include "weft/fiber/time.h"

namespace weft::internal {

// The one door between a scheduler and the world outside its thread.
// Reactor implements it with epoll, ThreadPort with a futex, VirtualPort with a clock that jumps.
class Port {
 public:
  Port() = default;
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  virtual ~Port() = default;

  // Monotonic time.
  virtual TimePoint now() const noexcept = 0;

  // Sleeps until `deadline`, an outside event, or wake(); a past deadline only polls.
  // Fibers whose events came are ready when it returns. May return early: callers loop.
  // Returns whether an event or wake() came: a clock that jumps may not jump over one.
  virtual bool wait(TimePoint deadline) = 0;

  // Waits for an event or wake() that the next wait() would take, or until `deadline`, and returns
  // whether there is one. Takes nothing. May return early. With a past deadline any thread may ask.
  // Only a port that another one stands before needs it.
  virtual bool pending(TimePoint deadline) {
    static_cast<void>(deadline);
    return false;
  }

  // True if the clock is virtual: then no decision may depend on how fast the machine runs.
  virtual bool is_virtual() const noexcept { return false; }

  // How many fibers wait for descriptors: one that is woken counts until it goes on.
  virtual std::size_t awaited() const noexcept { return 0; }

  // Changes how many outside events are expected, e.g. running jobs. A virtual clock waits briefly
  // for them before it jumps.
  virtual void expect(int events) noexcept { static_cast<void>(events); }

  // The calling thread begins, or ends, to run the scheduler.
  virtual void attach() noexcept {}
  virtual void detach() noexcept {}

  // Ends the current wait(), or the next one if none is under way.
  // From any thread, and from a handler for signals.
  virtual void wake() noexcept = 0;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_PORT_H_
