#include "weft/fiber/this_fiber.h"

#include "weft/fiber/core/wait_queue.h"

namespace weft {

void sleep_for(AnyDuration wait) {
  WaitQueue::wait_nowhere(deadline_after(now(), wait, "weft::sleep_for"), "sleep_for");
}

void sleep_until(AnyTimePoint time) { WaitQueue::wait_nowhere(time, "sleep_until"); }

TaskInfo current_task() { return Scheduler::require_fiber("weft::current_task").info(); }

std::vector<TaskInfo> all_tasks() {
  Fiber& self = Scheduler::require_fiber("weft::all_tasks");
  std::vector<TaskInfo> tasks;
  for (const Fiber* fiber : Scheduler::of(self).started()) {
    if (!fiber->done()) tasks.push_back(fiber->info());
  }
  return tasks;
}

}  // namespace weft
