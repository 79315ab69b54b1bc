#include "weft/sync/mutex.h"

#include "weft/fiber/this_fiber.h"
#include "weft/fiber/unhandled.h"

namespace weft {

bool Mutex::try_lock_for(Duration time) { return try_lock() || lock_slowly(deadline_within(time)); }

bool Mutex::lock_slowly(TimePoint deadline) {
  const std::uintptr_t self = caller();
  WaitQueue::Lock lock(queue_);
  // Relaxed, here and below: where the mutex is taken the exchange acquires, and who waits for it
  // sees what its waker did.
  std::uintptr_t word = word_.load(std::memory_order_relaxed);
  for (;;) {
    if (word == kFree) {
      if (replace(word_, word, self, std::memory_order_acquire)) return true;
    } else if ((word & ~kContended) == self) {
      fail_misuse("Mutex::lock: the caller holds it already; it would wait for itself");
    } else if (word & kContended ||
               replace(word_, word, word | kContended, std::memory_order_relaxed)) {
      return queue_.wait(lock, deadline, "Mutex::lock");
    }
  }
}

void Mutex::unlock_slowly() {
  const std::uintptr_t self = caller();
  for (;;) {
    // Relaxed: see is_held().
    std::uintptr_t word = word_.load(std::memory_order_relaxed);
    if ((word & ~kContended) != self) {
      throw_logic_error("weft::Mutex::unlock: the caller does not hold it");
    }
    // The last access: as soon as it is free, somebody may take and destroy it.
    if (word == self && replace(word_, word, kFree, std::memory_order_release)) return;
    WaitQueue::Lock lock(queue_);
    if (Waiter* next = queue_.claim(lock)) {
      const auto heir = reinterpret_cast<std::uintptr_t>(next->who());
      // Relaxed, and below: see kContended; the wake-up publishes. It stays set even if nobody
      // waits any more: where there were two, the other comes back soon, and need not set it again.
      word_.store(heir | kContended, std::memory_order_relaxed);
      lock.unlock();
      next->resume();
      return;
    }
    // Those who waited have given up.
    word_.store(self, std::memory_order_relaxed);
  }
}

}  // namespace weft
