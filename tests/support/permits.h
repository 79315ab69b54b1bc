#ifndef WEFT_TESTS_SUPPORT_PERMITS_H_
#define WEFT_TESTS_SUPPORT_PERMITS_H_

#include "weft/fiber/core/wait_queue.h"

namespace weft::test {

using namespace internal;

// The smallest primitive: what is handed over can be counted.
class Permits {
 public:
  explicit Permits(int count = 0) : count_(count) {}

  bool acquire(TimePoint deadline = kForever, const char* what = "acquire") {
    WaitQueue::Lock lock(queue_);
    if (count_ > 0) {
      --count_;
      return true;
    }
    return queue_.wait(lock, deadline, what);
  }

  void release() {
    WaitQueue::Lock lock(queue_);
    if (Waiter* next = queue_.claim(lock)) {
      lock.unlock();
      next->resume();
    } else {
      ++count_;
    }
  }

  int count() {
    const WaitQueue::Lock lock(queue_);
    return count_;
  }
  bool nobody_waits() {
    const WaitQueue::Lock lock(queue_);
    return queue_.empty(lock);
  }
  WaitQueue& queue() { return queue_; }

 private:
  WaitQueue queue_;
  int count_;
};

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_PERMITS_H_
