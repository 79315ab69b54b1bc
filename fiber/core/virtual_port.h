#ifndef WEFT_FIBER_CORE_VIRTUAL_PORT_H_
#define WEFT_FIBER_CORE_VIRTUAL_PORT_H_

#include <cstddef>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/port.h"
#include "weft/fiber/core/wait_queue.h"

namespace weft::internal {

class VirtualPort;

// The clock of the VirtualPorts of schedulers that run together. It stands still while anything can
// run on any of them, and jumps to the next deadline when nothing can.
class VirtualClock {
 public:
  VirtualClock() = default;
  VirtualClock(const VirtualClock&) = delete;
  VirtualClock& operator=(const VirtualClock&) = delete;

 private:
  friend class VirtualPort;

  bool wait(VirtualPort& port, TimePoint deadline);
  bool anything_pending() const;
  bool jump(VirtualPort& self);

  // How long a jump waits for what is expected, on the machine's clock.
  static constexpr Duration kGrace = std::chrono::milliseconds(100);

  ThreadMutex lock_;              // held while a jump is decided on; guards what is not atomic:
  VirtualPort* ports_ = nullptr;  // the last, and from there on to the first
  // Written when all ports are idle, each of which takes the lock before it goes on.
  TimePoint now_{std::chrono::seconds(1)};
  int expected_ = 0;  // events

  // Ports that are not idle. A scheduler counts for as long as it may wake others, and one
  // that it wakes counts at once: so none that is on the way is overlooked.
  Atomic<std::size_t> busy_{0};
  Atomic<bool> patient_{false};  // something came, or was expected, since a jump waited in vain: a
                                 // hint
};

// A Port whose clock stands still while anything can run, and jumps to the next deadline when
// nothing can: a test that sleeps an hour takes microseconds, and takes the same path each time;
// with one scheduler, that is.
//
// Outside events still come through `outside`, and come first: the clock jumps only after a look
// there found none. With no deadline to jump to, wait() returns, for once, though nothing has come:
// the scheduler may know that nothing ever will. The next time it sleeps in `outside` first, for
// longer and longer.
// What other threads do in the meantime takes no virtual time. Where something is expected from
// them, the next jump waits for it first, but for no longer than 100 ms of the machine's time: what
// blocks until the clock has moved must not keep it.
class VirtualPort final : public Port {
 public:
  // `outside` and `clock` must outlive this port. The clock starts one second after its epoch.
  // REQUIRES: no port of the clock waits yet.
  VirtualPort(Port& outside, VirtualClock& clock);

  TimePoint now() const noexcept override { return clock_.now_; }
  bool wait(TimePoint deadline) override;
  bool pending(TimePoint deadline) override { return outside_.pending(deadline); }
  bool is_virtual() const noexcept override { return true; }
  std::size_t awaited() const noexcept override { return outside_.awaited(); }
  void expect(int events) noexcept override;
  void attach() noexcept override { outside_.attach(); }
  void detach() noexcept override { outside_.detach(); }
  void wake() noexcept override;

  // Waits until the clock would jump; then it stands still once more. A cancellation point.
  // REQUIRES: the caller is a fiber of this port's scheduler.
  void wait_for_standstill();

 private:
  friend class VirtualClock;

  void set_busy() noexcept;

  Port& outside_;
  VirtualClock& clock_;
  VirtualPort* const next_;   // of the clock's
  Atomic<bool> idle_{false};  // waits for an event, or for its deadline:
  TimePoint deadline_ = kForever;
  bool reached_ = false;  // the clock has come to it
  Duration patience_{};   // how long to look for something if there is no time to jump to
  WaitQueue watchers_;    // fibers in wait_for_standstill()
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_VIRTUAL_PORT_H_
