#include "weft/fiber/inspect.h"

#include <algorithm>
#include <unordered_map>

#include "weft/fiber/core/calls.h"
#include "weft/fiber/core/roster.h"
#include "weft/fiber/core/task_report.h"
#include "weft/fiber/core/text.h"
#include "weft/fiber/core/unwind.h"
#include "weft/fiber/core/wait_queue.h"

namespace weft {
namespace {

using internal::Fiber, internal::LockOwner, internal::OwnedWait;

TaskInfo info_of(const Fiber& fiber) {
  TaskInfo info;
  info.id = fiber.id;
  info.name = fiber.name_view();
  info.scheduler = internal::Home::here()->number();
  TimePoint since = internal::running.turn_began;
  if (fiber.done()) {
    info.state = TaskInfo::State::kDone;
  } else if (&fiber == internal::current_fiber()) {
    info.state = TaskInfo::State::kRunning;
  } else if (fiber.waiter) {
    info.state = TaskInfo::State::kWaiting;
    info.waiting_for = fiber.waiter->what();
    since = fiber.waiter->since();
  }
  info.since = std::max(now() - since, Duration::zero());
  return info;
}

StackTrace stack_of(const Fiber& fiber) {
  void* frames[StackTrace::kMaxFrames];
  if (&fiber == internal::current_fiber()) return StackTrace::current();
  return StackTrace({frames, internal::walk_parked(fiber.context, frames)});
}

}  // namespace

// By its id, as the fiber may be gone. Another runtime may have a scheduler of the same number: it
// then finds no such task.
void TaskInfo::cancel() const {
  if (Fiber* const self = internal::current_fiber(); self && self->id == id) return self->cancel();
  const auto cancel_here = [id = id] {
    for (Fiber* const fiber : internal::Calls::here()->started()) {
      if (fiber->id == id) return fiber->cancel();
    }
  };
  const internal::Roster roster;
  for (auto* home = roster.first(); home; home = roster.next(*home)) {
    if (home->number() != scheduler || !home->is_of_this_process()) continue;
    home == internal::Home::here() ? cancel_here() : home->post(cancel_here);
  }
}

TaskInfo current_task() { return info_of(internal::require_fiber("weft::current_task")); }

std::vector<TaskInfo> all_tasks(TaskListOptions options) {
  internal::require_fiber("weft::all_tasks");
  const std::vector<Fiber*> fibers = internal::Calls::here()->started();
  std::unordered_map<const LockOwner*, std::uint64_t> ids;
  for (const Fiber* fiber : fibers) ids.emplace(fiber, fiber->id);
  std::vector<TaskInfo> tasks;
  for (const Fiber* fiber : fibers) {
    if (fiber->done()) continue;
    TaskInfo& task = tasks.emplace_back(info_of(*fiber));
    if (options.stacks) task.stack = stack_of(*fiber);
    if (task.state != TaskInfo::State::kWaiting) continue;
    const OwnedWait::Owner owner = fiber->waiter->waits_for();
    const auto found = ids.find(owner.address);
    task.waits_for = owner.id != 0 || found == ids.end() ? owner.id : found->second;
  }
  return tasks;
}

void print_tasks(std::FILE* to) {
  internal::Text text(internal::to_file, to);
  internal::write_tasks(text);
}

}  // namespace weft
