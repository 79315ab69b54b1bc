#include "weft/sync/once.h"

#include "weft/fiber/core/error.h"
#include "weft/fiber/core/fiber.h"
#include "weft/fiber/time.h"

namespace weft {

using internal::OwnedWait;
using internal::WaitQueue;

constinit const OwnedWait Once::kWait("call_once", &Once::owner_of);

OwnedWait::Owner Once::owner_of(WaitQueue& queue) noexcept {
  const Once& once = internal::object_with(queue, &Once::queue_);
  return {once.runner_.load(std::memory_order_relaxed)};  // relaxed: only the address matters
}

// Returns true if the caller is to call its function, and false if that has been done.
bool Once::begin() {
  const internal::LockOwner& self = internal::caller();
  internal::WaitQueue::Lock lock(queue_);
  for (;;) {
    // Relaxed, here and below: the lock orders them.
    if (done_.load(std::memory_order_relaxed)) return false;
    const internal::LockOwner* const runner = runner_.load(std::memory_order_relaxed);
    if (!runner) {
      runner_.store(&self, std::memory_order_relaxed);
      return true;
    }
    if (runner == &self) {
      internal::fail_misuse(
          "call_once: the function calls it for the same Once; it would wait for itself");
    }
    queue_.wait(lock, kForever, kWait);
    lock.lock();
  }
}

void Once::end(bool done) noexcept {
  internal::WaitQueue::Lock lock(queue_);
  runner_.store(nullptr, std::memory_order_relaxed);
  // Release: pairs with the acquire of done().
  if (done) done_.store(true, std::memory_order_release);
  queue_.wake_all(lock);
}

}  // namespace weft
