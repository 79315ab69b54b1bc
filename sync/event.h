#ifndef WEFT_SYNC_EVENT_H_
#define WEFT_SYNC_EVENT_H_

#include <cstdint>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/time.h"

namespace weft {

// A flag that many may wait for.
//
// Threads: fibers of any scheduler and plain threads, at once; a thread that waits blocks.
// Memory: what was done before set() is seen after wait(), and where is_set() is true.
// Lifetime: may be destroyed by whoever saw it set, once nobody else will use it: a set() that is
// still on its way out elsewhere touches it no more.
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  // Sets the flag, and wakes everybody who waits, also if it is cleared before they run.
  // Does not wait. O(waiters); one atomic operation where there are none.
  void set() noexcept;

  // Takes the flag back: who comes later waits. Does not wait.
  void clear() noexcept;

  bool is_set() const noexcept {
    // Acquire: pairs with the release in set().
    return state_.load(std::memory_order_acquire) == State::kSet;
  }

  // Waits until the flag is set. A cancellation point, unless it is set. Other fibers may run
  // first, even if it is set.
  void wait() {
    internal::count_wait();
    if (!is_set()) wait_slowly(kForever);
  }

  // Wait, but not for longer than this. Return whether the flag was set meanwhile. A negative
  // duration counts as zero; other fibers may still run. Cancellation points, unless it is set.
  bool wait_for(AnyDuration time);
  bool wait_until(AnyTimePoint deadline) {
    internal::count_wait();
    return is_set() || wait_slowly(deadline);
  }

 private:
  // kContended: not set, and somebody may wait. From there the word changes under the queue's lock
  // only.
  enum class State : std::uint8_t { kClear, kSet, kContended };

  bool wait_slowly(TimePoint deadline);

  Atomic<State> state_{State::kClear};
  WaitQueue queue_;
};

}  // namespace weft

#endif  // WEFT_SYNC_EVENT_H_
