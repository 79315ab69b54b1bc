#include "weft/sync/mutex.h"

#include "weft/fiber/core/error.h"
#include "weft/fiber/core/fiber.h"

namespace weft {

static_assert(alignof(Heir) >= 8);  // the word has three marks beside its address

bool Mutex::try_lock_for(AnyDuration time) {
  return lock_free() || lock_slowly(internal::deadline_within(time));
}

// Each that takes it counts that itself: lock_slowly(), lock_free() and take_offer().
bool Mutex::lock_slowly(TimePoint deadline) {
  LockOwner& owner = internal::caller();
  if (!wait_for(owner, deadline)) return false;
  ++owner.locks_held;
  return true;
}

[[gnu::always_inline]] inline bool Mutex::wait_for(const LockOwner& owner, TimePoint deadline) {
  const std::uintptr_t self = name_of(owner);
  WaitQueue::Lock lock(queue_);
  // Relaxed, here and below: where the mutex is taken the exchange acquires.
  std::uintptr_t word = word_.load(std::memory_order_relaxed);
  for (;;) {
    if (word == kFree) {
      if (replace(word_, word, self, std::memory_order_acquire)) return true;
    } else if ((word & ~kContended) == self) {
      fail_misuse("Mutex::lock: the caller holds it already; it would wait for itself");
    } else if (word & kContended ||
               replace(word_, word, word | kContended, std::memory_order_relaxed)) {
      break;
    }
  }
  Heir heir("Mutex::lock", 0);
  if (!queue_.wait(lock, heir, deadline)) return false;
  // Acquire: another owner may have had it since the wake-up, and offered it again.
  std::uintptr_t offered = offer_to(heir, false);
  if (replace(word_, offered, self | kContended, std::memory_order_acquire)) [[likely]]
    return true;
  return lock_passed_over(lock, heir, deadline);
}

// For an heir that found its offer taken. It may have a new one by now.
bool Mutex::lock_passed_over(WaitQueue::Lock& lock, const Heir& first, TimePoint deadline) {
  lock.lock();
  if (accept(lock, first)) return true;
  for (int passed_over = 1;; ++passed_over) {
    Heir heir("Mutex::lock", passed_over);
    // To the front: no other waiter was claimed since this one was.
    if (!queue_.wait_before(lock, queue_.first(lock), heir, deadline)) return false;
    lock.lock();
    if (accept(lock, heir)) return true;
  }
}

// Returns false if the offer was taken. The mutex has forgotten the heir then.
bool Mutex::accept(const WaitQueue::Lock&, const Heir& heir) noexcept {
  if (passed_over_ == &heir) {
    passed_over_ = nullptr;
    return false;
  }
  word_.store(name_of(internal::caller()) | kContended, std::memory_order_relaxed);
  return true;
}

bool Mutex::take_offer() noexcept {
  const WaitQueue::Lock lock(queue_);
  std::uintptr_t word = word_.load(std::memory_order_relaxed);
  if (!(word & kOffered)) return false;
  auto* const heir = reinterpret_cast<Heir*>(word & ~(kContended | kOffered | kFirm));
  if (word & kFirm && !heir->gives_way()) return false;
  // Acquire: pairs with the release in unlock_slowly(). It fails if the heir has accepted. If it
  // succeeds, the heir will need the lock to go on.
  LockOwner& self = internal::caller();
  if (!replace(word_, word, name_of(self) | kContended, std::memory_order_acquire)) return false;
  ++self.locks_held;
  passed_over_ = heir;
  return true;
}

void Mutex::unlock_slowly() {
  LockOwner& owner = internal::caller();
  const std::uintptr_t self = name_of(owner);
  // Relaxed, here and below: see is_held().
  std::uintptr_t word = word_.load(std::memory_order_relaxed);
  if ((word & ~kContended) != self) {
    throw_logic_error("weft::Mutex::unlock: the caller does not hold it");
  }
  --owner.locks_held;
  for (;; word = word_.load(std::memory_order_relaxed)) {
    // The last access: as soon as it is free, somebody may take and destroy it.
    if (word == self && replace(word_, word, kFree, std::memory_order_release)) return;
    WaitQueue::Lock lock(queue_);
    // Release, here and below: the next owner, the heir or a try, sees what this one did.
    if (passed_over_) {
      // It may run and accept before the lock is released here, but its own unlock() needs the
      // lock.
      word_.store(offer_to(*passed_over_, passed_over_->is_firm()), std::memory_order_release);
      passed_over_ = nullptr;
      return;
    }
    if (auto* const heir = static_cast<Heir*>(queue_.claim(lock))) {
      // kContended stays set even if the queue is empty now: of two that take turns the other one
      // comes back soon, and need not set it again.
      word_.store(offer_to(*heir, heir->is_firm()), std::memory_order_release);
      lock.unlock();
      heir->resume();
      return;
    }
    // All waiters have given up. Relaxed: see kContended.
    word_.store(self, std::memory_order_relaxed);
  }
}

// It is destroyed locked.
void Mutex::forget() noexcept {
  if (is_held()) --internal::caller().locks_held;
}

}  // namespace weft
