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

// A random order is one of what switches. Its budgets are so small that most waits that are over
// would become switches: those count as one long turn.
[[gnu::noinline]] void let_loop_look() noexcept {
  if (!running.fiber) return;
  RunQueue& here = *RunQueue::here();
  if (here.random_ && here.turn_.overdrawn() < Turn::kCounted) return;
  if (!here.turn_.is_over()) return;
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
  RunQueue::go(self, here.loop_);
}

void RunQueue::run_fibers() noexcept {
  Fiber* const eager = std::exchange(eager_, nullptr);
  if (Fiber* const fiber = eager ? eager : ready_.pop_front()) {
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
