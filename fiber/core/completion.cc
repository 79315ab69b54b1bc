#include "weft/fiber/core/completion.h"

#include "weft/fiber/core/running.h"

namespace weft::internal {

bool Completion::wait(TimePoint deadline, const char* what) {
  if (done()) {
    count_wait();
    return true;
  }
  WaitQueue::Lock lock(queue_);
  // Relaxed: the lock orders this with complete().
  if (done_.load(std::memory_order_relaxed)) return true;
  return queue_.wait(lock, deadline, what);
}

}  // namespace weft::internal
