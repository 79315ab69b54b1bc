#include "weft/fiber/this_fiber.h"

#include "weft/fiber/core/fiber.h"
#include "weft/fiber/core/wait_queue.h"

namespace weft {

void sleep_for(AnyDuration wait) {
  internal::WaitQueue::wait_nowhere(internal::deadline_within(wait), "sleep_for");
}

void sleep_until(AnyTimePoint time) { internal::WaitQueue::wait_nowhere(time, "sleep_until"); }

void set_task_name(std::string_view name) {
  internal::require_fiber("weft::set_task_name").set_name(name);
}

}  // namespace weft
