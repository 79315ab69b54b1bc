#include "weft/fiber/this_fiber.h"

#include "weft/fiber/core/calls.h"
#include "weft/fiber/core/wait_queue.h"

namespace weft {

void sleep_for(AnyDuration wait) {
  internal::WaitQueue::wait_nowhere(internal::deadline_within(wait), "sleep_for");
}

void sleep_until(AnyTimePoint time) { internal::WaitQueue::wait_nowhere(time, "sleep_until"); }

static TaskInfo info_of(const internal::Fiber& fiber) {
  TaskInfo info;
  info.id = fiber.id;
  info.name = fiber.name_view();
  if (fiber.done()) {
    info.state = TaskInfo::State::kDone;
  } else if (&fiber == internal::current_fiber()) {
    info.state = TaskInfo::State::kRunning;
  } else if (fiber.waiter) {
    info.state = TaskInfo::State::kWaiting;
    info.waiting_for = fiber.waiter->what();
  }
  return info;
}

TaskInfo current_task() { return info_of(internal::require_fiber("weft::current_task")); }

std::vector<TaskInfo> all_tasks() {
  internal::require_fiber("weft::all_tasks");
  std::vector<TaskInfo> tasks;
  for (const internal::Fiber* fiber : internal::Calls::here()->started()) {
    if (!fiber->done()) tasks.push_back(info_of(*fiber));
  }
  return tasks;
}

}  // namespace weft
