#include "weft/sync/mutex.h"

#include "weft/fiber/core/error.h"

namespace weft {

using internal::Heir;
using internal::LockOwner;
using internal::LockWord;
using internal::OwnedWait;
using internal::WaitQueue;

static_assert(alignof(Heir) >= 8);  // the word has three marks beside its address

constinit const OwnedWait Mutex::kLock("Mutex::lock", &Mutex::owner_of);

// Not known while it is offered to an heir, which will have it in a moment.
OwnedWait::Owner Mutex::owner_of(WaitQueue& queue) noexcept {
  const Word word = internal::object_with(queue, &Mutex::queue_).word_.look();
  if (word & kOffered) return {};
  return {reinterpret_cast<const LockOwner*>(word & ~kContended)};
}

// For a caller that is about to wait.
bool Mutex::is_free(Word word) const {
  if ((word & ~kContended) == LockWord::name_of(internal::caller())) {
    internal::fail_misuse("Mutex::lock: the caller holds it already; it would wait for itself");
  }
  return word == LockWord::kFree;
}

// Each call that takes the mutex counts it in the owner: lock_slowly(), take_offer(), and
// lock_free() of the word.
bool Mutex::lock_slowly(TimePoint deadline) {
  LockOwner& owner = internal::caller();
  Lock lock(queue_);
  const bool taken =
      word_.take_or_mark(lock, [&](Word& word) { return is_free(word) && word_.lock_free(word); });
  if (taken) return true;
  Heir heir(kLock, 0);
  if (!queue_.wait(lock, heir, deadline)) return false;
  Word offered = offer_to(heir, false);
  if (!word_.take(offered, LockWord::name_of(owner) | kContended)) [[unlikely]] {
    if (!lock_passed_over(lock, heir, deadline)) return false;
  }
  ++owner.locks_held;
  return true;
}

// For an heir that found its offer taken. It may have a new one by now.
bool Mutex::lock_passed_over(Lock& lock, const Heir& first, TimePoint deadline) {
  lock.lock();
  if (accept(lock, first)) return true;
  for (int passed_over = 1;; ++passed_over) {
    Heir heir(kLock, passed_over);
    // To the front: no other waiter was claimed since this one was.
    if (!queue_.wait_before(lock, queue_.first(lock), heir, deadline)) return false;
    lock.lock();
    if (accept(lock, heir)) return true;
  }
}

// Returns false if the offer was taken. The mutex has forgotten the heir then.
bool Mutex::accept(const Lock& lock, const Heir& heir) noexcept {
  if (passed_over_ == &heir) {
    passed_over_ = nullptr;
    return false;
  }
  word_.set(lock, LockWord::name_of(internal::caller()) | kContended);
  return true;
}

bool Mutex::take_offer() noexcept {
  const Lock lock(queue_);
  Word word = word_.look();
  if (!(word & kOffered)) return false;
  auto* const heir = reinterpret_cast<Heir*>(word & ~(kContended | kOffered | kFirm));
  if (word & kFirm && !heir->gives_way()) return false;
  // Fails if the heir has accepted. If it succeeds, the heir cannot go on before this releases the
  // queue's lock.
  LockOwner& self = internal::caller();
  if (!word_.take(word, LockWord::name_of(self) | kContended)) return false;
  ++self.locks_held;
  passed_over_ = heir;
  return true;
}

void Mutex::unlock_slowly() {
  word_.unlock_slowly(queue_, "weft::Mutex::unlock",
                      [this](Lock& lock) { return hand_over(lock); });
}

// Offers the mutex to the first waiter. Returns false if there is none.
[[gnu::always_inline]] inline bool Mutex::hand_over(Lock& lock) noexcept {
  if (passed_over_) {
    // The heir may run and accept before the lock is released, but its unlock() needs the lock.
    word_.set(lock, offer_to(*passed_over_, passed_over_->is_firm()));
    passed_over_ = nullptr;
    return true;
  }
  auto* const heir = static_cast<Heir*>(queue_.claim(lock));
  if (!heir) return false;  // the waits of all have ended
  // The mark stays even if the queue is empty now: if two callers take turns, the other one comes
  // back soon, and need not set it again.
  word_.set(lock, offer_to(*heir, heir->is_firm()));
  lock.unlock();
  heir->resume();
  return true;
}

}  // namespace weft
