// See park.cc for how a Selection waits.

#include "weft/fiber/core/selection.h"

#include <algorithm>
#include <utility>

namespace weft::internal {
namespace {

// Null if a case is worth an attempt. No case waits any more when this returns.
SelectCase* wait_for_one(std::span<SelectCase* const> cases) {
  Selection selection("select");
  struct AllRetracted {
    std::span<SelectCase* const> cases;
    ~AllRetracted() {
      for (SelectCase* each : cases) each->retract();
    }
  } const at_the_end{cases};
  for (SelectCase* each : cases) {
    if (each->enlist(selection)) continue;
    if (selection.claim()) return nullptr;
    break;
  }
  return &selection.wait();
}

}  // namespace

void SelectCase::wait_in(Selection& selection, WaitQueue& queue, const WaitQueue::Lock&,
                         Waiter& waiter, Waiter* next) noexcept {
  selection_ = &selection;
  waiter_ = &waiter;
  queue_ = &queue;
  selection.add(waiter, *this, queue, next);
}

void SelectCase::retract() noexcept {
  if (queue_) std::exchange(queue_, nullptr)->unwatch(*waiter_);
}

std::size_t select_slowly(std::span<SelectCase* const> cases) {
  auto found = cases.end();
  while (found == cases.end()) {
    SelectCase* const chosen = wait_for_one(cases);
    if (chosen && chosen->finish()) {
      found = std::ranges::find(cases, chosen);
    } else {
      found = std::ranges::find_if(cases, [](SelectCase* each) { return each->attempt(); });
    }
  }
  return static_cast<std::size_t>(found - cases.begin());
}

}  // namespace weft::internal
