#ifndef WEFT_FIBER_CORE_SPIN_LOCK_H_
#define WEFT_FIBER_CORE_SPIN_LOCK_H_

#include "weft/fiber/core/atomic.h"

namespace weft::internal {

// A lock for a few instructions. Nobody may wait, switch fibers or run foreign code under it.
// Works with std::lock_guard and std::unique_lock.
class SpinLock {
 public:
  void lock() noexcept {
    if (single_threaded()) {
      held_.store(true, std::memory_order_relaxed);  // nobody has it, nobody else looks
      return;
    }
    // Acquire: what the last holder wrote is seen.
    while (held_.exchange(true, std::memory_order_acquire)) [[unlikely]] wait();
  }

  void unlock() noexcept {
    // Release: what was written under the lock is seen by the next holder.
    held_.store(false, std::memory_order_release);
  }

 private:
  void wait() noexcept;

  Atomic<bool> held_{false};
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_SPIN_LOCK_H_
