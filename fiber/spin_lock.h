#ifndef WEFT_FIBER_SPIN_LOCK_H_
#define WEFT_FIBER_SPIN_LOCK_H_

#include "weft/fiber/atomic.h"

namespace weft {

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
  [[gnu::noinline]] void wait() noexcept {
    // The holder may have lost its core: after a while the waiter gives up its own. Relaxed: lock()
    // looks again.
    for (int tries = 0; held_.load(std::memory_order_relaxed); ++tries) {
      if (tries < kSpins) {
        relax_processor();
      } else {
        let_others_run();
      }
    }
  }

  static constexpr int kSpins = kExplored ? 0 : 64;

  Atomic<bool> held_{false};
};

}  // namespace weft

#endif  // WEFT_FIBER_SPIN_LOCK_H_
