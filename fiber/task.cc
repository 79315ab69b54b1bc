#include "weft/fiber/task.h"

#include "weft/fiber/core/cancel_scope.h"
#include "weft/fiber/core/error.h"
#include "weft/fiber/core/group.h"
#include "weft/fiber/core/loop.h"
#include "weft/fiber/core/unwind.h"
#include "weft/fiber/stack_trace.h"

namespace weft::internal {

bool TaskBase::wait_for(AnyDuration time) { return wait_until(deadline_within(time)); }

// Throws where a task that is not of the scheduler that runs here will never end.
[[gnu::cold]] void TaskBase::check_elsewhere(Fiber& target) {
  if (left_behind(target)) {
    throw_logic_error("weft::Task: it was started before fork(), and runs in the parent only");
  }
  if (!Loop::here() && left_to_caller(target, false)) {
    throw_logic_error("weft::Task: its scheduler runs on this thread only; wait inside run");
  }
}

inline bool TaskBase::wait_until_end(Fiber& target, TimePoint deadline) {
  if (target.done()) {
    count_wait();
    return true;
  }
  if (&target == current_fiber()) {
    throw_logic_error("weft::Task: a task cannot wait for itself");
  }
  // Relaxed: see of().
  if (target.home.load(std::memory_order_relaxed) != Loop::here()) [[unlikely]] {
    check_elsewhere(target);
  }
  return target.completion.wait(deadline, Fiber::kJoin);
}

// The scheduler that it is for the calling plain thread to run, or else the target may not end: its
// own; or, with others, the first of those that its runtime has, too, which it may need. Or null.
Loop* TaskBase::left_to_caller(Fiber& target, bool with_others) noexcept {
  const WaitQueue::Lock lock(target.completion.queue());  // keeps the schedulers
  // Relaxed: the lock orders it.
  auto* const home = static_cast<Loop*>(target.home.load(std::memory_order_relaxed));
  if (target.done() || !home) return nullptr;
  Loop* const runner =
      with_others && home->group() ? &static_cast<Loop&>(home->group()->first()) : home;
  return runner->waits_for_caller() ? runner : nullptr;
}

bool TaskBase::wait_until(AnyTimePoint deadline) { return wait_until_end(fiber(), deadline); }

void TaskBase::join() {
  Fiber& target = fiber();
  wait_until_end(target, kForever);
  switch (target.ending) {
    case Ending::kValue:
      return;
    case Ending::kException:
      target.ending = Ending::kTaken;
      std::rethrow_exception(std::exchange(target.exception, nullptr));
    case Ending::kCancelled:
      throw TaskCancelled();
    default:
      check_not_taken();
  }
}

void TaskBase::check_not_taken() const {
  if (!done() || fiber().ending != Ending::kTaken) return;
  throw_logic_error("weft::Task: the result was taken already");
}

void TaskBase::cancel_and_join() noexcept {
  // A task whose own callable owns its handle goes on alone: nobody else could wait for it.
  if (fiber_ == current_fiber()) return;
  if (left_behind(*fiber_)) return;
  fiber_->cancel();
  if (!Loop::here()) {
    if (Loop* left = left_to_caller(*fiber_, true)) {
      // What it refers to may go next: it has to end, and it is for us to see to that.
      left->run_until(fiber_->completion);
      return;
    }
  }
  const ShieldScope unwatched;
  fiber_->completion.wait(kForever, Fiber::kJoinByDestructor);
}

void TaskBase::set_name(std::string_view name) {
  Fiber& target = fiber();
  // Relaxed: on the home thread it does not change.
  if (!Loop::here() || target.home.load(std::memory_order_relaxed) != Loop::here()) {
    throw_logic_error("weft::Task::set_name: the task belongs to another scheduler");
  }
  target.set_name(name);
}

StackTrace TaskBase::stack() const {
  const Fiber& target = fiber();
  // Relaxed: as above.
  if (target.done() || target.home.load(std::memory_order_relaxed) != Loop::here()) return {};
  if (&target == current_fiber()) return StackTrace::current();
  void* frames[StackTrace::kMaxFrames];
  return StackTrace({frames, walk_parked(target.context, frames)});
}

void TaskBase::fail_no_task() {
  throw_logic_error("weft::Task: refers to no task; it was detached, moved from or never set");
}

}  // namespace weft::internal
