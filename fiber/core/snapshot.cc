#include "weft/fiber/core/snapshot.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "weft/fiber/core/calls.h"
#include "weft/fiber/core/unwind.h"

namespace weft::internal {

// Memory that is not used is not touched, and costs address space only.
Snapshot::Snapshot(std::size_t tasks) noexcept {
  for (; tasks > 0; tasks /= 4) {
    tasks_.reset(new (std::nothrow) TaskRecord[tasks]);
    room_ = std::max(tasks * kFramesOfTask, kMaxFrames);
    frames_.reset(new (std::nothrow) void*[room_]);
    if (tasks_ && frames_) break;
  }
  capacity_ = tasks;
}

bool Snapshot::take(Calls& scheduler, std::span<void* const> running_stack) noexcept {
  count_ = frames_used_ = left_out_ = ready_ = 0;
  now_ = scheduler.now();
  return scheduler.visit_started([&](const Fiber& fiber) {
    if (fiber.done() || scheduler.is_idle_runner(fiber)) return;
    if (&fiber != running.fiber && !fiber.waiter) ++ready_;
    if (count_ == capacity_) {
      ++left_out_;
    } else {
      add(fiber, running_stack);
    }
  });
}

bool Snapshot::take_running(Calls& scheduler, std::span<void* const> stack) noexcept {
  count_ = frames_used_ = left_out_ = ready_ = 0;
  now_ = scheduler.now();
  if (running.fiber && capacity_ > 0) add(*running.fiber, stack);
  return true;
}

void Snapshot::add(const Fiber& fiber, std::span<void* const> running_stack) noexcept {
  TaskRecord& task = tasks_[count_++];
  task.id = fiber.id;
  task.self = &fiber;
  task.running = &fiber == running.fiber;
  const Waiter* const waiter = task.running ? nullptr : fiber.waiter;
  task.what = waiter ? waiter->what() : nullptr;
  task.waits_for = waiter ? waiter->waits_for() : OwnedWait::Owner();
  const Duration since = now_ - (waiter ? waiter->since() : running.turn_began);
  task.since = std::max(since, Duration::zero());
  task.name_size = fiber.name_size;
  std::memcpy(task.name, fiber.name, fiber.name_size);
  add_stack(task, fiber, running_stack);
}

void Snapshot::add_stack(TaskRecord& task, const Fiber& fiber,
                         std::span<void* const> running_stack) noexcept {
  const std::size_t room = room_ - frames_used_;
  const std::span<void*> frames(frames_.get() + frames_used_, std::min(room, kMaxFrames));
  std::size_t count = 0;
  if (!task.running) {
    count = walk_parked(fiber.context, frames);
  } else {
    count = std::min(frames.size(), running_stack.size());
    std::copy_n(running_stack.begin(), count, frames.begin());
  }
  task.first_frame = static_cast<std::uint32_t>(frames_used_);
  task.frames = static_cast<std::uint16_t>(count);
  frames_used_ += count;
}

}  // namespace weft::internal
