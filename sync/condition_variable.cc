#include "weft/sync/condition_variable.h"

#include "weft/fiber/core/cancel_scope.h"
#include "weft/fiber/core/error.h"

namespace weft {

void ConditionVariable::notify_one() noexcept {
  internal::WaitQueue::Lock lock(queue_);
  if (internal::Waiter* next = queue_.claim(lock)) {
    lock.unlock();
    next->resume();
  }
}

void ConditionVariable::notify_all() noexcept {
  internal::WaitQueue::Lock lock(queue_);
  queue_.wake_all(lock);
}

std::cv_status ConditionVariable::wait_until(std::unique_lock<Mutex>& lock, AnyTimePoint deadline) {
  check(lock);
  internal::Waiter waiter("ConditionVariable::wait");
  {
    internal::WaitQueue::Lock guard(queue_);
    queue_.enqueue(guard, waiter);
  }
  // From here on the queue is not touched: once this is notified, another thread may destroy it.
  struct Unlocked {
    explicit Unlocked(std::unique_lock<Mutex>& its_lock) : lock(its_lock) { lock.unlock(); }
    ~Unlocked() {
      const internal::ShieldScope unwatched;
      lock.lock();
    }
    std::unique_lock<Mutex>& lock;
  } const unlocked(lock);
  return waiter.park(deadline) ? std::cv_status::no_timeout : std::cv_status::timeout;
}

void ConditionVariable::check(const std::unique_lock<Mutex>& lock) {
  if (!lock.owns_lock() || !lock.mutex()->is_held()) {
    internal::throw_logic_error(
        "weft::ConditionVariable::wait: the caller does not hold the mutex");
  }
}

}  // namespace weft
