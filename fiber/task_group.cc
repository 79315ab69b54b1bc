#include "weft/fiber/task_group.h"

#include "weft/fiber/cancel.h"
#include "weft/fiber/unhandled.h"

namespace weft {

TaskGroup::~TaskGroup() {
  if (const Fiber* self = Scheduler::current_fiber(); self && self->group == this) {
    fail_misuse("a TaskGroup is destroyed by a child, which would wait for itself");
  }
  cancel();
  std::exception_ptr failure;
  {
    const ShieldScope unwatched;
    failure = wait_for_children();
  }
  if (failure) Scheduler::handle_exception_here(std::move(failure));
}

void TaskGroup::join() {
  const Fiber* self = Scheduler::current_fiber();
  if (self && self->group == this) {
    throw_logic_error("weft::TaskGroup::join: a child cannot wait for its own group");
  }
  if (std::exception_ptr failure = wait_for_children()) {
    std::rethrow_exception(std::move(failure));
  }
}

// Returns their first failure, if any.
std::exception_ptr TaskGroup::wait_for_children() {
  for (;;) {
    WaitQueue::Lock lock(joiners_);
    if (children_.empty()) {
      cancelled_ = false;
      return std::exchange(failure_, nullptr);  // others may start more from here on
    }
    joiners_.wait(lock, kForever, "TaskGroup::join");
  }
}

void TaskGroup::cancel() noexcept {
  const WaitQueue::Lock lock(joiners_);
  cancel_children();
}

// REQUIRES: the lock is held.
void TaskGroup::cancel_children() noexcept {
  cancelled_ = true;
  for (Fiber* child = children_.front(); child; child = children_.next(*child)) child->cancel();
}

void TaskGroup::add(Fiber& fiber, const SpawnOptions& options) noexcept {
  fiber.group = this;
  fiber.ended = &TaskGroup::ended;
  // Relaxed: start() publishes the fiber. There is no handle.
  fiber.handle.store(Ownership::kGone, std::memory_order_relaxed);
  {
    const WaitQueue::Lock lock(joiners_);
    children_.push_back(fiber);
    // It is nobody else's yet, and on whatever thread it starts, it does not begin.
    fiber.cancel_requested = fiber.cancelled = cancelled_;
  }
  Scheduler::start(fiber, options);
}

// Runs on the child, as the last of its task.
void TaskGroup::ended(Fiber& fiber) noexcept {
  TaskGroup& group = *fiber.group;
  Claimed claimed;
  {
    WaitQueue::Lock lock(group.joiners_);
    group.children_.erase(fiber);
    if (fiber.ending == Ending::kException && !group.failure_) {
      group.failure_ = std::move(fiber.exception);
      group.cancel_children();
    }
    if (fiber.ending == Ending::kException) fiber.ending = Ending::kTaken;
    if (group.children_.empty()) group.joiners_.claim_all(lock, claimed);
  }
  // The group may be gone from here on.
  claimed.resume();
}

}  // namespace weft
