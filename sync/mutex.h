#ifndef WEFT_SYNC_MUTEX_H_
#define WEFT_SYNC_MUTEX_H_

#include <cstdint>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/fiber.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/time.h"
#include "weft/sync/core/heirs.h"

namespace weft {

// Mutual exclusion among fibers and threads. Works with std::lock_guard, std::unique_lock and
// std::scoped_lock. Not recursive. A fiber, a thread or a job of a ThreadPool that ends
// while it owns a Mutex ends the program with a sentence; destroying the Mutex counts as unlocking.
//
//   const std::scoped_lock both(a, b);  // in any order, with locks of other libraries, too
//
// Fair: unlock() gives the mutex to the waiter that waited longest, and no call that may wait
// overtakes. Only try_lock() may: it takes a mutex that was given to a waiter, the heir, which has
// not run since. The heir keeps its place at the head of the queue. If it has run
// Heir::kMostPassedOver (4) times in one call and found the mutex taken, tries fail until it has
// run again. Only a fiber of its own scheduler that tries twice in a row gets the mutex even then,
// for it may be a loop that never waits: beside such a loop the heir may starve. This is what makes
// std::lock() and std::scoped_lock end: see README.md, "Offers". The holder may wait, in which case
// others queue up. Locking and unlocking cost one atomic operation each while there are no waiters.
//
// Threads: fibers of any scheduler and plain threads, at once; a thread that waits blocks.
// Memory: what was done before unlock() is seen after the next lock().
// Lifetime: may be destroyed by whoever locked it last and unlocked it, once nobody else will use
// it: an unlock() that is still on its way out elsewhere touches it no more.
class Mutex {
 public:
  Mutex() = default;
  ~Mutex() {
    if (word_.load(std::memory_order_relaxed) != kFree) [[unlikely]]  // relaxed: see is_held()
      forget();
  }
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  // Waits until it is the caller's. A cancellation point if it has to wait: see shield() for
  // locking in a noexcept function. REQUIRES: the caller does not hold it already, or the program
  // ends with a sentence.
  void lock() {
    if (!lock_free()) [[unlikely]]
      lock_slowly(kForever);
  }

  // Takes it if it is free, or if it was given to a waiter that has not run since. Does not wait.
  // Returns false if another fiber or thread holds it, or the caller itself, or if it is kept for a
  // waiter that was passed over too often. A loop of tries that never waits keeps a holder on its
  // own scheduler from running, and so may not end.
  bool try_lock() noexcept {
    std::uintptr_t word = word_.load(std::memory_order_relaxed);  // relaxed: see lock_free()
    return lock_free(word) || (word & kOffered && take_offer());
  }

  // Wait, but not for longer than this. Return whether it is the caller's. A negative duration
  // counts as zero; other fibers may still run. Cancellation points if they have to wait. REQUIRES:
  // as lock().
  bool try_lock_for(AnyDuration time);
  bool try_lock_until(AnyTimePoint deadline) { return lock_free() || lock_slowly(deadline); }

  // Gives it to the waiter that waited longest. Does not wait. Throws std::logic_error, and does
  // nothing, if the caller does not hold it.
  void unlock() {
    // Relaxed: see is_held(). Release: the next owner sees what this one did.
    LockOwner& self = internal::caller();
    std::uintptr_t mine = word_.load(std::memory_order_relaxed);
    if (mine != name_of(self) || !replace(word_, mine, kFree, std::memory_order_release)) {
      return unlock_slowly();
    }
    --self.locks_held;
  }

  // Whether the caller holds it.
  bool is_held() const noexcept {
    // Relaxed: only the caller itself makes its own name come or go.
    return (word_.load(std::memory_order_relaxed) & ~kContended) == name_of(internal::caller());
  }

 private:
  static constexpr std::uintptr_t kFree = 0;
  static constexpr std::uintptr_t kContended = 1;
  static constexpr std::uintptr_t kOffered = 2;
  static constexpr std::uintptr_t kFirm = 4;

  static std::uintptr_t name_of(const LockOwner& owner) noexcept {
    return reinterpret_cast<std::uintptr_t>(&owner);
  }

  static std::uintptr_t offer_to(const Heir& heir, bool firm) noexcept {
    const std::uintptr_t mark = firm ? kFirm : 0;
    return reinterpret_cast<std::uintptr_t>(&heir) | kOffered | kContended | mark;
  }

  bool lock_free() noexcept {
    std::uintptr_t word = word_.load(std::memory_order_relaxed);
    return lock_free(word);
  }
  // Where `word` was loaded a moment ago. If this fails it is newer. The load may be relaxed, and
  // spares an exchange that would fail. Acquire: pairs with the release in unlock().
  bool lock_free(std::uintptr_t& word) noexcept {
    if (word != kFree) [[unlikely]]
      return false;
    LockOwner& self = internal::caller();
    if (!replace(word_, word, name_of(self), std::memory_order_acquire)) return false;
    ++self.locks_held;
    return true;
  }

  bool lock_slowly(TimePoint deadline);
  bool wait_for(const LockOwner& owner, TimePoint deadline);
  bool take_offer() noexcept;
  bool lock_passed_over(WaitQueue::Lock& lock, const Heir& first, TimePoint deadline);
  bool accept(const WaitQueue::Lock& lock, const Heir& heir) noexcept;
  void unlock_slowly();
  void forget() noexcept;

  // One of
  //   kFree
  //   the owner, with kContended if there may be waiters
  //   the Heir that it is offered to, with kOffered and kContended, and kFirm if the offer is firm.
  // Once kContended is set, the word changes under the queue's lock only. The one exception is an
  // heir that accepts an offer that is not firm. Accepting a firm one takes the lock, because a try
  // looks at the heir itself, which so is still there.
  Atomic<std::uintptr_t> word_{kFree};
  WaitQueue queue_;
  // The heir whose offer was taken and that has not run since, or null. It comes before the waiters
  // in the queue.
  Heir* passed_over_ = nullptr;
};

}  // namespace weft

#endif  // WEFT_SYNC_MUTEX_H_
