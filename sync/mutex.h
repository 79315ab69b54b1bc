#ifndef WEFT_SYNC_MUTEX_H_
#define WEFT_SYNC_MUTEX_H_

#include "weft/fiber/core/fiber.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/time.h"
#include "weft/sync/core/contended_word.h"

namespace weft {

// Mutual exclusion among fibers and threads. Works with std::lock_guard, std::unique_lock and
// std::scoped_lock. Not recursive. A fiber, a thread or a job of a ThreadPool that ends
// while it owns a Mutex ends the program with a sentence; destroying the Mutex counts as unlocking.
//
//   weft::Mutex mutex;
//   const std::lock_guard lock(mutex);
//   const std::scoped_lock both(a, b);  // in any order, with locks of other libraries, too
//
// Fair: unlock() gives the mutex to the waiter that waited longest, and no call that may wait
// overtakes. Only try_lock() may: it takes a mutex that was given to a waiter, the heir, which has
// not run since. The heir keeps its place at the head of the queue. If it has run four times in one
// call and found the mutex taken, tries fail until it has run again. Only a fiber of its own
// scheduler that tries twice in a row gets the mutex even then, for it may be a loop that never
// waits: beside such a loop the heir may starve. This is what makes std::lock() and
// std::scoped_lock end: see README.md, "Offers". The holder may wait, in which case others queue
// up. Locking and unlocking cost one atomic operation each while there are no waiters.
//
// Threads: fibers of any scheduler and plain threads, at once; a thread that waits blocks.
// Memory: what was done before unlock() is seen after the next lock().
// Lifetime: the last caller that locks it may destroy it after its unlock(): an earlier unlock()
// that has yet to return touches it no more.
class Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  // Waits until the caller has it. A cancellation point if it has to wait: see shield() for locking
  // in a noexcept function. REQUIRES: the caller does not hold it already, or the program ends with
  // a sentence.
  void lock() {
    if (!word_.lock_free()) [[unlikely]]
      lock_slowly(kForever);
  }

  // Takes it if it is free, or if it was given to a waiter that has not run since. Does not wait.
  // Returns false if another fiber or thread holds it, or the caller itself, or if it is kept for a
  // waiter that was passed over too often. A loop of tries that never waits keeps a holder on its
  // own scheduler from running, and so may not end.
  bool try_lock() noexcept {
    Word word = word_.look();
    return word_.lock_free(word) || (word & kOffered && take_offer());
  }

  // Wait at most until then. Return whether the caller has it. A negative duration counts as zero;
  // other fibers may still run. Cancellation points if they have to wait. REQUIRES: as lock().
  bool try_lock_for(AnyDuration time) {
    return word_.lock_free() || lock_slowly(internal::deadline_within(time));
  }
  bool try_lock_until(AnyTimePoint deadline) { return word_.lock_free() || lock_slowly(deadline); }

  // Gives it to the waiter that waited longest. Does not wait. Throws std::logic_error, and does
  // nothing, if the caller does not hold it.
  void unlock() {
    if (!word_.unlock_free()) unlock_slowly();
  }

  // Whether the caller holds it.
  bool is_held() const noexcept { return word_.is_held_by(internal::caller()); }

  // For weft::select(): that it is locked.
  class Case;

 private:
  using Lock = internal::WaitQueue::Lock;
  using Word = internal::LockWord::Word;

  static constexpr Word kContended = internal::LockWord::kContended;
  static constexpr Word kOffered = 2;
  static constexpr Word kFirm = 4;

  static Word offer_to(const internal::Heir& heir, bool firm) noexcept {
    return reinterpret_cast<Word>(&heir) | kOffered | kContended | (firm ? kFirm : 0);
  }

  static internal::OwnedWait::Owner owner_of(internal::WaitQueue& queue) noexcept;
  static const internal::OwnedWait kLock;

  bool is_free(Word word) const;
  bool lock_slowly(TimePoint deadline);
  bool lock_passed_over(Lock& lock, const internal::Heir& first, TimePoint deadline);
  bool accept(const Lock& lock, const internal::Heir& heir) noexcept;
  bool take_offer() noexcept;
  void unlock_slowly();
  bool hand_over(Lock& lock) noexcept;

  // Free; or the owner, perhaps marked; or the Heir that it is offered to, with kOffered, marked,
  // and with kFirm if the offer is firm. An heir accepts an offer that is not firm without the
  // queue's lock. Accepting a firm one takes the lock, because a try looks at the heir itself,
  // which so is still there.
  internal::LockWord word_;
  internal::WaitQueue queue_;
  // The heir whose offer was taken and that has not run since, or null. It comes before the waiters
  // in the queue.
  internal::Heir* passed_over_ = nullptr;
};

}  // namespace weft

#endif  // WEFT_SYNC_MUTEX_H_
