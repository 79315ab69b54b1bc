#include "weft/sync/event.h"

#include "weft/fiber/core/running.h"

namespace weft {

void Event::set() noexcept {
  Claimed claimed;
  State state = State::kClear;
  // Release: pairs with the acquire of is_set(). Relaxed where it fails, and below: who waits sees
  // what its waker did. The last access: who sees it set may destroy it. An event that is set is
  // set again, so that whoever clears it sees what this caller did, too.
  while (!replace(state_, state, State::kSet, std::memory_order_release)) {
    if (state != State::kContended) continue;
    WaitQueue::Lock lock(queue_);
    queue_.claim_all(lock, claimed);
    if (state_.load(std::memory_order_relaxed) == State::kContended) {
      state_.store(State::kClear, std::memory_order_relaxed);
    }
    state = State::kClear;
  }
  claimed.resume();
}

void Event::clear() noexcept {
  State set = State::kSet;
  // Acquire: what is done after clear() does not come before what led to the set().
  replace(state_, set, State::kClear, std::memory_order_acquire);
}

bool Event::wait_for(AnyDuration time) {
  internal::count_wait();
  return is_set() || wait_slowly(internal::deadline_within(time));
}

bool Event::wait_slowly(TimePoint deadline) {
  WaitQueue::Lock lock(queue_);
  for (State state = State::kClear; state != State::kContended;) {
    if (is_set()) return true;
    state = State::kClear;
    // Relaxed: announces the wait and carries nothing.
    if (replace(state_, state, State::kContended, std::memory_order_relaxed)) break;
  }
  return queue_.wait(lock, deadline, "Event::wait");
}

}  // namespace weft
