#ifndef WEFT_IO_REACTOR_H_
#define WEFT_IO_REACTOR_H_

#include "weft/fiber/port.h"
#include "weft/io/fd.h"

namespace weft {

// The Port of a scheduler that does I/O: sleeps in epoll, and is woken through an eventfd.
// Threads: wake() from any, the rest from the scheduler's.
class Reactor final : public Port {
 public:
  // Throws std::system_error, naming the call, where the process is out of descriptors.
  Reactor();

  TimePoint now() const noexcept override { return Clock::now(); }

  // To the nanosecond, as far as the kernel's timers go (epoll_pwait2, Linux 5.11; before that to
  // the millisecond, rounded up).
  bool wait(TimePoint deadline) override;

  void wake() noexcept override;

 private:
  Fd epoll_;
  Fd wakeup_;  // registered edge-triggered: each write is one event, and nobody has to read it
};

}  // namespace weft

#endif  // WEFT_IO_REACTOR_H_
