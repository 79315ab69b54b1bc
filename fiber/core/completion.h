#ifndef WEFT_FIBER_CORE_COMPLETION_H_
#define WEFT_FIBER_CORE_COMPLETION_H_

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/wait_queue.h"

namespace weft::internal {

// Something that happens once: the end of a task, the setting of a future.
// Any thread may ask, wait, watch and complete.
class Completion {
 public:
  // Acquire: what was written before complete() is seen once this is true.
  bool done() const noexcept { return done_.load(std::memory_order_acquire); }

  // Waits until done, true, or until `deadline`, false. Throws Cancelled. If it is done already it
  // looks neither at the clock nor for a cancellation, but may let other fibers run.
  bool wait(TimePoint deadline, const char* what);

  // Makes it done and wakes everybody. `last(lock held)` runs before; when it has returned and the
  // lock was released, *this is touched no more.
  // REQUIRES: not done, and nobody else completes it.
  template <class Last>
  void complete(WaitQueue::Lock& lock, Last last) noexcept {
    // Release: pairs with the acquire of done().
    done_.store(true, std::memory_order_release);
    last();
    if (queue_.empty(lock)) return lock.unlock();
    queue_.wake_all(lock);
  }

  // Makes it as new. REQUIRES: nobody else has a reference any more.
  void reset() noexcept { done_.store(false, std::memory_order_relaxed); }

  WaitQueue& queue() noexcept { return queue_; }
  static Completion& of(WaitQueue& queue) noexcept {
    return object_with(queue, &Completion::queue_);
  }

 private:
  friend struct DebuggerLayout;

  Atomic<bool> done_{false};
  WaitQueue queue_;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_COMPLETION_H_
