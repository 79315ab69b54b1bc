#ifndef WEFT_FIBER_CORE_FIBER_POOL_H_
#define WEFT_FIBER_CORE_FIBER_POOL_H_

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/fiber.h"
#include "weft/fiber/core/port.h"
#include "weft/fiber/core/stack.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/time.h"

namespace weft::internal {

// The fibers of a scheduler that have a stack: those at work, those that have ended and whose
// handles are still there, and free ones.
//
// A free fiber keeps its context, parked where its last task ended. Threads: the _elsewhere
// functions from any, on stacks of their own and under a lock; the rest from the home thread.
class FiberPool {
 public:
  // `entry(fiber)` is what a new fiber runs. Throws std::invalid_argument on a bad stack size.
  FiberPool(RunQueue& home, void (*entry)(void* fiber), std::size_t stack_size, GuardKind guards);
  FiberPool(const FiberPool&) = delete;
  FiberPool& operator=(const FiberPool&) = delete;

  // A free fiber with a stack of this size; 0: the default. Throws as StackPool::take() does.
  Fiber& take(std::size_t stack_size) {
    StackPool* pool = default_;
    if (stack_size) [[unlikely]]
      pool = &pool_for(own_, stack_size);
    return take_from(*pool);
  }
  Fiber& take_elsewhere(std::size_t stack_size);

  // Takes back a fiber that nobody refers to.
  void put(Fiber& fiber) noexcept {
    if (fiber.visitor) [[unlikely]] {
      const std::lock_guard lock(visitors_lock_);
      fiber.pool->put(top_of(fiber));
    } else {
      fiber.pool->put(top_of(fiber));
    }
  }

  // See StackPool::trim().
  TimePoint trim(const Port& port) noexcept;

  // Stacks of all sizes that were ever taken, and those of them that are free. O(slabs).
  struct Stacks {
    std::size_t carved = 0;
    std::size_t free = 0;
  };
  Stacks stacks() const;

  // Every fiber that was started and not taken back, in no particular order.
  std::vector<Fiber*> started();

  // Calls visit(fiber) for each of them. For a handler for signals on the home thread: allocates
  // nothing, does not wait for a lock, and returns false if what it reads was being changed; then
  // some may be missing.
  template <class Visit>
  bool visit_started(Visit visit) noexcept {
    const std::unique_lock lock(visitors_lock_, std::try_to_lock);
    return !changing_ && visit_started_of(own_, visit) && lock.owns_lock() &&
           visit_started_of(visitors_, visit);
  }

  // The fiber whose stack has its guard at this address, or null. `likely` is tried first.
  // Allocates nothing, and waits for no other thread: while one takes a stack here, the other
  // fibers of visitors are left out.
  const Fiber* guarded_by(const void* address, Fiber* likely) noexcept;

  // Makes the fibers that are not taken back independent of their scheduler, which is about to be
  // destroyed: all have ended, but handles are left. Drains the inbox of what these request.
  void orphan(std::shared_ptr<const ExceptionHandler> handler, Inbox& inbox);

  // The end of a control block, with its context.
  static void unmake(Fiber& fiber) noexcept;

 private:
  friend struct DebuggerLayout;

  using Pools = std::vector<std::unique_ptr<StackPool>>;  // one for each size of stack

  static Fiber& fiber_at(void* top) noexcept { return static_cast<Fiber*>(top)[-1]; }
  static void* top_of(Fiber& fiber) noexcept { return &fiber + 1; }

  template <class Visit>
  static bool visit_started_of(const Pools& pools, Visit& visit) noexcept {
    for (const auto& pool : pools) {
      if (pool->is_changing()) return false;
      pool->for_each([&](void* top) {
        if (fiber_at(top).live) visit(fiber_at(top));
      });
    }
    return true;
  }

  Fiber& take_from(StackPool& pool) {
    const StackPool::Stack stack = pool.take();
    // A fiber that spawns many finds each block cold.
    if (void* later = pool.upcoming(1)) fiber_at(later).prefetch();
    if (!stack.warm) [[unlikely]]
      make(pool, stack.top);
    return fiber_at(stack.top);
  }
  void make(StackPool& pool, void* top);
  StackPool& pool_for(Pools& pools, std::size_t stack_size);

  RunQueue& home_;
  void (*const entry_)(void*);
  const GuardKind guards_;
  Pools own_;
  bool changing_ = false;     // own_, just now
  StackPool* const default_;  // one of own_

  mutable ThreadMutex visitors_lock_;
  Pools visitors_;  // for fibers spawned by other threads
};

// The stacks of a scheduler that was destroyed before the last handles of its tasks.
struct Orphanage {
  std::vector<std::unique_ptr<StackPool>> own, visitors;
  std::shared_ptr<const ExceptionHandler> handler;
  Atomic<std::size_t> fibers{1};  // whose handles are still there, and one while they are counted

  // Takes a fiber whose handle was dropped now, and whose result is gone. From any thread.
  void bury(Fiber& fiber) noexcept;

  // One of `fibers` less. The last one deletes *this.
  void unref() noexcept;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_FIBER_POOL_H_
