#ifndef WEFT_SYNC_LATCH_H_
#define WEFT_SYNC_LATCH_H_

#include <cstdint>

#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/time.h"

namespace weft {

// Counts down to zero, and then is open for good: std::latch, and what Go's WaitGroup is mostly
// used for. A Barrier can be used again; a Latch cannot.
//
//   weft::Latch loaded(3);
//   for (int i = 0; i < 3; ++i) group.spawn([&, i] { load(i), loaded.count_down(); });
//   loaded.wait();
//
// Threads: fibers of any scheduler and plain threads, at once; a thread that waits blocks.
// Memory: what was done before count_down() is seen once it is open.
// Lifetime: a caller that has seen it open may destroy it, if nobody else will use it: the call
// that has opened it touches it no more.
class Latch {
 public:
  // Opens after `count` arrivals; at once if that is zero. Throws std::invalid_argument if it is
  // negative.
  explicit Latch(std::int64_t count);
  Latch(const Latch&) = delete;
  Latch& operator=(const Latch&) = delete;

  // Counts n arrivals, and wakes all waiters if none is missing any more. Does not wait. O(waiters)
  // for the last. Throws std::invalid_argument, and counts nothing, if n is negative or more than
  // are missing.
  void count_down(std::int64_t n = 1) { arrive(n, false); }

  // Whether it is open. Does not wait.
  bool try_wait() const noexcept;

  // Waits until it is open. A cancellation point, unless it is. Other fibers may run first, even if
  // it is open.
  void wait() const { wait_until(kForever); }

  // Wait at most until then. Return whether it is open. A negative duration counts as zero; other
  // fibers may still run. Cancellation points, unless it is open.
  bool wait_for(AnyDuration time) const { return wait_until(internal::deadline_within(time)); }
  bool wait_until(AnyTimePoint deadline) const;

  // count_down(n) and wait() in one. A caller that is cancelled has arrived nevertheless.
  void arrive_and_wait(std::int64_t n = 1) { arrive(n, true); }

 private:
  void arrive(std::int64_t n, bool and_wait);

  mutable internal::WaitQueue queue_;
  std::int64_t missing_;  // under the queue's lock, which also tells when an opener has left
};

}  // namespace weft

#endif  // WEFT_SYNC_LATCH_H_
