#include "weft/sync/once.h"

#include "weft/fiber/core/error.h"
#include "weft/fiber/core/fiber.h"
#include "weft/fiber/time.h"

namespace weft {

// Returns true if the caller is to call its function, and false if that has been done.
bool Once::begin() {
  const internal::LockOwner& self = internal::caller();
  internal::WaitQueue::Lock lock(queue_);
  for (;;) {
    if (done_.load(std::memory_order_relaxed)) return false;  // relaxed: the lock orders it
    if (!runner_) {
      runner_ = &self;
      return true;
    }
    if (runner_ == &self) {
      internal::fail_misuse(
          "call_once: the function calls it for the same Once; it would wait for itself");
    }
    queue_.wait(lock, kForever, "call_once");
    lock.lock();
  }
}

void Once::end(bool done) noexcept {
  internal::WaitQueue::Lock lock(queue_);
  runner_ = nullptr;
  // Release: pairs with the acquire of done().
  if (done) done_.store(true, std::memory_order_release);
  queue_.wake_all(lock);
}

}  // namespace weft
