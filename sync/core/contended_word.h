#ifndef WEFT_SYNC_CORE_CONTENDED_WORD_H_
#define WEFT_SYNC_CORE_CONTENDED_WORD_H_

#include <cstddef>
#include <cstdint>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/fiber.h"
#include "weft/fiber/core/intrusive_list.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/time.h"

namespace weft::internal {

// The state of a primitive with a queue of waiters. The lowest bit is a mark: there may be waiters.
//
// Without the mark an operation is one compare-and-swap, take() or give(). A caller that has to
// wait sets the mark under the queue's lock: take_or_mark(). From then on the word changes under
// that lock only, by set(). (The one exception is an heir of a Mutex that accepts its offer.) The
// mark goes when a caller that has something to give finds nobody waiting: give_or_hand_over().
//
// Memory: give() and set() release, take() acquires. So what was done before the word was given is
// seen by the caller that takes it without the lock. Marking acquires, too: what was done before an
// earlier give() is then seen by every later holder of the queue's lock, and so by a waiter that
// one of these hands over to. All other loads are relaxed: they are guesses that an exchange
// confirms, or are ordered by the lock.
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

  // Destroying a lock counts as unlocking it.
  ~LockWord() {
    if (look() != kFree) [[unlikely]]
      disown();
  }

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
  // leaves the mark alone. Throws std::logic_error, naming `call`, if the caller does not hold the
  // lock.
  template <class HandOver>
  [[gnu::always_inline]] void unlock_slowly(WaitQueue& queue, const char* call,
                                            HandOver hand_over) {
    LockOwner& owner = caller();
    if (!is_held_by(owner)) fail_not_held(call);
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
  [[noreturn]] static void fail_not_held(const char* call);
  void disown() const noexcept;

  // Word has to have room for an address.
  static_assert(sizeof(Word) >= sizeof(void*));
};

// A waiter that is offered a lock or a permit by the one that gives it up. It accepts when it runs.
// Until then a try, such as Mutex::try_lock(), may take the offer: the heir is passed over, and
// waits again in its old place. README.md, "Offers", says why.
class Heir : public Waiter {
 public:
  // An heir that was passed over this often gets firm offers. A firm offer is not taken, except by
  // a loop that would never let the heir run.
  static constexpr int kMostPassedOver = 4;

  Heir(const char* what, int passed_over) noexcept : Waiter(what), passed_over_(passed_over) {}

  bool is_firm() const noexcept { return passed_over_ >= kMostPassedOver; }

  // Whether the caller may take what this heir was offered. If the offer is firm: only at the
  // second try in a row of the same caller, if that runs on the heir's own scheduler. It then
  // probably tries in a loop without waiting, which would not end before the heir has run, nor let
  // it run. REQUIRES: the queue's lock is held.
  bool gives_way() noexcept;

 private:
  const int passed_over_;  // within one call of lock() or the like
  const LockOwner* refused_ = nullptr;
};

// The waiters for a lock or for permits, in their order of arrival, and which of them were woken
// for an offer and have not run since. For a primitive that may have several heirs.
class Heirs {
 public:
  using Lock = WaitQueue::Lock;

  class Member : public Heir {
   public:
    Member(const char* what, int passed_over, std::uint64_t place, bool shared) noexcept
        : Heir(what, passed_over), place_(place), shared_(shared) {}

    bool is_shared() const noexcept { return shared_; }

   private:
    friend class Heirs;

    enum class State : std::uint8_t { kWaiting, kOffered, kPassedOver };

    const std::uint64_t place_;
    State state_ = State::kWaiting;
    const bool shared_;
  };

  // Its lock guards everything here, and what is waited for.
  WaitQueue& queue() noexcept { return queue_; }
  static Heirs& of(WaitQueue& queue) noexcept { return object_with(queue, &Heirs::queue_); }

  // Waits until the caller has accepted an offer: true, and the lock is held again; or until
  // `deadline`: false. Releases the lock. Throws Cancelled, and then nothing was accepted.
  // `shared` is for the primitive's own use.
  bool wait(Lock& lock, TimePoint deadline, const char* what, bool shared = false);

  // The parts of it, for a caller that waits for other things as well: the place of a new waiter;
  // the waiter in front of which one with a place goes into the queue, null: at the end; and for
  // one that was woken, whether it has got what it was offered, or was passed over.
  std::uint64_t next_place(const Lock&) noexcept { return ++last_place_; }
  Waiter* successor(const Lock& lock, std::uint64_t place) const noexcept;
  bool accept(const Lock& lock, Member& self) noexcept;

  // The first waiter without an offer, or null. It is in the queue, or was passed over and has not
  // run since.
  Member* first(const Lock& lock) const noexcept;

  // Makes an offer to that first waiter, and adds it to `claimed` if it has to be woken. Returns
  // false if its wait has just ended; then it is off the queue.
  bool offer(Lock& lock, Member& first, Claimed& claimed) noexcept;

  // The heirs with an offer that is neither accepted nor taken: how many, the last one or null, and
  // the one before another or null.
  std::size_t offered(const Lock&) const noexcept { return count_; }
  Member* last_offered(const Lock&) const noexcept { return offered_.back(); }
  Member* previous_offered(const Lock&, const Member& member) const noexcept {
    return offered_.previous(member);
  }

  // Takes the offer of `member`, which keeps its place.
  void pass_over(const Lock&, Member& member) noexcept;

 private:
  WaitQueue queue_;
  // Both in the order of their places. A claimed waiter is off the queue, and its links are free.
  IntrusiveList<Member> offered_;
  IntrusiveList<Member> passed_over_;
  std::size_t count_ = 0;  // the length of offered_
  std::uint64_t last_place_ = 0;
};

}  // namespace weft::internal

#endif  // WEFT_SYNC_CORE_CONTENDED_WORD_H_
