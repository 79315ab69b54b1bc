#ifndef WEFT_SYNC_SEMAPHORE_H_
#define WEFT_SYNC_SEMAPHORE_H_

#include <cstdint>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/time.h"
#include "weft/sync/core/heirs.h"

namespace weft {

// A number of permits, to be taken and given back; not necessarily by the same.
//
//   weft::Semaphore slots(10);
//   slots.acquire();  // at most 10 at a time get past
//   group.spawn([&] { work(), slots.release(); });
//
// Fair: release() gives a permit to the waiter that waited longest, and no call that may wait
// overtakes. Only try_acquire() may: if no permit is free it takes the one that was given out last
// to a waiter that has not run since. That waiter keeps its place, as with Mutex. Taking and giving
// back cost one atomic operation each while nobody waits.
//
// Threads: fibers of any scheduler and plain threads, at once; a thread that waits blocks.
// Memory: what was done before release() is seen by whoever takes the permit.
// Lifetime: may be destroyed by the one that took the last permit that is going to be released,
// once all other calls that take permits have returned: a release() that is still on its way out
// elsewhere touches it no more.
class Semaphore {
 public:
  // Throws std::invalid_argument if `permits` is negative.
  explicit Semaphore(std::int64_t permits = 1);
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;

  // Waits until there is a permit, and takes it. A cancellation point if it has to wait; a
  // cancelled caller has no permit. Other fibers may run first, even if a permit is free.
  void acquire() {
    internal::count_wait();
    if (!acquire_free()) acquire_slowly(kForever);
  }

  // Takes a permit if one is free, or was given to a waiter that has not run since. Does not wait.
  bool try_acquire() noexcept {
    std::int64_t word = permits_.load(std::memory_order_relaxed);  // relaxed: a guess
    return acquire_free(word) || (word < 0 && take_offer());
  }

  // Wait, but not for longer than this. Return whether the caller has a permit. A negative duration
  // counts as zero. Otherwise as acquire().
  bool try_acquire_for(AnyDuration time);
  bool try_acquire_until(AnyTimePoint deadline) {
    internal::count_wait();
    return acquire_free() || acquire_slowly(deadline);
  }

  // Gives permits, first to those who wait, in their order. Does not wait. O(waiters that it
  // wakes). Throws std::invalid_argument if `permits` is negative, and std::overflow_error if they
  // would be more than 2^63 - 1; then none are added, but those who waited may have got theirs.
  void release(std::int64_t permits = 1);

 private:
  static constexpr std::int64_t kContended = -1;

  // Turns n free permits into what says that and that it is contended, and back.
  static std::int64_t flipped(std::int64_t word) noexcept { return kContended - word; }

  bool acquire_free() noexcept {
    std::int64_t word = permits_.load(std::memory_order_relaxed);  // relaxed: a guess
    return acquire_free(word);
  }
  // Where `word` was loaded a moment ago. If this fails it is newer.
  bool acquire_free(std::int64_t& word) noexcept;
  bool acquire_slowly(TimePoint deadline);
  bool take_offer() noexcept;

  // The number of free permits, while there is no heir. Flipped, which is below zero, if there may
  // be one: waiting, offered a permit, or passed over. Then the word changes under the lock of the
  // heirs only. While an heir waits or was passed over, no permit is free.
  Atomic<std::int64_t> permits_;
  Heirs heirs_;
};

inline bool Semaphore::acquire_free(std::int64_t& word) noexcept {
  while (word > 0) {
    // Acquire: pairs with the release in release().
    if (replace(permits_, word, word - 1, std::memory_order_acquire)) return true;
  }
  return false;
}

}  // namespace weft

#endif  // WEFT_SYNC_SEMAPHORE_H_
