// How the running fiber gives way: yield(), a look of the loop between two waits, and a wait that
// throws at once.

#include <sched.h>

#include <utility>

#include "weft/fiber/core/cancel_scope.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/core/scheduler_switch.h"
#include "weft/fiber/core/wait_queue.h"

namespace weft {
namespace {

// A fiber that does not wait keeps others from running for this many turns.
constexpr int kMostLooks = 4;

void report_refusals(const Fiber& fiber) noexcept {
  print_line(
      "%s is cancelled, but has caught that 1,000 times and waits again; from now on it sleeps 1 "
      "ms each time",
      FiberLabel(fiber).text);
}

}  // namespace

// Others run first. The look for a cancellation then also sees one that came meanwhile.
// Nothing is kept across a call, which would cost registers that have to be saved.
void Scheduler::yield() {
  Scheduler* here = current_scheduler;
  if (!here || !here->current_) [[unlikely]] {
    sched_yield();
    return;
  }
  if (here->turn_.count()) [[unlikely]] {
    if (here->turn_.is_over()) return yield_to_loop();
    here = current_scheduler;
  }
  const Fiber& self = here->rotate();
  if (self.needed()) [[unlikely]]
    end_yield();
}

[[gnu::noinline]] void Scheduler::yield_to_loop() {
  if (current_scheduler->go_to_loop().needed()) end_yield();
}

[[gnu::noinline]] void Scheduler::end_yield() {
  Fiber& self = *current_scheduler->current_;
  if (!cancellation_due(self)) {
    TimeoutScope::expire_those_due(self);
    if (!cancellation_due(self)) return;
  }
  refuse(self);
}

[[gnu::noinline]] void Scheduler::refuse_wait() {
  Scheduler& here = *current_scheduler;
  refuse(here.turn_.count() && here.turn_.is_over() ? here.go_to_loop() : here.rotate());
}

// Others have had their turn. A loop that catches Cancelled and waits again would still take all of
// the processor's time, and keep a virtual clock from going on.
void Scheduler::refuse(Fiber& self) {
  constexpr std::uint16_t kPatience = 1000;
  constexpr Duration kPause = std::chrono::milliseconds(1);
  if (self.refusals < kPatience) {
    ++self.refusals;
  } else {
    if (!std::exchange(self.refusals_told, true)) report_refusals(self);
    {
      const ShieldScope unwatched;
      WaitQueue::wait_nowhere(deadline_after(of(self).now(), kPause, ""), "a wait after Cancelled");
    }
    self.refusals = kPatience;  // the shield has begun it anew
  }
  throw_cancelled();
}

// As rotate(), but the loop looks first.
Fiber& Scheduler::go_to_loop() noexcept {
  Fiber& self = *current_;
  ready_.push_back(self);
  return go(self, loop_);
}

// A random order is one of what switches. Its budgets are so small that most waits that are over
// would become switches: those count as one long turn.
[[gnu::noinline]] void Scheduler::let_loop_look() noexcept {
  Scheduler& here = *current_scheduler;
  if (here.options_.shuffle_seed && here.turn_.overdrawn() < Turn::kCounted) return;
  if (!here.current_ || !here.turn_.is_over()) return;
  // The fiber goes on first: it does not wait, and a parent that has started it eagerly goes on
  // only when it does. A fiber that never waits has to
  // let others run in the end.
  Fiber& self = *here.current_;
  here.looks_ = std::exchange(here.looker_, self.id) == self.id ? here.looks_ + 1 : 1;
  if (here.looks_ >= kMostLooks) {
    here.looks_ = 0;
    here.ready_.push_back(self);
  } else {
    here.ready_.push_front(self);
  }
  here.go(self, here.loop_);
}

}  // namespace weft
