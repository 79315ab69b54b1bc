#ifndef WEFT_SYNC_EVENT_H_
#define WEFT_SYNC_EVENT_H_

#include "weft/fiber/core/running.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/time.h"
#include "weft/sync/core/contended_word.h"

namespace weft {

// A flag that fibers and threads wait for.
//
//   weft::Event ready;
//   group.spawn([&] { load(), ready.set(); });
//   ready.wait();
//
// Threads: fibers of any scheduler and plain threads, at once; a thread that waits blocks.
// Memory: what was done before set() is seen after wait(), and where is_set() is true.
// Lifetime: a caller that has seen it set may destroy it, if nobody else will use it: a set() that
// has yet to return touches it no more.
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  // Sets the flag, and wakes all waiters, even if it is cleared before they run.
  // Does not wait. O(waiters); one atomic operation where there are none.
  void set() noexcept;

  // Takes the flag back: later callers wait. Does not wait.
  void clear() noexcept;

  bool is_set() const noexcept { return word_.read() == kSet; }

  // Waits until the flag is set. A cancellation point, unless it is set. Other fibers may run
  // first, even if it is set.
  void wait() { wait_until(kForever); }

  // Wait at most until then. Return whether the flag was set meanwhile. A negative duration counts
  // as zero; other fibers may still run. Cancellation points, unless it is set.
  bool wait_for(AnyDuration time) {
    internal::count_wait();
    return is_set() || wait_slowly(internal::deadline_within(time));
  }
  bool wait_until(AnyTimePoint deadline) {
    internal::count_wait();
    return is_set() || wait_slowly(deadline);
  }

  // For weft::select(): that it is set.
  class Case;

 private:
  using Word = internal::ContendedWord::Word;

  static constexpr Word kClear = 0;
  static constexpr Word kSet = 2;

  bool wait_slowly(TimePoint deadline);

  // kClear, perhaps marked, or kSet.
  internal::ContendedWord word_;
  internal::WaitQueue queue_;
};

}  // namespace weft

#endif  // WEFT_SYNC_EVENT_H_
