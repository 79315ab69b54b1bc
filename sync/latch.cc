#include "weft/sync/latch.h"

#include "weft/fiber/core/error.h"
#include "weft/fiber/core/running.h"

namespace weft {

using Lock = internal::WaitQueue::Lock;

Latch::Latch(std::int64_t count) : missing_(count) {
  if (count < 0) internal::throw_invalid_argument("weft::Latch: a negative count");
}

void Latch::arrive(std::int64_t n, bool and_wait) {
  if (and_wait) internal::count_wait();
  Lock lock(queue_);
  if (n < 0 || n > missing_) {
    lock.unlock();
    internal::throw_invalid_argument("weft::Latch: more arrivals than are missing, or negative");
  }
  missing_ -= n;
  if (missing_ == 0) return queue_.wake_all(lock);  // it may be gone then
  if (and_wait) queue_.wait(lock, kForever, "Latch::arrive_and_wait");
}

bool Latch::try_wait() const noexcept {
  const Lock lock(queue_);
  return missing_ == 0;
}

bool Latch::wait_until(AnyTimePoint deadline) const {
  internal::count_wait();
  Lock lock(queue_);
  return missing_ == 0 || queue_.wait(lock, deadline, "Latch::wait");
}

}  // namespace weft
