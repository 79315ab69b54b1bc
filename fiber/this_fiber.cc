#include "weft/fiber/this_fiber.h"

#include <algorithm>

#include "weft/fiber/wait_queue.h"

namespace weft {

void sleep_for(Duration wait) {
  WaitQueue::wait_nowhere(deadline_after(now(), wait, "weft::sleep_for"), "sleep_for");
}

void sleep_until(TimePoint time) { WaitQueue::wait_nowhere(time, "sleep_until"); }

TimePoint now() noexcept {
  const Scheduler* scheduler = Scheduler::current_or_null();
  return scheduler ? scheduler->now() : Clock::now();
}

TimePoint deadline_within(Duration time) noexcept {
  return deadline_after(now(), std::max(time, Duration::zero()), "");
}

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
