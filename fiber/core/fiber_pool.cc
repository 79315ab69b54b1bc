#include "weft/fiber/core/fiber_pool.h"

#include <algorithm>
#include <new>

#include "weft/fiber/core/local_table.h"
#include "weft/fiber/core/unhandled.h"

namespace weft::internal {

FiberPool::FiberPool(RunQueue& home, void (*entry)(void*), std::size_t stack_size, GuardKind guards)
    : home_(home), entry_(entry), guards_(guards), default_(&pool_for(own_, stack_size)) {}

Fiber& FiberPool::take_elsewhere(std::size_t stack_size) {
  const std::lock_guard lock(visitors_lock_);
  Fiber& fiber = take_from(pool_for(visitors_, stack_size ? stack_size : default_->stack_size()));
  fiber.visitor = true;
  return fiber;
}

TimePoint FiberPool::trim(const Port& port) noexcept {
  TimePoint again = kForever;
  const auto trim_all = [&](Pools& pools) {
    for (auto& pool : pools) {
      if (pool->may_trim()) again = std::min(again, pool->trim(port.now()));
    }
  };
  trim_all(own_);
  const std::lock_guard lock(visitors_lock_);
  trim_all(visitors_);
  return again;
}

void FiberPool::make(StackPool& pool, void* top) {
  Fiber& fiber = *new (&fiber_at(top)) Fiber;
  fiber.context.create(pool.bottom_of(top), &fiber, entry_, &fiber);
  fiber.pool = &pool;
  // Relaxed: a fiber is handed to another thread by its inbox.
  fiber.home.store(&home_, std::memory_order_relaxed);
}

void FiberPool::unmake(Fiber& fiber) noexcept {
  fiber.context.destroy();
  fiber.~Fiber();
}

StackPool& FiberPool::pool_for(Pools& pools, std::size_t stack_size) {
  const std::size_t rounded = StackPool::round_up(stack_size);
  for (auto& pool : pools) {
    if (pool->stack_size() == rounded) return *pool;
  }
  const auto discard = [](void* top) noexcept { unmake(fiber_at(top)); };
  auto pool = std::make_unique<StackPool>(stack_size, discard, guards_);
  const NotSteady changing(changing_);
  return *pools.emplace_back(std::move(pool));
}

FiberPool::Stacks FiberPool::stacks() const {
  Stacks all;
  const auto add = [&](const Pools& pools) {
    for (const auto& pool : pools) {
      all.carved += pool->carved();
      all.free += pool->free();
    }
  };
  add(own_);
  const std::lock_guard lock(visitors_lock_);
  add(visitors_);
  return all;
}

std::vector<Fiber*> FiberPool::started() {
  std::vector<Fiber*> fibers;
  const auto add = [&](const Pools& pools) {
    for (const auto& pool : pools) {
      pool->for_each([&](void* top) {
        if (fiber_at(top).live) fibers.push_back(&fiber_at(top));
      });
    }
  };
  add(own_);
  const std::lock_guard lock(visitors_lock_);
  add(visitors_);
  return fibers;
}

const Fiber* FiberPool::guarded_by(const void* address, Fiber* likely) noexcept {
  if (likely && likely->pool && likely->pool->is_guarded(top_of(*likely), address)) return likely;
  const auto find = [address](const Pools& pools) -> const Fiber* {
    for (const auto& pool : pools) {
      if (void* const top = pool->guarded_by(address)) return &fiber_at(top);
    }
    return nullptr;
  };
  if (const Fiber* const fiber = find(own_)) return fiber;
  const std::unique_lock lock(visitors_lock_, std::try_to_lock);
  return lock ? find(visitors_) : nullptr;
}

void FiberPool::orphan(std::shared_ptr<const ExceptionHandler> handler, Inbox& inbox) {
  auto* orphanage = new Orphanage;
  orphanage->handler = std::move(handler);
  for (Fiber* fiber : started()) {
    const WaitQueue::Lock lock(fiber->completion.queue());
    // A handle that was dropped in this moment has asked for its recycling, which comes below.
    // Relaxed: it asked under the lock.
    if (fiber->requests.load(std::memory_order_relaxed) != 0) continue;
    fiber->orphanage = orphanage;
    // Relaxed, both: the lock, and the count when it reaches 0, order this.
    fiber->home.store(nullptr, std::memory_order_relaxed);
    orphanage->fibers.fetch_add(1, std::memory_order_relaxed);
  }
  inbox.drain();
  // From here on no handle requests anything of the scheduler.
  orphanage->own = std::move(own_);
  orphanage->visitors = std::move(visitors_);
  orphanage->unref();
}

void Orphanage::bury(Fiber& fiber) noexcept {
  if (fiber.ending == Ending::kException) {
    if (!handler) fail_unhandled(std::move(fiber.exception), &fiber);
    const BorrowedLocals borrowed(fiber.locals);
    (*handler)(std::move(fiber.exception));
  }
  LocalTable::drop(fiber.locals);
  FiberPool::unmake(fiber);
  unref();
}

void Orphanage::unref() noexcept {
  // Release: what was done to a stack comes before it is unmapped. Acquire: the last one sees it.
  if (fibers.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

}  // namespace weft::internal
