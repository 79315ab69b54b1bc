#include "weft/sync/shared_mutex.h"

#include "weft/fiber/this_fiber.h"
#include "weft/fiber/unhandled.h"

namespace weft {

struct SharedMutex::Locker : Waiter {
  Locker(const char* its_what, bool is_shared) : Waiter(its_what), shared(is_shared) {}
  const bool shared;
};

// Orders, here and below. Announcing a wait acquires: it is how those that unlocked before are seen
// by whoever hands over later under the queue's lock. Storing a word releases where others may join
// without that lock: they have to see what the last writer did. The rest is relaxed: the lock and
// the wake-up order it.

template <bool kForShared>
bool SharedMutex::lock_slowly(TimePoint deadline) {
  const Word self = caller();
  WaitQueue::Lock lock(queue_);
  Word word = word_.load(std::memory_order_relaxed);
  for (;;) {
    if (word == kFree || (kForShared && is_open(word))) {
      const Word taken = kForShared ? (word | kShared) + kOne : self;
      if (replace(word_, word, taken, std::memory_order_acquire)) return true;
    } else if ((word & ~kContended) == self) {
      fail_misuse(kForShared
                      ? "SharedMutex::lock_shared: the caller holds it; it would wait for itself"
                      : "SharedMutex::lock: the caller holds it already; it would wait for itself");
    } else if (word & kContended ||
               replace(word_, word, word | kContended, std::memory_order_acquire)) {
      Locker locker(kForShared ? "SharedMutex::lock_shared" : "SharedMutex::lock", kForShared);
      return wait(lock, locker, deadline);
    }
  }
}

template bool SharedMutex::lock_slowly<false>(TimePoint);
template bool SharedMutex::lock_slowly<true>(TimePoint);

bool SharedMutex::try_lock_for(Duration time) {
  return try_lock() || lock_slowly<false>(deadline_within(time));
}

bool SharedMutex::try_lock_shared_for(Duration time) {
  return try_lock_shared() || lock_slowly<true>(deadline_within(time));
}

bool SharedMutex::wait(WaitQueue::Lock& lock, Locker& locker, TimePoint deadline) {
  try {
    if (queue_.wait(lock, locker, deadline)) return true;
  } catch (...) {
    give_up();
    throw;
  }
  give_up();
  return false;
}

// Those who waited behind a writer that has left may be admitted now.
void SharedMutex::give_up() noexcept {
  WaitQueue::Lock lock(queue_);
  const Word word = word_.load(std::memory_order_relaxed);
  if (word & kContended) hand_over(lock, word & ~kContended);
}

void SharedMutex::unlock_slowly() {
  const Word self = caller();
  for (;;) {
    Word word = word_.load(std::memory_order_relaxed);
    if ((word & ~kContended) != self) {
      throw_logic_error("weft::SharedMutex::unlock: the caller does not hold it");
    }
    // The last access: as soon as it is free, somebody may take and destroy it.
    if (word == self && replace(word_, word, kFree, std::memory_order_release)) return;
    WaitQueue::Lock lock(queue_);
    if (hand_over(lock, kFree)) return;
    word_.store(self, std::memory_order_relaxed);
  }
}

void SharedMutex::unlock_shared_slowly() {
  while (!try_unlock_shared()) {  // again the last access
    WaitQueue::Lock lock(queue_);
    const Word word = word_.load(std::memory_order_relaxed);
    if (!(word & kShared)) {
      lock.unlock();
      throw_logic_error("weft::SharedMutex::unlock_shared: nobody holds it shared");
    }
    if (is_open(word)) continue;
    if (hand_over(lock, less_one(word & ~kContended))) return;
    word_.store(kShared | kOne, std::memory_order_release);
  }
}

// Admits whoever may join those that `rest` says hold it still. Returns false, with the lock held,
// if then nobody holds it: it must not be free before the lock is released.
// If nobody waits any more the word is stored without kContended, and those that it names may
// unlock it at once, and one of them destroy it, while the lock still is to be released here. They
// cannot: heirs run only afterwards, and if there are none, somebody is about to give up, who needs
// this lock and may not find the mutex destroyed.
bool SharedMutex::hand_over(WaitQueue::Lock& lock, Word rest) noexcept {
  Claimed heirs;
  while (auto* first = static_cast<Locker*>(queue_.first(lock))) {
    const bool fits = rest == kFree || (first->shared && rest & kShared);
    if (!fits) break;
    if (!queue_.claim_first(lock)) continue;
    heirs.add(*first);
    rest = first->shared ? (rest | kShared) + kOne : reinterpret_cast<Word>(first->who());
  }
  if (rest == kFree) return false;
  word_.store(queue_.first(lock) ? rest | kContended : rest, std::memory_order_release);
  lock.unlock();
  heirs.resume();
  return true;
}

}  // namespace weft
