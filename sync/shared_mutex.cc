#include "weft/sync/shared_mutex.h"

#include "weft/fiber/core/error.h"
#include "weft/fiber/core/fiber.h"

namespace weft {

// Orders, here and below. Announcing a wait acquires: it is how those that unlocked before are seen
// by whoever hands over later under the queue's lock. Storing a word releases where others may join
// without that lock: they have to see what the last writer did. The rest is relaxed: the lock and
// the wake-up order it.

// A hold that is exclusive is counted by each that takes it: lock_slowly(), lock_free() and
// take_offer(). Who holds it shared is not known.
template <bool kForShared>
bool SharedMutex::lock_slowly(TimePoint deadline) {
  LockOwner& owner = internal::caller();
  if (!wait_for<kForShared>(owner, deadline)) return false;
  if (!kForShared) ++owner.locks_held;
  return true;
}

template <bool kForShared>
[[gnu::always_inline]] inline bool SharedMutex::wait_for(const LockOwner& owner,
                                                         TimePoint deadline) {
  const Word self = name_of(owner);
  Heirs::Lock lock = heirs_.lock();
  Word word = word_.load(std::memory_order_relaxed);
  for (;;) {
    if (word == kFree || (kForShared && is_open(word))) {
      const Word taken = kForShared ? (word | kShared) + kOne : self;
      if (replace(word_, word, taken, std::memory_order_acquire)) return true;
    } else if ((word & ~kContended) == self) {
      fail_misuse(kForShared
                      ? "SharedMutex::lock_shared: the caller holds it; it would wait for itself"
                      : "SharedMutex::lock: the caller holds it already; it would wait for itself");
    } else if (kForShared && word & kShared && !heirs_.first(lock)) {
      word_.store(word + kOne, std::memory_order_relaxed);  // contended only by heirs that share it
      return true;
    } else if (word & kContended ||
               replace(word_, word, word | kContended, std::memory_order_acquire)) {
      return wait(lock, deadline, kForShared);
    }
  }
}

template bool SharedMutex::lock_slowly<false>(TimePoint);
template bool SharedMutex::lock_slowly<true>(TimePoint);

bool SharedMutex::try_lock_for(AnyDuration time) {
  return lock_free() || lock_slowly<false>(internal::deadline_within(time));
}

bool SharedMutex::try_lock_shared_for(AnyDuration time) {
  return lock_free_shared() || lock_slowly<true>(internal::deadline_within(time));
}

bool SharedMutex::wait(Heirs::Lock& lock, TimePoint deadline, bool shared) {
  const char* const what = shared ? "SharedMutex::lock_shared" : "SharedMutex::lock";
  try {
    if (heirs_.wait(lock, deadline, what, shared)) {
      const Word word = word_.load(std::memory_order_relaxed);
      word_.store(marked(lock, word & ~kContended), std::memory_order_release);
      return true;
    }
  } catch (...) {
    give_up();
    throw;
  }
  give_up();
  return false;
}

// The word as it has to be: with kContended if an heir waits, was passed over, or has an offer.
SharedMutex::Word SharedMutex::marked(const Heirs::Lock& lock, Word word) const noexcept {
  return heirs_.first(lock) || heirs_.offered(lock) > 0 ? word | kContended : word;
}

template <bool kForShared>
bool SharedMutex::take_offer() noexcept {
  Heirs::Lock lock = heirs_.lock();
  const Word word = word_.load(std::memory_order_relaxed);
  if (!(word & kContended)) {
    lock.unlock();
    return kForShared ? lock_free_shared() : lock_free();
  }
  // Whether only heirs have it, and none has accepted yet.
  const std::size_t offered = heirs_.offered(lock);
  const bool untouched = word & kShared ? count(word) == offered : offered > 0;
  if (kForShared && word & kShared) {
    if (!untouched && heirs_.first(lock)) return false;
    word_.store(word + kOne, std::memory_order_relaxed);
    return true;
  }
  if (!untouched || !may_be_taken(lock)) return false;
  while (Heirs::Member* heir = heirs_.last_offered(lock)) heirs_.pass_over(lock, *heir);
  LockOwner& self = internal::caller();
  if (!kForShared) ++self.locks_held;
  const Word taken = kForShared ? kShared | kOne : name_of(self);
  word_.store(taken | kContended, std::memory_order_relaxed);
  return true;
}

template bool SharedMutex::take_offer<false>() noexcept;
template bool SharedMutex::take_offer<true>() noexcept;

// Whether all that have an offer give way. All are asked each time: they remember it.
bool SharedMutex::may_be_taken(const Heirs::Lock& lock) noexcept {
  bool all = true;
  for (Heirs::Member* heir = heirs_.last_offered(lock); heir;
       heir = heirs_.previous_offered(lock, *heir)) {
    all &= heir->gives_way();
  }
  return all;
}

// Those who waited behind a writer that has left may be admitted now.
void SharedMutex::give_up() noexcept {
  Heirs::Lock lock = heirs_.lock();
  const Word word = word_.load(std::memory_order_relaxed);
  if (word & kContended) hand_over(lock, word & ~kContended);
}

// Whether the caller holds it exclusively.
bool SharedMutex::is_held() const noexcept {
  const Word word = word_.load(std::memory_order_relaxed);  // relaxed: see unlock()
  return (word & ~kContended) == name_of(internal::caller());
}

// It is destroyed locked.
void SharedMutex::forget() noexcept {
  if (is_held()) --internal::caller().locks_held;
}

void SharedMutex::unlock_slowly() {
  if (!is_held()) throw_logic_error("weft::SharedMutex::unlock: the caller does not hold it");
  LockOwner& owner = internal::caller();
  --owner.locks_held;
  const Word self = name_of(owner);
  for (;;) {
    Word word = word_.load(std::memory_order_relaxed);
    // The last access: as soon as it is free, somebody may take and destroy it.
    if (word == self && replace(word_, word, kFree, std::memory_order_release)) return;
    Heirs::Lock lock = heirs_.lock();
    if (hand_over(lock, kFree)) return;
    word_.store(self, std::memory_order_relaxed);
  }
}

void SharedMutex::unlock_shared_slowly() {
  while (!try_unlock_shared()) {  // again the last access
    Heirs::Lock lock = heirs_.lock();
    const Word word = word_.load(std::memory_order_relaxed);
    // Heirs that have not accepted do not hold it.
    if (!(word & kShared) || count(word) == heirs_.offered(lock)) {
      lock.unlock();
      throw_logic_error("weft::SharedMutex::unlock_shared: nobody holds it shared");
    }
    if (is_open(word)) continue;
    if (hand_over(lock, less_one(word & ~kContended))) return;
    word_.store(kShared | kOne, std::memory_order_release);
  }
}

// Offers it to the waiters that may join the holders that `rest` names. Returns false, with the
// lock held, if it then has no holder: it must not be free before the lock is released. If no heir
// is left, the word is stored without kContended. From then on its holders may unlock it without
// the lock, and the last one may destroy it, while this call has yet to release the lock. That does
// not happen: kContended was set until now because a waiter is about to give up. It needs this
// lock, and the mutex must not be destroyed before it has returned.
bool SharedMutex::hand_over(Heirs::Lock& lock, Word rest) noexcept {
  Claimed woken;
  while (Heirs::Member* first = heirs_.first(lock)) {
    const bool fits = rest == kFree || (first->is_shared() && rest & kShared);
    if (!fits) break;
    if (!heirs_.offer(lock, *first, woken)) continue;
    rest = first->is_shared() ? (rest | kShared) + kOne : name_of(first->owner());
  }
  if (rest == kFree) return false;
  word_.store(marked(lock, rest), std::memory_order_release);
  lock.unlock();
  woken.resume();
  return true;
}

}  // namespace weft
