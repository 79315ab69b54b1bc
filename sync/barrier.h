#ifndef WEFT_SYNC_BARRIER_H_
#define WEFT_SYNC_BARRIER_H_

#include <cstdint>

#include "weft/fiber/core/wait_queue.h"

namespace weft {

// Holds back those who arrive until so many have. Then it opens for them, and is as new.
//
// Threads: fibers of any scheduler and plain threads, at once; a thread that waits blocks.
// Memory: what any of them did before it arrived is seen by all who go on.
// Lifetime: may be destroyed by whoever was let through, the last one included, once nobody else
// will use it and whoever was cancelled has left it.
class Barrier {
 public:
  // Throws std::invalid_argument if `parties` is zero or negative.
  explicit Barrier(std::int64_t parties);
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;

  // Waits until all have arrived. True for one of them, the last. Other fibers may run first, also
  // before the last arrival. A cancellation point, except for the last arrival. A cancelled fiber
  // takes its arrival back, unless the barrier has opened. O(1), for the last O(parties).
  bool arrive_and_wait();

 private:
  const std::int64_t parties_;
  // Under the queue's lock.
  std::int64_t arrived_ = 0;
  std::uint64_t opened_ = 0;  // how often
  internal::WaitQueue queue_;
};

}  // namespace weft

#endif  // WEFT_SYNC_BARRIER_H_
