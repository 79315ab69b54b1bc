#include "weft/sync/semaphore.h"

#include <limits>
#include <stdexcept>

#include "weft/fiber/core/error.h"
#include "weft/fiber/core/running.h"

namespace weft {

Semaphore::Semaphore(std::int64_t permits) : permits_(permits) {
  if (permits < 0) throw_invalid_argument("weft::Semaphore: negative permits");
}

bool Semaphore::try_acquire_for(AnyDuration time) {
  internal::count_wait();
  return acquire_free() || acquire_slowly(internal::deadline_within(time));
}

bool Semaphore::acquire_slowly(TimePoint deadline) {
  Heirs::Lock lock = heirs_.lock();
  // Relaxed: announces the wait and carries nothing.
  std::int64_t word = 0;
  while (!replace(permits_, word, kContended, std::memory_order_relaxed) && word >= 0) {
    if (acquire_free()) return true;
    word = 0;
  }
  if (word < kContended) {
    // Relaxed, here and below: what changes under the lock is ordered by it.
    permits_.store(word + 1, std::memory_order_relaxed);
    return true;
  }
  return heirs_.wait(lock, deadline, "Semaphore::acquire");
}

bool Semaphore::take_offer() noexcept {
  {
    const Heirs::Lock lock = heirs_.lock();
    const std::int64_t word = permits_.load(std::memory_order_relaxed);
    if (word < kContended) {
      permits_.store(word + 1, std::memory_order_relaxed);
      return true;
    }
    if (word == kContended) {
      // The last one, so that those in front of it run with what they were offered.
      Heirs::Member* heir = heirs_.last_offered(lock);
      while (heir && !heir->gives_way()) heir = heirs_.previous_offered(lock, *heir);
      if (heir) heirs_.pass_over(lock, *heir);
      return heir != nullptr;
    }
  }
  return acquire_free();
}

void Semaphore::release(std::int64_t permits) {
  if (permits < 0) throw_invalid_argument("weft::Semaphore::release: negative permits");
  Claimed woken;
  // Relaxed, here and below: where nobody waits the exchange releases, which pairs with the acquire
  // of acquire_free(). That exchange is the last access: as soon as there are permits, one may be
  // taken, and the semaphore destroyed.
  std::int64_t now = permits_.load(std::memory_order_relaxed);
  while (permits > 0) {
    if (now < 0) {
      Heirs::Lock lock = heirs_.lock();
      now = permits_.load(std::memory_order_relaxed);
      if (now >= 0) continue;
      while (permits > 0) {
        Heirs::Member* const first = heirs_.first(lock);
        if (!first) break;
        if (heirs_.offer(lock, *first, woken)) --permits;
      }
      if (permits == 0) break;
      now = flipped(now);
      if (heirs_.offered(lock) == 0) {
        // Release: these may have been released by others, under the lock. They are free from now
        // on.
        permits_.store(now, std::memory_order_release);
      } else if (permits <= std::numeric_limits<std::int64_t>::max() - now) {
        // Still contended: what was offered may be taken, under the lock.
        permits_.store(flipped(now + permits), std::memory_order_relaxed);
        break;
      }
    }
    if (permits > std::numeric_limits<std::int64_t>::max() - now) {
      woken.resume();
      throw std::overflow_error("weft::Semaphore::release: too many permits");
    }
    if (replace(permits_, now, now + permits, std::memory_order_release)) break;
  }
  woken.resume();
}

}  // namespace weft
