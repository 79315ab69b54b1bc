#ifndef WEFT_SYNC_CORE_CONTENDED_WORD_H_
#define WEFT_SYNC_CORE_CONTENDED_WORD_H_

#include <cstdint>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/error.h"
#include "weft/fiber/core/fiber.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/scheduler.h"

namespace weft::internal {

// The state of a primitive with a queue of waiters. The lowest bit is a mark: there may be waiters.
//
// Without the mark an operation is one compare-and-swap, take() or give(). A caller that has to
// wait sets the mark under the queue's lock: take_or_mark(). From then on the word changes under
// that lock only, by set(). (The one exception is an heir of a Mutex that accepts its offer.) The
// mark goes when a caller that has something to give finds nobody waiting: give_or_hand_over().
//
// Memory: give() and set() release, take() acquires. So what was done before the word was given is
// seen by those that take it without the lock. Marking acquires, too: those that gave before are
// then seen by all that come to the queue's lock later, and so by a waiter to whom one of these
// hands over. All other loads are relaxed: they are guesses that an exchange confirms, or are
// ordered by the lock.
class ContendedWord {
 public:
  using Word = std::uint64_t;
  using Lock = WaitQueue::Lock;

  static constexpr Word kContended = 1;

  ContendedWord() = default;  // zero
  explicit ContendedWord(Word word) noexcept : word_(word) {}

  // Relaxed: a guess, unless the word is marked and the caller holds the lock.
  Word look() const noexcept { return word_.load(std::memory_order_relaxed); }
  // Acquire: as take(), for a caller that changes nothing.
  Word read() const noexcept { return word_.load(std::memory_order_acquire); }

  // Turn `word`, seen a moment ago, into `next`. If it has changed since they return false, and
  // `word` is newer.
  bool take(Word& word, Word next) noexcept {
    return replace(word_, word, next, std::memory_order_acquire);
  }
  bool give(Word& word, Word next) noexcept {
    return replace(word_, word, next, std::memory_order_release);
  }

  // REQUIRES: the word is marked.
  void set(const Lock&, Word word) noexcept { word_.store(word, std::memory_order_release); }

  // For a caller that is about to wait: true as soon as take(word) has got what it wants, or false
  // once the word is marked. A take(word) that fails has made `word` newer if it has changed.
  template <class Take>
  [[gnu::always_inline]] bool take_or_mark(const Lock&, Take take) noexcept {
    for (Word word = look();;) {
      if (take(word)) return true;
      if (word & kContended || this->take(word, word | kContended)) return false;
    }
  }

  // For a caller that has something to give. Without the mark calls give(word) until it has changed
  // the word: true. This is the last access, as another caller may take the word and destroy the
  // primitive. With the mark calls hand_over(lock, word) once, with the lock of `queue` held. It
  // gives to the waiters and returns true, and may release the lock. If nobody waits, it takes the
  // mark away by set() and returns false: what is given must not be free before the lock is
  // released, as the lock would be destroyed with the primitive.
  template <class Give, class HandOver>
  [[gnu::always_inline]] void give_or_hand_over(WaitQueue& queue, Give give, HandOver hand_over) {
    for (;;) {
      Word word = look();
      while (!(word & kContended)) {
        if (give(word)) return;
      }
      Lock lock(queue);
      word = look();
      if (word & kContended && hand_over(lock, word)) return;
    }
  }

 private:
  Atomic<Word> word_{0};
};

// The word of a lock: kFree, or the name of its exclusive owner, or what else the lock makes of it.
class LockWord : public ContendedWord {
 public:
  static constexpr Word kFree = 0;

  LockWord() = default;
  // Destroying a lock counts as unlocking it.
  ~LockWord() {
    if (look() != kFree) [[unlikely]]
      forget();
  }
  LockWord(const LockWord&) = delete;
  LockWord& operator=(const LockWord&) = delete;

  static Word name_of(const LockOwner& owner) noexcept { return reinterpret_cast<Word>(&owner); }

  // A guess is enough: only the owner itself makes its own name come or go.
  bool is_held_by(const LockOwner& owner) const noexcept {
    return (look() & ~kContended) == name_of(owner);
  }

  // Takes the lock if it is free, and counts it. The look before spares an exchange that would
  // fail. If this fails `word`, seen a moment ago, is newer.
  bool lock_free(Word& word) noexcept {
    if (word != kFree) [[unlikely]]
      return false;
    LockOwner& self = caller();
    if (!take(word, name_of(self))) return false;
    ++self.locks_held;
    return true;
  }
  bool lock_free() noexcept {
    Word word = look();
    return lock_free(word);
  }

  // Returns false if there may be waiters, or if the caller does not hold the lock.
  bool unlock_free() noexcept {
    LockOwner& self = caller();
    Word word = look();
    if (word != name_of(self) || !give(word, kFree)) return false;
    --self.locks_held;
    return true;
  }

  // Unlocks where that has returned false. See give_or_hand_over() for hand_over(lock), which
  // leaves the mark alone. Throws std::logic_error, naming `caller`, if it does not hold the lock.
  template <class HandOver>
  [[gnu::always_inline]] void unlock_slowly(WaitQueue& queue, const char* caller,
                                            HandOver hand_over) {
    LockOwner& owner = internal::caller();
    if (!is_held_by(owner)) throw_logic_error(caller, ": the caller does not hold it");
    --owner.locks_held;
    give_or_hand_over(
        queue, [this](Word& word) { return give(word, kFree); },
        [&](Lock& lock, Word word) {
          if (hand_over(lock)) return true;
          set(lock, word & ~kContended);
          return false;
        });
  }

 private:
  [[gnu::noinline]] void forget() const noexcept {
    LockOwner& self = caller();
    if (is_held_by(self)) --self.locks_held;
  }

  // Word has to have room for an address.
  static_assert(sizeof(Word) >= sizeof(void*));
};

}  // namespace weft::internal

#endif  // WEFT_SYNC_CORE_CONTENDED_WORD_H_
