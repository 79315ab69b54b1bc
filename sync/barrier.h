#ifndef WEFT_SYNC_BARRIER_H_
#define WEFT_SYNC_BARRIER_H_

#include <cstdint>

#include "weft/fiber/core/wait_queue.h"

namespace weft {

// Holds callers back until `parties` of them have arrived. Then it opens for these, and is as new.
//
//   weft::Barrier barrier(3);
//   for (int i = 0; i < 3; ++i) group.spawn([&, i] { load(i), barrier.arrive_and_wait(), run(i);
//   }); group.join();  // no run() has begun before all load() had ended
//
// Threads: fibers of any scheduler and plain threads, at once; a thread that waits blocks.
// Memory: what each did before it arrived is seen by all that go on.
// Lifetime: a caller that was let through may destroy it, the last one included, once no other
// caller will use it and cancelled ones have returned.
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
