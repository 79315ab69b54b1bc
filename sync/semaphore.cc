#include "weft/sync/semaphore.h"

#include <limits>
#include <stdexcept>

#include "weft/fiber/this_fiber.h"
#include "weft/fiber/unhandled.h"

namespace weft {

Semaphore::Semaphore(std::int64_t permits) : permits_(permits) {
  if (permits < 0) throw_invalid_argument("weft::Semaphore: negative permits");
}

bool Semaphore::try_acquire_for(Duration time) {
  return try_acquire() || acquire_slowly(deadline_within(time));
}

bool Semaphore::acquire_slowly(TimePoint deadline) {
  WaitQueue::Lock lock(queue_);
  // Relaxed: announces the wait and carries nothing.
  std::int64_t none = 0;
  while (!replace(permits_, none, kContended, std::memory_order_relaxed) && none != kContended) {
    if (try_acquire()) return true;
    none = 0;
  }
  return queue_.wait(lock, deadline, "Semaphore::acquire");
}

void Semaphore::release(std::int64_t permits) {
  if (permits < 0) throw_invalid_argument("weft::Semaphore::release: negative permits");
  Claimed heirs;
  // Relaxed, here and below: where nobody waits the exchange releases, which pairs with the acquire
  // of try_acquire(); who waits sees what its waker did. That exchange is the last access: as soon
  // as there are permits, somebody may take one and destroy the semaphore.
  std::int64_t now = permits_.load(std::memory_order_relaxed);
  while (permits > 0) {
    if (now == kContended) {
      WaitQueue::Lock lock(queue_);
      now = permits_.load(std::memory_order_relaxed);
      if (now != kContended) continue;
      while (permits > 0) {
        Waiter* next = queue_.claim(lock);
        if (!next) {
          permits_.store(now = 0, std::memory_order_relaxed);
          break;
        }
        heirs.add(*next);
        --permits;
      }
    } else if (permits > std::numeric_limits<std::int64_t>::max() - now) {
      heirs.resume();
      throw std::overflow_error("weft::Semaphore::release: too many permits");
    } else if (replace(permits_, now, now + permits, std::memory_order_release)) {
      break;
    }
  }
  heirs.resume();
}

}  // namespace weft
