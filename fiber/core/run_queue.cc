#include "weft/fiber/core/run_queue.h"

#include <utility>
#include <vector>

namespace weft::internal {
namespace {

// A fiber that does not wait keeps others from running for this many turns.
constexpr int kMostLooks = 4;

}  // namespace

// As rotate(), but the loop looks first.
Fiber& RunQueue::go_to_loop() noexcept {
  Fiber& self = *running.fiber;
  ready_.push_back(self);
  return go(self, loop_);
}

// ---- Recording ----------------------------------------------------------------------------------

// The turn is watched, so that each switch asks ends_turn(); and no scheduler is `untraced`, so
// that each wake-up and each start takes the way of those from elsewhere. What is off costs nothing
// there.
void RunQueue::trace(Tracer* tracer) noexcept {
  tracer_ = running.tracer = tracer;
  running.untraced = tracer ? nullptr : this;
  turn_.watch(tracer);
  if (tracer) tracer->start(running.fiber ? running.fiber->id : loop_.id);
}

[[gnu::always_inline]] inline bool RunQueue::switch_ends_turn(const Fiber& next) noexcept {
  const bool over = turn_.is_over();
  const Fiber& to = over ? loop_ : next;
  if (&to != running.fiber) record_switch(to, TraceEvent::kReady);
  return over;
}

bool RunQueue::ends_turn(const Fiber& next) noexcept { return switch_ends_turn(next); }

bool RunQueue::rotation_ends_turn() noexcept {
  if (!tracer_) [[likely]]
    return turn_.has_to_end();
  return switch_ends_turn(after_rotation());
}

bool RunQueue::parting_ends_turn() noexcept {
  if (!tracer_) [[likely]]
    return turn_.has_to_end();
  const bool over = turn_.is_over();
  const Fiber& self = *running.fiber;
  const Fiber& to = over || ready_.empty() ? loop_ : *ready_.front();
  if (self.waiter) {
    tracer_->switch_to(TraceEvent::kWaiting, to.id);
    return over;
  }
  // Its block may have been given to another one.
  if (self.id == tracer_->running()) tracer_->name(self.id, self.name_view());
  tracer_->switch_to(TraceEvent::kEnded, to.id);
  return over;
}

void RunQueue::record_wake(const Fiber& fiber) noexcept {
  if (!tracer_) [[likely]]
    return;
  tracer_->wake(fiber.id, running.fiber ? running.fiber->id : fiber.woken_by);
}

// From another scheduler, or recorded.
void RunQueue::make_ready_slowly(Fiber& fiber) noexcept {
  RunQueue& home = of(fiber);
  if (&home == here()) {
    home.record_wake(fiber);
    home.push_woken(fiber);
  } else {
    if (running.tracer) fiber.woken_by = running.fiber ? running.fiber->id : 0;
    fiber.request(Fiber::kWake);
  }
}

// ---- Turns --------------------------------------------------------------------------------------

// A random order is one of what switches. Its budgets are so small that most waits that are over
// would become switches: those count as one long turn.
[[gnu::noinline]] void let_loop_look() noexcept {
  if (!RunQueue::here()) return;
  RunQueue& here = *RunQueue::here();
  if (!here.turn_.used_up() || !running.fiber) return;
  if (running.fiber->cancelled && waiting_is_refused(*running.fiber)) return;
  if (here.random_ && here.turn_.overdrawn() < Turn::kCounted) return;
  if (!here.turn_.has_to_end()) return;
  // The fiber goes on first: it does not wait, and a parent that has started it eagerly goes on
  // only when it does. A fiber that never waits has to let others run in the end.
  Fiber& self = *running.fiber;
  here.looks_ = std::exchange(here.looker_, self.id) == self.id ? here.looks_ + 1 : 1;
  if (here.looks_ >= kMostLooks) {
    here.looks_ = 0;
    here.ready_.push_back(self);
  } else {
    here.ready_.push_front(self);
  }
  here.record_switch(here.loop_, TraceEvent::kReady);
  RunQueue::go(self, here.loop_);
}

void RunQueue::run_fibers() noexcept {
  Fiber* const eager = std::exchange(eager_, nullptr);
  if (Fiber* const fiber = eager ? eager : ready_.pop_front()) {
    record_switch(*fiber, TraceEvent::kReady);
    go(loop_, *fiber);
    running.fiber = nullptr;
  }
}

// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
std::uint64_t RunQueue::draw() noexcept {
  std::uint64_t z = *random_ += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

// Any order can come up.
void RunQueue::shuffle() {
  if (!random_) return;
  std::vector<Fiber*> fibers;
  while (Fiber* fiber = ready_.pop_front()) fibers.push_back(fiber);
  for (std::size_t i = fibers.size(); i > 1; --i) std::swap(fibers[i - 1], fibers[draw() % i]);
  for (Fiber* fiber : fibers) ready_.push_back(*fiber);
  if (!fibers.empty()) turn_.end_after(static_cast<std::int64_t>(draw() % fibers.size()));
}

}  // namespace weft::internal
