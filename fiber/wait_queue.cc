#include "weft/fiber/wait_queue.h"

#include <cstdio>
#include <exception>

#include "weft/fiber/cancel.h"
#include "weft/fiber/fiber.h"
#include "weft/fiber/parker.h"
#include "weft/fiber/scheduler.h"

namespace weft {

inline Waiter::Waiter(const char* what) noexcept : fiber_(Scheduler::current_fiber()), what_(what) {
  if (!fiber_) [[unlikely]]
    adopt_thread();
}

void Waiter::adopt_thread() noexcept {
  if (Scheduler::current_or_null()) {
    std::fprintf(
        stderr, "weft: %s in the scheduler's loop, e.g. in a destructor of what it drops\n", what_);
    std::terminate();  // the loop would wait for itself
  }
  thread_ = &this_thread_parker();
}

Waiter::Waiter(void (*notify)(Waiter&) noexcept) noexcept : notify_(notify) {}

inline void Waiter::wake() noexcept {
  if (fiber_) {
    Scheduler::make_ready(*fiber_);
  } else {
    thread_->post();
  }
}

void Waiter::resume() noexcept { wake(); }

// REQUIRES: the queue's lock is held, and this waiter is on it.
inline bool Waiter::claim_to_wake() noexcept {
  // Relaxed, here and below: what a waker hands over is published by the inbox or the parker,
  // through which the waiter learns of the claim.
  if (fiber_ && &Scheduler::of(*fiber_) == Scheduler::current_or_null()) {
    // On the fiber's own thread the lock is enough: an abort runs here too, and takes the waiter
    // off the queue before anybody else has a turn.
    state_.store(State::kWoken, std::memory_order_relaxed);
    return true;
  }
  State waiting = State::kWaiting;
  return state_.compare_exchange_strong(waiting, State::kWoken, std::memory_order_relaxed);
}

// REQUIRES: this is the waiter's own thread.
bool Waiter::claim_to_abort(State reason) noexcept {
  State waiting = State::kWaiting;
  if (queue_) {
    return state_.compare_exchange_strong(waiting, reason, std::memory_order_relaxed);
  }
  // Nobody can wake it, and other aborts run on this thread.
  if (state_.load(std::memory_order_relaxed) != State::kWaiting) return false;
  state_.store(reason, std::memory_order_relaxed);
  return true;
}

// Returns true if it was woken, false if the time is over.
inline bool Waiter::park(TimePoint deadline) {
  if (!fiber_) return park_thread(deadline);
  fiber_->waiter = this;
  if (deadline != kForever) return park_until(deadline);
  Scheduler::of(*fiber_).suspend();
  return outcome();
}

inline bool Waiter::outcome() const {
  // Relaxed: see claim_to_wake().
  const State state = state_.load(std::memory_order_relaxed);
  if (state == State::kCancelled) throw_cancelled();
  return state == State::kWoken;
}

bool Waiter::park_until(TimePoint deadline) {
  struct Alarm : Timer {
    explicit Alarm(Waiter& sleeper)
        : Timer([](Timer& timer) noexcept {
            static_cast<Alarm&>(timer).waiter.abort(State::kTimedOut);
          }),
          waiter(sleeper) {}
    Waiter& waiter;
  } alarm(*this);
  Scheduler& scheduler = Scheduler::of(*fiber_);
  scheduler.timers().add(alarm, deadline);
  scheduler.suspend();
  if (alarm.pending()) scheduler.timers().remove(alarm);
  return outcome();
}

bool Waiter::park_thread(TimePoint deadline) {
  if (thread_->wait(deadline)) return true;
  if (claim_to_abort(State::kTimedOut)) {
    leave_queue();
    return false;
  }
  thread_->wait();  // the token is on its way: it must not be left for a later wait
  return true;
}

// Ends the wait from the waiter's own thread, unless a waker was first.
void Waiter::abort(State reason) noexcept {
  if (!claim_to_abort(reason)) return;
  leave_queue();
  Scheduler::make_ready(*fiber_);
}

void Waiter::leave_queue() noexcept {
  if (!queue_) return;
  // A waker that lost the claim may have taken it off already.
  const WaitQueue::Lock lock(*queue_);
  if (linked()) queue_->waiters_.erase(*this);
}

bool WaitQueue::wait(Lock& lock, TimePoint deadline, const char* what) {
  Waiter waiter(what);
  if (waiter.fiber_ && cancellation_due(*waiter.fiber_)) {
    lock.unlock();
    throw_cancelled();
  }
  waiter.queue_ = this;
  waiters_.push_back(waiter);
  lock.unlock();
  return waiter.park(deadline);
}

void WaitQueue::wait_nowhere(TimePoint deadline, const char* what) {
  Waiter waiter(what);
  if (waiter.fiber_ && cancellation_due(*waiter.fiber_)) throw_cancelled();
  waiter.park(deadline);
}

inline Waiter* WaitQueue::claim_first() noexcept {
  while (Waiter* waiter = waiters_.pop_front()) {
    if (waiter->notify_) {
      waiter->notify_(*waiter);
    } else if (waiter->claim_to_wake()) {
      return waiter;
    }
  }
  return nullptr;
}

Waiter* WaitQueue::claim(Lock&) noexcept { return claim_first(); }

Waiter* WaitQueue::claim_all(Lock&) noexcept {
  Waiter* first = nullptr;
  Waiter** end = &first;
  while (Waiter* waiter = claim_first()) {
    *end = waiter;
    end = &waiter->next_claimed_;
  }
  *end = nullptr;
  return first;
}

void WaitQueue::resume_all(Waiter* claimed) noexcept {
  while (claimed) {
    Waiter* next = claimed->next_claimed_;  // read first: the waiter may be gone once woken
    claimed->wake();
    claimed = next;
  }
}

bool WaitQueue::unwatch(Waiter& watcher) noexcept {
  const Lock lock(*this);
  if (!watcher.linked()) return false;
  waiters_.erase(watcher);
  return true;
}

}  // namespace weft
