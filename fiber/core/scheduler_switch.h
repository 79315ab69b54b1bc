#ifndef WEFT_FIBER_CORE_SCHEDULER_SWITCH_H_
#define WEFT_FIBER_CORE_SCHEDULER_SWITCH_H_

#include "weft/fiber/core/context_switch.h"
#include "weft/fiber/scheduler.h"

// How a fiber hands over to the next. Always inlined, so that as few frames as possible lie between
// a switch and the function that waits: each is a return that the processor may predict wrong.
namespace weft {

// Where many are ready their stacks are cold: fetches what the next but one goes on with, and where
// the one after that finds its own.
[[gnu::always_inline]] inline void prefetch_after(const Fiber& fiber) noexcept {
  if (const Fiber* next = fiber.next_ready) {
    __builtin_prefetch(next->next_ready);
    next->context.prefetch();
  }
}

[[gnu::always_inline]] inline Fiber& Scheduler::next() noexcept {
  if (turn_.count() && turn_.is_over()) [[unlikely]]
    return loop_;
  if (Fiber* fiber = ready_.pop_front()) {
    prefetch_after(*fiber);
    return *fiber;
  }
  return loop_;
}

// Returns `from`, once it is switched back to.
[[gnu::always_inline]] inline Fiber& Scheduler::go(Fiber& from, Fiber& to) noexcept {
  current_ = &to;
  switch_.jump(from.context, to.context);
  // Found anew: what is kept across the jump costs registers that have to be saved twice.
  Scheduler& here = *current_scheduler;
  Fiber& self = *here.current_;
  here.switch_.restore(self.context);
  return self;
}

// The running fiber goes to the end of the ready queue, and the first goes on. Returns it once it
// runs again.
[[gnu::always_inline]] inline Fiber& Scheduler::rotate() noexcept {
  Fiber& self = *current_;
  if (ready_.empty()) return self;
  return go(self, *ready_.rotate(self));
}

// Where those wait who have ended, too: who waits for a task is mostly woken by its end.
[[gnu::always_inline]] inline void Scheduler::suspend() noexcept {
  leave(*current_, next(), false);
}

}  // namespace weft

#endif  // WEFT_FIBER_CORE_SCHEDULER_SWITCH_H_
