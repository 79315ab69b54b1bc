#ifndef WEFT_SYNC_SEMAPHORE_H_
#define WEFT_SYNC_SEMAPHORE_H_

#include <cstdint>

#include "weft/fiber/core/running.h"
#include "weft/fiber/time.h"
#include "weft/sync/core/contended_word.h"

namespace weft {

// A number of permits, to be taken and given back, not necessarily by the same caller.
//
//   weft::Semaphore slots(10);
//   slots.acquire();  // at most 10 at a time get past
//   group.spawn([&] { work(), slots.release(); });
//
// Fair: release() gives a permit to the waiter that waited longest, and no call that may wait
// overtakes. Only try_acquire() may: if no permit is free it takes the one that was given out last
// to a waiter that has not run since. That waiter keeps its place, as with Mutex. Taking and giving
// back cost one atomic operation each while there are no waiters.
//
// Threads: fibers of any scheduler and plain threads, at once; a thread that waits blocks.
// Memory: what was done before release() is seen by the caller that takes the permit.
// Lifetime: the caller that takes the last permit that is ever released may destroy it, once all
// other calls that take permits have returned. A release() that has yet to return touches it no
// more.
class Semaphore {
 public:
  // Throws std::invalid_argument if `permits` is negative.
  explicit Semaphore(std::int64_t permits = 1);
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;

  // Waits until there is a permit, and takes it. A cancellation point if it has to wait; a
  // cancelled caller has no permit. Other fibers may run first, even if a permit is free.
  void acquire() { try_acquire_until(kForever); }

  // Takes a permit if one is free, or was given to a waiter that has not run since. Does not wait.
  bool try_acquire() noexcept {
    Word word = word_.look();
    return acquire_free(word) || (word & kContended && take_offer());
  }

  // Wait at most until then. Return whether the caller has a permit. A negative duration counts as
  // zero. Otherwise as acquire().
  bool try_acquire_for(AnyDuration time) {
    internal::count_wait();
    return acquire_free() || acquire_slowly(internal::deadline_within(time));
  }
  bool try_acquire_until(AnyTimePoint deadline) {
    internal::count_wait();
    return acquire_free() || acquire_slowly(deadline);
  }

  // Gives permits, first to the waiters, in their order. Does not wait. O(waiters that it wakes).
  // Throws std::invalid_argument if `permits` is negative, and std::overflow_error if they would be
  // more than 2^63 - 1; then none are added, but waiters may have got theirs.
  void release(std::int64_t permits = 1);

  // For weft::select(): that a permit is acquired.
  class Case;

 private:
  using Lock = internal::WaitQueue::Lock;
  using Word = internal::ContendedWord::Word;

  static constexpr Word kContended = internal::ContendedWord::kContended;
  static constexpr Word kPermit = 2;
  static constexpr Word kMostPermits = ~Word{0} / kPermit;

  bool acquire_free() noexcept {
    Word word = word_.look();
    return acquire_free(word);
  }
  // Where `word` was seen a moment ago. If this fails it is newer.
  bool acquire_free(Word& word) noexcept {
    while (word >= kPermit && !(word & kContended)) {
      if (word_.take(word, word - kPermit)) return true;
    }
    return false;
  }
  bool acquire_under(const Lock& lock, Word& word) noexcept;
  bool acquire_in_turn() noexcept;
  bool acquire_slowly(TimePoint deadline);
  bool take_offer() noexcept;

  // The free permits, each counted as kPermit. With the mark there may be an heir: waiting, offered
  // a permit, or passed over. While an heir waits or was passed over, no permit is free.
  internal::ContendedWord word_;
  internal::Heirs heirs_;
};

}  // namespace weft

#endif  // WEFT_SYNC_SEMAPHORE_H_
