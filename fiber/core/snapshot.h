#ifndef WEFT_FIBER_CORE_SNAPSHOT_H_
#define WEFT_FIBER_CORE_SNAPSHOT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "weft/fiber/core/fiber.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/time.h"

namespace weft::internal {

class Calls;

// What a report knows of a fiber. It refers to nothing that may be gone.
struct TaskRecord {
  std::string_view name_view() const noexcept { return {name, name_size}; }
  bool waits() const noexcept { return what != nullptr; }

  std::uint64_t id;
  const LockOwner* self;       // by which the waits of others name it
  OwnedWait::Owner waits_for;  // what it waits for, if that is known
  const char* what;            // the call that it waits in; null if it does not wait
  Duration since;              // that it waits; otherwise, since the loop last looked
  std::uint32_t first_frame;   // of its stack, among the frames of the snapshot
  std::uint16_t frames;        // how many; 0 if its stack was not taken
  bool running;                // now, on the thread
  std::uint8_t name_size;
  char name[Fiber::kNameSize];
};

// The fibers of a scheduler at one moment, with their stacks: what is in memory that was set aside
// before, so that taking it allocates nothing.
//
// Threads: take() on the scheduler's own, what it has taken then on any.
class Snapshot {
 public:
  // There is room for so many frames a fiber, on average.
  static constexpr std::size_t kFramesOfTask = 24;

  // Room for this many fibers. If there is no memory, for fewer; see capacity().
  explicit Snapshot(std::size_t tasks) noexcept;

  std::size_t capacity() const noexcept { return capacity_; }

  // The running fiber's own stack is given, if it is known: it is not parked. Safe in a handler for
  // signals that has interrupted a fiber. Returns false if the scheduler's lists were being changed
  // at this moment; then fibers may be missing.
  bool take(Calls& scheduler, std::span<void* const> running_stack) noexcept;

  // The running fiber alone.
  bool take_running(Calls& scheduler, std::span<void* const> stack) noexcept;

  std::span<const TaskRecord> tasks() const noexcept { return {tasks_.get(), count_}; }
  std::span<void* const> stack_of(const TaskRecord& task) const noexcept {
    return {frames_.get() + task.first_frame, task.frames};
  }
  // How many fibers there were for which there was no room.
  std::size_t left_out() const noexcept { return left_out_; }
  // How many did not wait, the running one not counted.
  std::size_t ready() const noexcept { return ready_; }

 private:
  void add(const Fiber& fiber, std::span<void* const> running_stack) noexcept;
  void add_stack(TaskRecord& task, const Fiber& fiber,
                 std::span<void* const> running_stack) noexcept;

  std::unique_ptr<TaskRecord[]> tasks_;
  std::unique_ptr<void*[]> frames_;
  std::size_t capacity_ = 0;
  std::size_t room_ = 0;  // for frames
  std::size_t count_ = 0;
  std::size_t frames_used_ = 0;
  std::size_t left_out_ = 0;
  std::size_t ready_ = 0;
  TimePoint now_;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_SNAPSHOT_H_
