// The layout that roster.h describes.

#include <cstddef>

#include "weft/fiber/core/calls.h"
#include "weft/fiber/core/fiber.h"
#include "weft/fiber/core/roster.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/core/stack.h"
#include "weft/fiber/core/unwind.h"
#include "weft/fiber/core/wait_queue.h"

// These classes have bases, for which the standard leaves it to compilers whether they know
// offsetof. Ours do.
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

namespace weft::internal {

// Home, which the roster names, is where Calls begins.
constexpr DebuggerLayout DebuggerLayout::of_this_build() noexcept {
  return {
      .version = 1,
      .scheduler_next = offsetof(Calls, next_in_roster_),
      .scheduler_number = offsetof(Calls, number_),
      .scheduler_thread = offsetof(Calls, outside_.thread),
      .scheduler_thread_id = offsetof(Calls, outside_.thread_id),
      .scheduler_own_pools = offsetof(Calls, fibers_) + offsetof(FiberPool, own_),
      .scheduler_visitors_pools = offsetof(Calls, fibers_) + offsetof(FiberPool, visitors_),
      .scheduler_idle_runner = offsetof(Calls, runner_),
      .running_fiber = offsetof(Running, fiber),
      .pool_stride = offsetof(StackPool, stride_),
      .pool_slabs = offsetof(StackPool, slabs_),
      .slab_base = offsetof(StackPool::Slab, base),
      .slab_used = offsetof(StackPool::Slab, used),
      .slab_size = sizeof(StackPool::Slab),
      .colours = StackPool::kColours,
      .colour_step = StackPool::kColourStep,
      .fiber_size = sizeof(Fiber),
      .fiber_live = offsetof(Fiber, live),
      .fiber_done = offsetof(Fiber, completion) + offsetof(Completion, done_),
      .fiber_id = offsetof(Fiber, id),
      .fiber_name = offsetof(Fiber, name),
      .fiber_name_size = offsetof(Fiber, name_size),
      .fiber_waiter = offsetof(Fiber, waiter),
      .fiber_parked_at = offsetof(Fiber, context) + offsetof(Context, handle_),
      .parked_size = WEFT_PARKED_SIZE,
      .waiter_what = offsetof(Waiter, what_),
      .owned_wait_name = offsetof(OwnedWait, name_),
  };
}

constinit const DebuggerLayout weft_layout = DebuggerLayout::of_this_build();

}  // namespace weft::internal
