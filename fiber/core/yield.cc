// How the running fiber gives way: yield(), and a wait that throws at once.

#include <sched.h>

#include <utility>

#include "weft/fiber/core/cancel_scope.h"
#include "weft/fiber/core/error.h"
#include "weft/fiber/core/run_queue.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/this_fiber.h"

namespace weft::internal {
namespace {

void report_refusals(const Fiber& fiber) noexcept {
  print_line(
      "%s is cancelled, but has caught that 1,000 times and waits again; from now on it sleeps 1 "
      "ms each time",
      FiberLabel(fiber).text);
}

// Others have had their turn. A loop that catches Cancelled and waits again would still take all of
// the processor's time, and keep a virtual clock from going on.
[[noreturn]] void refuse(Fiber& self) {
  constexpr std::uint16_t kPatience = 1000;
  constexpr Duration kPause = std::chrono::milliseconds(1);
  if (self.refusals < kPatience) {
    ++self.refusals;
  } else {
    if (!std::exchange(self.refusals_told, true)) report_refusals(self);
    {
      const ShieldScope unwatched;
      WaitQueue::wait_nowhere(deadline_within(kPause), "a wait after Cancelled");
    }
    self.refusals = kPatience;  // the shield has begun it anew
  }
  throw_cancelled();
}

[[gnu::noinline]] void end_yield() {
  Fiber& self = *running.fiber;
  if (!cancellation_due(self)) {
    TimedScope::expire_those_due(self);
    if (!cancellation_due(self)) return;
  }
  NoWaitingScope::check(self, "yield");
  refuse(self);
}

[[gnu::noinline]] void yield_to_loop() {
  if (RunQueue::here()->go_to_loop().needed()) end_yield();
}

}  // namespace

[[gnu::noinline]] void refuse_wait(const char* what) {
  NoWaitingScope::check(*running.fiber, what);
  RunQueue& here = *RunQueue::here();
  refuse(here.turn_is_over_here() ? here.go_to_loop() : here.rotate());
}

void throw_if_cancelled() {
  const Fiber* const self = running.fiber;
  if (!self || !cancellation_due(*self) || NoWaitingScope::around(*self)) return;
  refuse_wait("");
}

}  // namespace weft::internal

namespace weft {

// Others run first. The look for a cancellation then also sees one that came meanwhile.
// Nothing is kept across a call, which would cost registers that have to be saved.
void yield() {
  if (!internal::running.fiber) [[unlikely]] {
    sched_yield();
    return;
  }
  if (internal::RunQueue::here()->turn_is_over_here()) [[unlikely]]
    return internal::yield_to_loop();
  const internal::Fiber& self = internal::RunQueue::here()->rotate();
  if (self.needed()) [[unlikely]]
    internal::end_yield();
}

}  // namespace weft
