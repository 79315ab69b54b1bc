#ifndef WEFT_SYNC_SHARED_MUTEX_H_
#define WEFT_SYNC_SHARED_MUTEX_H_

#include "weft/fiber/time.h"
#include "weft/sync/core/contended_word.h"

namespace weft {

// A mutex that one may hold exclusively, or many shared. Works with std::unique_lock,
// std::shared_lock and the other guards. Not recursive. Locking it again deadlocks: exclusively at
// once, shared as soon as a writer is queued. This is not detected.
//
//   weft::SharedMutex mutex;
//   const std::shared_lock reading(mutex);
//   const std::lock_guard writing(mutex);  // elsewhere
//
// Fair: first come, first served. A reader waits behind any writer that came before it; readers
// next to each other in the queue get it together. Only try_lock() and
// try_lock_shared() may overtake, as with Mutex. A writer's try takes what was given to readers, or
// to a writer, if none of them has run since; a reader's try joins such readers, and takes the
// place of such a writer. The waiters passed over keep their places. Locking and unlocking cost one
// atomic operation each while there are no waiters.
//
// Threads, memory, lifetime: as Mutex.
class SharedMutex {
 public:
  SharedMutex() = default;
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;

  // As those of Mutex.
  void lock() {
    if (!word_.lock_free()) lock_slowly(kForever, false);
  }
  bool try_lock() noexcept {
    Word word = word_.look();
    return word_.lock_free(word) || (word & kContended && take_offer(false));
  }
  bool try_lock_for(AnyDuration time) {
    return word_.lock_free() || lock_slowly(internal::deadline_within(time), false);
  }
  bool try_lock_until(AnyTimePoint deadline) {
    return word_.lock_free() || lock_slowly(deadline, false);
  }
  void unlock() {
    if (!word_.unlock_free()) unlock_slowly();
  }

  // The same, shared. unlock_shared() throws std::logic_error if nobody holds it shared. The shared
  // holders are not known: a caller that is none of them takes the hold of one of them away.
  void lock_shared() {
    if (!lock_free_shared()) lock_slowly(kForever, true);
  }
  // Returns false also if it is held shared and there are waiters.
  bool try_lock_shared() noexcept {
    Word word = word_.look();
    return lock_free_shared(word) || (word & kContended && take_offer(true));
  }
  bool try_lock_shared_for(AnyDuration time) {
    return lock_free_shared() || lock_slowly(internal::deadline_within(time), true);
  }
  bool try_lock_shared_until(AnyTimePoint deadline) {
    return lock_free_shared() || lock_slowly(deadline, true);
  }
  void unlock_shared() {
    Word word = word_.look();
    while (is_open(word)) {
      if (word_.give(word, less_one(word))) return;
    }
    unlock_shared_slowly();
  }

 private:
  using Lock = internal::WaitQueue::Lock;
  using Word = internal::LockWord::Word;

  static constexpr Word kFree = internal::LockWord::kFree;
  static constexpr Word kContended = internal::LockWord::kContended;
  static constexpr Word kShared = 2;
  static constexpr Word kOne = 4;

  // Whether it is held shared, with nobody waiting.
  static bool is_open(Word word) noexcept { return (word & (kShared | kContended)) == kShared; }
  static Word count(Word word) noexcept { return word / kOne; }
  static Word less_one(Word word) noexcept {
    return word == (kShared | kOne) ? kFree : word - kOne;
  }

  bool lock_free_shared() noexcept {
    Word word = word_.look();
    return lock_free_shared(word);
  }
  // Where `word` was seen a moment ago. If this fails it is newer.
  bool lock_free_shared(Word& word) noexcept {
    while (word == kFree || is_open(word)) {
      if (word_.take(word, (word | kShared) + kOne)) return true;
    }
    return false;
  }
  static internal::OwnedWait::Owner owner_of(internal::WaitQueue& queue) noexcept;
  static const internal::OwnedWait kLock;
  static const internal::OwnedWait kLockShared;

  bool lock_slowly(TimePoint deadline, bool shared);
  bool take_offer(bool shared) noexcept;
  bool may_be_taken(const Lock& lock) noexcept;
  void admit_waiters() noexcept;
  void unlock_slowly();
  void unlock_shared_slowly();
  bool hand_over(Lock& lock, Word rest) noexcept;
  Word marked(const Lock& lock, Word word) const noexcept;

  // Free; or the exclusive holder; or kShared and, in the bits above, the number of holders. An
  // heir with an offer counts as a holder. With the mark there may be heirs, with or without an
  // offer.
  internal::LockWord word_;
  internal::Heirs heirs_;
};

}  // namespace weft

#endif  // WEFT_SYNC_SHARED_MUTEX_H_
