#include "weft/sync/shared_mutex.h"

#include "weft/fiber/core/error.h"
#include "weft/fiber/core/fiber.h"

namespace weft {

using internal::Heirs;
using internal::LockOwner;
using internal::LockWord;
using internal::OwnedWait;
using internal::WaitQueue;

constinit const OwnedWait SharedMutex::kLock("SharedMutex::lock", &SharedMutex::owner_of);
constinit const OwnedWait SharedMutex::kLockShared("SharedMutex::lock_shared",
                                                   &SharedMutex::owner_of);

// The exclusive holder, or the heir that it is offered to. The shared holders are not known.
OwnedWait::Owner SharedMutex::owner_of(WaitQueue& queue) noexcept {
  const SharedMutex& mutex = internal::object_with(Heirs::of(queue), &SharedMutex::heirs_);
  const Word word = mutex.word_.look();
  if (word & kShared) return {};
  return {reinterpret_cast<const LockOwner*>(word & ~kContended)};
}

// Each call that takes the mutex exclusively counts it in the owner: lock_slowly(), take_offer(),
// and lock_free() of the word. The shared holders are not known.
bool SharedMutex::lock_slowly(TimePoint deadline, bool shared) {
  LockOwner& owner = internal::caller();
  Lock lock(heirs_.queue());
  const bool taken = word_.take_or_mark(lock, [&](Word& word) {
    if ((word & ~kContended) == LockWord::name_of(owner)) {
      internal::fail_misuse(
          shared ? "SharedMutex::lock_shared: the caller holds it; it would wait for itself"
                 : "SharedMutex::lock: the caller holds it already; it would wait for itself");
    }
    if (!shared) return word_.lock_free(word);
    if (lock_free_shared(word)) return true;
    if (!(word & kShared) || heirs_.first(lock)) return false;
    word_.set(lock, word + kOne);  // the mark is there only for heirs that share it
    return true;
  });
  if (taken) return true;
  bool accepted = false;
  try {
    accepted = heirs_.wait(lock, deadline, shared ? kLockShared : kLock, shared);
  } catch (...) {
    admit_waiters();
    throw;
  }
  if (!accepted) {
    admit_waiters();
    return false;
  }
  word_.set(lock, marked(lock, word_.look() & ~kContended));
  if (!shared) ++owner.locks_held;
  return true;
}

// Returns the word with kContended if an heir waits, was passed over, or has an offer.
SharedMutex::Word SharedMutex::marked(const Lock& lock, Word word) const noexcept {
  return heirs_.first(lock) || heirs_.offered(lock) > 0 ? word | kContended : word;
}

bool SharedMutex::take_offer(bool shared) noexcept {
  Lock lock(heirs_.queue());
  const Word word = word_.look();
  if (!(word & kContended)) {
    lock.unlock();
    return shared ? lock_free_shared() : word_.lock_free();
  }
  // True if all holders are heirs that have not accepted yet.
  const std::size_t offered = heirs_.offered(lock);
  const bool untouched = word & kShared ? count(word) == offered : offered > 0;
  if (shared && word & kShared) {
    if (!untouched && heirs_.first(lock)) return false;
    word_.set(lock, word + kOne);
    return true;
  }
  if (!untouched || !may_be_taken(lock)) return false;
  while (Heirs::Member* heir = heirs_.last_offered(lock)) heirs_.pass_over(lock, *heir);
  LockOwner& self = internal::caller();
  if (!shared) ++self.locks_held;
  word_.set(lock, (shared ? kShared | kOne : LockWord::name_of(self)) | kContended);
  return true;
}

// Returns whether all heirs with an offer give way. All are asked each time, as they remember it.
bool SharedMutex::may_be_taken(const Lock& lock) noexcept {
  bool all = true;
  for (Heirs::Member* heir = heirs_.last_offered(lock); heir;
       heir = heirs_.previous_offered(lock, *heir)) {
    all &= heir->gives_way();
  }
  return all;
}

// To be called when a wait has ended without the mutex: readers behind a writer may get it now.
void SharedMutex::admit_waiters() noexcept {
  Lock lock(heirs_.queue());
  const Word word = word_.look();
  if (word & kContended) hand_over(lock, word & ~kContended);
}

void SharedMutex::unlock_slowly() {
  word_.unlock_slowly(heirs_.queue(), "weft::SharedMutex::unlock",
                      [this](Lock& lock) { return hand_over(lock, kFree); });
}

void SharedMutex::unlock_shared_slowly() {
  bool is_held = true;
  word_.give_or_hand_over(
      heirs_.queue(),
      [&](Word& word) {
        is_held = word & kShared;
        return !is_held || word_.give(word, less_one(word));
      },
      [&](Lock& lock, Word word) {
        // Heirs that have not accepted do not hold it.
        is_held = word & kShared && count(word) != heirs_.offered(lock);
        if (!is_held || hand_over(lock, less_one(word & ~kContended))) return true;
        word_.set(lock, kShared | kOne);
        return false;
      });
  if (!is_held)
    internal::throw_logic_error("weft::SharedMutex::unlock_shared: nobody holds it shared");
}

// Offers the mutex to the waiters that may join the holders that `rest` names. Returns false, with
// the lock held, if there is no holder then: the mutex must not be free before the lock is
// released.
//
// If no heir is left, the word is stored without kContended. From then on holders may unlock
// without the lock, and the last one might destroy the mutex before this call has released the
// lock. That cannot happen: kContended was still set because a wait is about to end without the
// mutex. That wait needs this lock, and the mutex must not be destroyed before it has returned.
bool SharedMutex::hand_over(Lock& lock, Word rest) noexcept {
  internal::Claimed woken;
  while (Heirs::Member* first = heirs_.first(lock)) {
    const bool fits = rest == kFree || (first->is_shared() && rest & kShared);
    if (!fits) break;
    if (!heirs_.offer(lock, *first, woken)) continue;
    rest = first->is_shared() ? (rest | kShared) + kOne : LockWord::name_of(first->owner());
  }
  if (rest == kFree) return false;
  word_.set(lock, marked(lock, rest));
  lock.unlock();
  woken.resume();
  return true;
}

}  // namespace weft
