#ifndef WEFT_FIBER_CORE_PARKER_H_
#define WEFT_FIBER_CORE_PARKER_H_

#include <cstdint>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/time.h"

namespace weft::internal {

// One token that a thread waits for and others leave. The token stays until it is taken, so a
// wake-up that comes before the wait is not lost. One thread waits; any thread posts.
class Parker : public LockOwner {
 public:
  // Takes the token; waits for it until `deadline` by the machine's clock.
  // Returns whether it was taken. Acquire: what was written before post() is seen.
  bool wait(TimePoint deadline = kForever) noexcept;

  // The same, but the token stays.
  bool await(TimePoint deadline) noexcept;

  // Leaves the token, and wakes the thread if it waits.
  void post() noexcept;

  // Whether the token is here. From any thread.
  bool posted() const noexcept;

 private:
  // 0: nothing. 1: the token is here. 2: a thread waits for it in the kernel.
  Atomic<std::uint32_t> word_{0};
};

// The calling thread's own: what this_thread_owner() returns.
Parker& this_thread_parker() noexcept;

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_PARKER_H_
