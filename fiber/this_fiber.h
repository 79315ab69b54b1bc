#ifndef WEFT_FIBER_THIS_FIBER_H_
#define WEFT_FIBER_THIS_FIBER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "weft/fiber/time.h"

namespace weft {

// A fiber as others see it.
struct TaskInfo {
  enum class State : std::uint8_t { kReady, kRunning, kWaiting, kDone };

  std::uint64_t id = 0;  // of the process: never used twice
  std::string name;      // as given to spawn, cut to 31 bytes
  State state = State::kReady;
  const char* waiting_for = "";  // the call that it waits in, e.g. "sleep_until"
};

// What the running fiber does to itself. The waits also work on plain threads, where they block
// the thread.
//
//   weft::sleep_for(5s);                            // other fibers run meanwhile
//   for (Row& row : rows) work(row), weft::yield();  // and here after each row
//   for (const weft::TaskInfo& task : weft::all_tasks()) log(task.name, task.waiting_for);

// Lets the other ready fibers run first. A cancellation point: throws Cancelled, afterwards, if a
// cancellation has reached the fiber by then, or the time of a timeout around it is over. It reads
// the clock if there is one, with no shield between.
void yield();

// Waits. A cancellation point also where the time is over already; never returns early.
// A negative duration counts as zero; other fibers may still run.
void sleep_for(AnyDuration wait);
void sleep_until(AnyTimePoint time);

// The running fiber. Throws std::logic_error outside fibers.
TaskInfo current_task();

// All fibers of the calling fiber's scheduler that have not ended, in no particular order; for
// those of the others, spread(all_tasks). O(stacks ever used). Throws std::logic_error outside
// fibers.
std::vector<TaskInfo> all_tasks();

}  // namespace weft

#endif  // WEFT_FIBER_THIS_FIBER_H_
