#ifndef WEFT_SYNC_SHARED_MUTEX_H_
#define WEFT_SYNC_SHARED_MUTEX_H_

#include <cstdint>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/fiber.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/time.h"
#include "weft/sync/core/heirs.h"

namespace weft {

// A mutex that one may hold exclusively, or many shared. Works with std::unique_lock,
// std::shared_lock and the other guards. Not recursive. Locking it again deadlocks: exclusively at
// once, shared as soon as a writer is queued. This is not detected.
//
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
  ~SharedMutex() {
    if (word_.load(std::memory_order_relaxed) != kFree) [[unlikely]]  // relaxed: see unlock()
      forget();
  }
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;

  // As those of Mutex.
  void lock() {
    if (!lock_free()) lock_slowly<false>(kForever);
  }
  bool try_lock() noexcept {
    Word word = word_.load(std::memory_order_relaxed);  // relaxed: see lock_free()
    return lock_free(word) || (word & kContended && take_offer<false>());
  }
  bool try_lock_for(AnyDuration time);
  bool try_lock_until(AnyTimePoint deadline) { return lock_free() || lock_slowly<false>(deadline); }
  void unlock() {
    // Relaxed: only the caller itself makes its own name come or go. Release: the next owners see
    // what this one did.
    LockOwner& self = internal::caller();
    Word mine = word_.load(std::memory_order_relaxed);
    if (mine != name_of(self) || !replace(word_, mine, kFree, std::memory_order_release)) {
      return unlock_slowly();
    }
    --self.locks_held;
  }

  // The same, shared. unlock_shared() throws std::logic_error if nobody holds it shared; who they
  // are is not known, so one who does not takes the hold from one who does.
  void lock_shared() {
    if (!lock_free_shared()) lock_slowly<true>(kForever);
  }
  // Returns false also if it is held shared and there are waiters.
  bool try_lock_shared() noexcept {
    Word word = word_.load(std::memory_order_relaxed);  // relaxed: see lock_free()
    return lock_free_shared(word) || (word & kContended && take_offer<true>());
  }
  bool try_lock_shared_for(AnyDuration time);
  bool try_lock_shared_until(AnyTimePoint deadline) {
    return lock_free_shared() || lock_slowly<true>(deadline);
  }
  void unlock_shared() {
    if (!try_unlock_shared()) unlock_shared_slowly();
  }

 private:
  // One of
  //   kFree
  //   the exclusive holder
  //   kShared and, in the bits above, the number of holders.
  // An heir with an offer counts as a holder. With kContended there may be heirs, with or without
  // an offer; then the word changes under the lock of the heirs only.
  using Word = std::uintptr_t;
  static constexpr Word kFree = 0;
  static constexpr Word kContended = 1;
  static constexpr Word kShared = 2;
  static constexpr Word kOne = 4;

  static Word name_of(const LockOwner& owner) noexcept { return reinterpret_cast<Word>(&owner); }

  // Whether it is held shared, with nobody waiting.
  static bool is_open(Word word) noexcept { return (word & (kShared | kContended)) == kShared; }
  static Word count(Word word) noexcept { return word / kOne; }
  static Word less_one(Word word) noexcept {
    return word == (kShared | kOne) ? kFree : word - kOne;
  }

  bool lock_free() noexcept {
    Word word = word_.load(std::memory_order_relaxed);
    return lock_free(word);
  }
  bool lock_free_shared() noexcept {
    Word word = word_.load(std::memory_order_relaxed);
    return lock_free_shared(word);
  }
  // Where `word` was loaded a moment ago. If this fails it is newer. The load may be relaxed, and
  // spares an exchange that would fail. Acquire: pairs with the releases in unlock() and
  // unlock_shared().
  bool lock_free(Word& word) noexcept {
    if (word != kFree) return false;
    LockOwner& self = internal::caller();
    if (!replace(word_, word, name_of(self), std::memory_order_acquire)) return false;
    ++self.locks_held;
    return true;
  }
  bool lock_free_shared(Word& word) noexcept;
  bool try_unlock_shared() noexcept;
  template <bool kForShared>
  bool lock_slowly(TimePoint deadline);
  template <bool kForShared>
  bool wait_for(const LockOwner& owner, TimePoint deadline);
  template <bool kForShared>
  bool take_offer() noexcept;
  bool may_be_taken(const Heirs::Lock& lock) noexcept;
  bool wait(Heirs::Lock& lock, TimePoint deadline, bool shared);
  void give_up() noexcept;
  bool is_held() const noexcept;
  void forget() noexcept;
  void unlock_slowly();
  void unlock_shared_slowly();
  bool hand_over(Heirs::Lock& lock, Word rest) noexcept;
  Word marked(const Heirs::Lock& lock, Word word) const noexcept;

  Atomic<Word> word_{kFree};
  Heirs heirs_;
};

inline bool SharedMutex::lock_free_shared(Word& word) noexcept {
  while (word == kFree || is_open(word)) {
    if (replace(word_, word, (word | kShared) + kOne, std::memory_order_acquire)) return true;
  }
  return false;
}

inline bool SharedMutex::try_unlock_shared() noexcept {
  // Relaxed: a guess.
  Word word = word_.load(std::memory_order_relaxed);
  while (is_open(word)) {
    // Release: who locks it next does not come before what was read under it.
    if (replace(word_, word, less_one(word), std::memory_order_release)) return true;
  }
  return false;
}

}  // namespace weft

#endif  // WEFT_SYNC_SHARED_MUTEX_H_
