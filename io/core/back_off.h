#ifndef WEFT_IO_CORE_BACK_OFF_H_
#define WEFT_IO_CORE_BACK_OFF_H_

#include "weft/fiber/time.h"

namespace weft::internal {

// The pauses of a loop that tries again and again because no event reports when a try would
// succeed.
//
//   BackOff pauses(std::chrono::milliseconds(10));
//   while (!try_it()) pauses.wait();
//
// A pause lasts on the machine's clock. On a clock that jumps a sleep would take no time: the loop
// would keep the processor busy and run the clock ahead. There a thread of the executor sleeps, and
// the fiber waits for it as for any event from outside. The clock waits for the first pause at each
// of its readings, so that a try sees what was done at that time. It does not wait for further
// pauses, so that the fibers whose time comes next can go on and help.
//
// Threads: those of one scheduler.
class BackOff {
 public:
  explicit BackOff(Duration pause) noexcept : pause_(pause) {}

  // Waits for one pause; on a virtual clock maybe for less. A cancellation point.
  void wait();

 private:
  Duration pause_;
  TimePoint paused_at_ = kPast;  // on the virtual clock
};

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_BACK_OFF_H_
