#ifndef WEFT_FIBER_CORE_RUN_QUEUE_H_
#define WEFT_FIBER_CORE_RUN_QUEUE_H_

#include <cstdint>
#include <optional>

#include "weft/fiber/core/context_switch.h"
#include "weft/fiber/core/fiber.h"
#include "weft/fiber/core/intrusive_list.h"
#include "weft/fiber/core/port.h"
#include "weft/fiber/core/probe.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/core/tracer.h"
#include "weft/fiber/core/turn.h"
#include "weft/fiber/scheduler.h"

namespace weft::internal {

// The lowest floor of a scheduler: the fibers that are ready, and how one hands over to the next.
// All that a switch touches is here. It knows neither how fibers begin and end nor what the loop
// does; whatever is declared here and needs that is implemented above.
//
// What switches is always inlined, so that as few frames as possible lie between a switch and the
// function that waits: each is a return that the processor may predict wrong.
//
// Threads: make_ready() from any, the rest from the scheduler's own.
class RunQueue : public Scheduler {
 public:
  // The scheduler that runs on this thread, or null.
  static RunQueue* here() noexcept { return running.scheduler; }
  // Relaxed: the caller is on the fiber's thread, or keeps it alive and was handed it.
  static RunQueue& of(const Fiber& fiber) noexcept {
    return *fiber.home.load(std::memory_order_relaxed);
  }

  // std::uncaught_exceptions() of the running fiber, cheaper. REQUIRES: a fiber is running.
  static unsigned uncaught_exceptions() noexcept { return here()->switch_.exceptions->uncaught; }

  // The running fiber stops, until it is made ready.
  void suspend() noexcept { hand_over(*running.fiber, next(), false); }

  // From any thread: `fiber` is parked and was claimed.
  static void make_ready(Fiber& fiber) noexcept {
    if (RunQueue& home = of(fiber); &home == running.untraced) {
      home.push_woken(fiber);
    } else {
      make_ready_slowly(fiber);
    }
  }

  // Counts a resumption, and returns whether the turn is over.
  bool turn_is_over() noexcept { return turn_.count() && turn_.is_over(); }
  // The same where the running fiber gives way at once: to the loop, or else by rotate().
  bool turn_is_over_here() noexcept { return turn_.count() && rotation_ends_turn(); }

  // From now on what happens is recorded there; null: no longer. REQUIRES: it runs on this thread.
  void trace(Tracer* tracer) noexcept;

  // The running fiber goes to the end of the queue, and the first goes on; or the loop does. Both
  // return it, once it runs again.
  Fiber& rotate() noexcept;
  Fiber& go_to_loop() noexcept;

 protected:
  // `counted`: turns are counted, not timed. `seed`: ready fibers run in an order drawn from it.
  RunQueue(const Port& port, bool counted, std::optional<std::uint64_t> seed,
           const std::uint64_t* time_stamp) noexcept
      : turn_(port, counted, time_stamp), random_(seed) {}

  // The fiber that goes on if the running one stops: the loop's, if none is ready or the turn is
  // over.
  Fiber& next() noexcept;

  // Returns `from`, once it is switched back to.
  static Fiber& go(Fiber& from, Fiber& to) noexcept;

  // `self` stops, and `first` goes on. If `self` has ended, it takes up new work when it is given
  // some, and never returns.
  static void hand_over(Fiber& self, Fiber& first, bool ended) noexcept;

  // For the loop: runs fibers until it is to look again.
  void run_fibers() noexcept;

  // Puts the ready fibers in a random order, for a random part of a round, if there is a seed.
  void shuffle();

  // Where count() has returned true, and the running fiber stops, ready: returns whether the turn
  // is over; if not, `next` goes on. Records the switch.
  bool ends_turn(const Fiber& next) noexcept;

  // What goes on if the running fiber rotates.
  const Fiber& after_rotation() noexcept {
    return ready_.empty() ? *running.fiber : *ready_.front();
  }

  // For where a trace may be on: the running fiber, or the loop, stops, and `to` goes on.
  void record_switch(const Fiber& to, TraceEvent::State state) noexcept {
    if (tracer_) [[unlikely]]
      tracer_->switch_to(state, to.id);
  }
  // The same: `fiber` has become ready.
  void record_wake(const Fiber& fiber) noexcept;

  IntrusiveQueue<Fiber, &Fiber::next_ready> ready_;
  SwitchState switch_;
  Turn turn_;
  Fiber loop_;              // the loop's own context, on the thread's stack
  Fiber* eager_ = nullptr;  // goes on before all others, after a look
  Tracer* tracer_ = nullptr;

 private:
  friend void let_loop_look() noexcept;

  std::uint64_t draw() noexcept;
  void push_woken(Fiber& fiber) noexcept {
    WEFT_PROBE("wake", "8@%[id]", [id] "m"(fiber.id));
    fiber.waiter = nullptr;
    ready_.push_back(fiber);
  }
  static void make_ready_slowly(Fiber& fiber) noexcept;
  // As ends_turn(), for a fiber that rotates, and one that waits or has ended. What goes on is
  // found in there: to pass it would cost each switch, as the compiler would load it before it
  // counts.
  bool switch_ends_turn(const Fiber& next) noexcept;
  bool rotation_ends_turn() noexcept;
  bool parting_ends_turn() noexcept;

  std::optional<std::uint64_t> random_;
  std::uint64_t looker_ = 0;  // the id of the fiber that let the loop look last,
  int looks_ = 0;             // and how often in a row
};

// Where many are ready their stacks are cold: fetches what the next but one goes on with, and where
// the one after that finds its own.
[[gnu::always_inline]] inline void prefetch_after(const Fiber& fiber) noexcept {
  if (const Fiber* next = fiber.next_ready) {
    __builtin_prefetch(next->next_ready);
    next->context.prefetch();
  }
}

[[gnu::always_inline]] inline Fiber& RunQueue::next() noexcept {
  if (turn_.count()) [[unlikely]] {
    if (parting_ends_turn()) return loop_;
  }
  if (Fiber* fiber = ready_.pop_front()) {
    prefetch_after(*fiber);
    return *fiber;
  }
  return loop_;
}

[[gnu::always_inline]] inline Fiber& RunQueue::go(Fiber& from, Fiber& to) noexcept {
  WEFT_PROBE("switch", "8@%[from] 8@%[to]", [from] "m"(from.id), [to] "m"(to.id));
  running.fiber = &to;
  here()->switch_.jump(from.context, to.context);
  // Found anew: what is kept across the jump costs registers that have to be saved twice.
  Fiber& self = *running.fiber;
  here()->switch_.restore(self.context);
  return self;
}

[[gnu::always_inline]] inline Fiber& RunQueue::rotate() noexcept {
  Fiber& self = *running.fiber;
  if (ready_.empty()) return self;
  return go(self, *ready_.rotate(self));
}

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_RUN_QUEUE_H_
