#include "weft/sync/barrier.h"

#include "weft/fiber/core/error.h"
#include "weft/fiber/core/running.h"

namespace weft {

Barrier::Barrier(std::int64_t parties) : parties_(parties) {
  if (parties <= 0) internal::throw_invalid_argument("weft::Barrier: no parties");
}

bool Barrier::arrive_and_wait() {
  internal::count_wait();
  internal::WaitQueue::Lock lock(queue_);
  if (++arrived_ == parties_) {
    arrived_ = 0;
    ++opened_;
    queue_.wake_all(lock);
    return true;
  }
  const std::uint64_t round = opened_;
  try {
    queue_.wait(lock, kForever, "Barrier::arrive_and_wait");
    return false;
  } catch (...) {
    const internal::WaitQueue::Lock again(queue_);
    if (opened_ == round) --arrived_;
    throw;
  }
}

}  // namespace weft
