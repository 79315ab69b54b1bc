#ifndef WEFT_FIBER_THIS_FIBER_H_
#define WEFT_FIBER_THIS_FIBER_H_

#include <vector>

#include "weft/fiber/core/fiber.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/time.h"

namespace weft {

// What the running fiber does to itself. The waits also work on plain threads, where they block
// the thread.

// Lets the other ready fibers run first. A cancellation point: throws Cancelled, afterwards, if a
// cancellation has reached the fiber by then, or the time of a timeout around it is over. It reads
// the clock if there is one, with no shield between.
inline void yield() { Scheduler::yield(); }

// Waits. A cancellation point also where the time is over already; never returns early.
// sleep_for throws std::invalid_argument if the duration is negative.
void sleep_for(AnyDuration wait);
void sleep_until(AnyTimePoint time);

// The running fiber. Throws std::logic_error outside fibers.
TaskInfo current_task();

// All fibers of the calling fiber's scheduler that have not ended, in no particular order; for
// those of the others, spread(all_tasks). O(stacks ever used). Throws std::logic_error outside
// fibers.
std::vector<TaskInfo> all_tasks();

// For weft's own files: while it lives, the running fiber waits for something from outside, which a
// clock that jumps gives some time. See Port::expect(). On a plain thread: nothing.
class ExpectedEvent {
 public:
  ExpectedEvent() noexcept { tell(1); }
  ~ExpectedEvent() { tell(-1); }
  ExpectedEvent(const ExpectedEvent&) = delete;
  ExpectedEvent& operator=(const ExpectedEvent&) = delete;

 private:
  static void tell(int events) noexcept {
    if (Scheduler::current_fiber()) Scheduler::current_or_null()->port().expect(events);
  }
};

}  // namespace weft

#endif  // WEFT_FIBER_THIS_FIBER_H_
