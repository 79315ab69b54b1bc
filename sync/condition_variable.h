#ifndef WEFT_SYNC_CONDITION_VARIABLE_H_
#define WEFT_SYNC_CONDITION_VARIABLE_H_

#include <condition_variable>
#include <mutex>
#include <utility>

#include "weft/fiber/core/running.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/time.h"
#include "weft/sync/mutex.h"

namespace weft {

// Lets the holder of a Mutex wait until what it guards has changed.
//
//   std::unique_lock lock(mutex);
//   changed.wait(lock, [&] { return left == 0; });
//   // elsewhere: { std::lock_guard lock(mutex); --left; } changed.notify_one();
//
// Fair: notify_one() wakes the longest waiter. A wait that times out or is cancelled takes no
// notification away from others. Nobody is woken without one.
//
// Threads: fibers of any scheduler and plain threads, at once; a thread that waits blocks.
// Lifetime: may be destroyed as soon as all waiters have been notified. Those whose time is over,
// or that are cancelled, must have returned first.
//
// The waits release the mutex and wait as one step: a notification by the next holder finds
// them waiting. They come back with the mutex held, however they end. Cancellation points; the
// locking afterwards is none. They throw std::logic_error, and do nothing, if the caller does not
// hold the mutex through this lock.
class ConditionVariable {
 public:
  ConditionVariable() = default;
  ConditionVariable(const ConditionVariable&) = delete;
  ConditionVariable& operator=(const ConditionVariable&) = delete;

  // Wake one, or all, of the waiters of now. With or without the mutex held. Do not wait.
  void notify_one() noexcept;
  void notify_all() noexcept;

  // Waits until notified.
  void wait(std::unique_lock<Mutex>& lock) { wait_until(lock, kForever); }

  // Waits, but not for longer than this. A negative duration counts as zero.
  std::cv_status wait_for(std::unique_lock<Mutex>& lock, AnyDuration time) {
    return wait_until(lock, internal::deadline_within(time));
  }
  std::cv_status wait_until(std::unique_lock<Mutex>& lock, AnyTimePoint deadline);

  // The same until condition(), which is called with the mutex held, before each wait. If it holds
  // at once, this is no cancellation point, but other fibers may have run, while the caller held
  // the mutex. The latter two return its last value.
  template <class Condition>
  void wait(std::unique_lock<Mutex>& lock, Condition condition) {
    wait_until(lock, kForever, std::move(condition));
  }
  template <class Condition>
  bool wait_for(std::unique_lock<Mutex>& lock, AnyDuration time, Condition condition) {
    return wait_until(lock, internal::deadline_within(time), std::move(condition));
  }
  template <class Condition>
  bool wait_until(std::unique_lock<Mutex>& lock, AnyTimePoint deadline, Condition condition) {
    check(lock);
    internal::count_wait();
    while (!condition()) {
      if (wait_until(lock, deadline) == std::cv_status::timeout) return condition();
    }
    return true;
  }

 private:
  static void check(const std::unique_lock<Mutex>& lock);

  internal::WaitQueue queue_;
};

}  // namespace weft

#endif  // WEFT_SYNC_CONDITION_VARIABLE_H_
