// How a fiber or a thread waits, and how it is woken. Declared in wait_queue.h and selection.h;
// here, because it needs what lies above them. One file, so that what is short is inlined.

#include <exception>
#include <utility>

#include "weft/fiber/core/cancel_scope.h"
#include "weft/fiber/core/error.h"
#include "weft/fiber/core/fiber.h"
#include "weft/fiber/core/home.h"
#include "weft/fiber/core/parker.h"
#include "weft/fiber/core/selection.h"
#include "weft/fiber/core/wait_queue.h"

namespace weft::internal {

// Returns false if the wait is to throw Cancelled.
inline bool Waiter::adopt_caller() noexcept {
  fiber_ = current_fiber();
  if (fiber_) [[likely]]
    return !fiber_->cancelled || !cancellation_due(*fiber_);
  adopt_thread();
  return true;
}

void Waiter::adopt_thread() noexcept {
  if (RunQueue::here()) {
    print_line("%s in the scheduler's loop, e.g. in a destructor of what it drops", what());
    std::terminate();  // the loop would wait for itself
  }
  thread_ = &this_thread_parker();
}

inline void Waiter::wake() noexcept {
  if (fiber_) {
    RunQueue::make_ready(*fiber_);
  } else {
    thread_->post();
  }
}

const LockOwner& Waiter::owner() const noexcept {
  if (fiber_) return *fiber_;
  return *thread_;
}

void Waiter::resume() noexcept { wake(); }

[[gnu::always_inline]] inline bool Waiter::is_here() const noexcept {
  return fiber_ && &RunQueue::of(*fiber_) == RunQueue::here();
}

bool Waiter::is_local() const noexcept { return is_here(); }

// REQUIRES: the queue's lock is held, and this waiter is on it.
inline bool Waiter::claim_to_wake() noexcept {
  // Relaxed, here and below: what a waker hands over is published by the inbox or the parker,
  // through which the waiter learns of the claim.
  if (is_here()) {
    // On the fiber's own thread the lock is enough: an abort runs here too, and takes the waiter
    // off the queue before anybody else has a turn.
    state_.store(State::kWoken, std::memory_order_relaxed);
    return true;
  }
  State waiting = State::kWaiting;
  return state_.compare_exchange_strong(waiting, State::kWoken, std::memory_order_relaxed);
}

// The same, where it has just been taken off.
[[gnu::always_inline]] inline Waiter* Waiter::claim_unlinked() noexcept {
  if (notify_) [[unlikely]]
    return notify_(*this);
  return claim_to_wake() ? this : nullptr;
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

[[gnu::always_inline]] inline bool Waiter::outcome() const {
  // Relaxed: see claim_to_wake().
  const State state = state_.load(std::memory_order_relaxed);
  if (state == State::kCancelled) throw_cancelled();
  return state == State::kWoken;
}

// Returns true if it was woken, false if the time is over.
[[gnu::always_inline]] inline bool Waiter::park_here(TimePoint deadline) {
  if (!fiber_) return park_thread(deadline);
  since_ = running.turn_began.time_since_epoch().count();
  fiber_->waiter = this;
  WEFT_PROBE("wait", "8@%[id] 8@%[what]", [id] "m"(fiber_->id), [what] "m"(what_));
  if (deadline != kForever) return park_until(deadline);
  RunQueue::of(*fiber_).suspend();
  return outcome();
}

bool Waiter::park(TimePoint deadline) { return park_here(deadline); }

bool Waiter::park_until(TimePoint deadline) {
  struct Alarm : Timer {
    explicit Alarm(Waiter& sleeper)
        : Timer([](Timer& timer) noexcept {
            static_cast<Alarm&>(timer).waiter.abort(State::kTimedOut);
          }),
          waiter(sleeper) {}
    Waiter& waiter;
  } alarm(*this);
  Home& scheduler = Home::of(*fiber_);
  scheduler.timers().add(alarm, deadline);
  scheduler.suspend();
  if (alarm.pending()) scheduler.timers().remove(alarm);
  return outcome();
}

bool Waiter::park_thread(TimePoint deadline) {
  if (thread_->wait(deadline)) return true;
  if (claim_to_abort(State::kTimedOut)) {
    dequeue();
    return false;
  }
  thread_->wait();  // the token is on its way: it must not be left for a later wait
  return true;
}

// Ends the wait from the waiter's own thread, unless a waker was first.
void Waiter::abort(State reason) noexcept {
  if (!claim_to_abort(reason)) return;
  dequeue();
  RunQueue::make_ready(*fiber_);
}

void Waiter::dequeue() noexcept {
  if (!queue_) return;
  // A waker that lost the claim may have taken it off already.
  const WaitQueue::Lock lock(*queue_);
  if (linked()) queue_->waiters_.erase(*this);
}

[[gnu::always_inline]] inline void WaitQueue::add(Lock& lock, Waiter* next, Waiter& waiter) {
  if (!waiter.adopt_caller()) [[unlikely]] {
    lock.unlock();
    refuse_wait(waiter.what());
  }
  waiter.queue_ = this;
  waiters_.insert(next, waiter);
  lock.unlock();
}

void WaitQueue::enqueue(Lock& lock, Waiter& waiter) { add(lock, nullptr, waiter); }

bool WaitQueue::wait(Lock& lock, Waiter& waiter, TimePoint deadline) {
  add(lock, nullptr, waiter);
  return waiter.park_here(deadline);
}

bool WaitQueue::wait_before(Lock& lock, Waiter* next, Waiter& waiter, TimePoint deadline) {
  add(lock, next, waiter);
  return waiter.park_here(deadline);
}

void WaitQueue::wait_nowhere(TimePoint deadline, const char* what) {
  Waiter waiter(what);
  if (!waiter.adopt_caller()) refuse_wait(what);
  waiter.park_here(deadline);
}

inline Waiter* WaitQueue::take_first() noexcept {
  Waiter& waiter = *waiters_.pop_front();
  return waiter.claim_unlinked();
}

Waiter* WaitQueue::claim_first(Lock&) noexcept { return take_first(); }

Waiter* WaitQueue::claim(Lock&) noexcept {
  while (!waiters_.empty()) {
    if (Waiter* waiter = take_first()) return waiter;
  }
  return nullptr;
}

Waiter* WaitQueue::claim(Lock&, Waiter& waiter) noexcept {
  waiters_.erase(waiter);
  return waiter.claim_unlinked();
}

void WaitQueue::wake_all(Lock& lock) noexcept {
  Waiter* const first = waiters_.empty() ? nullptr : take_first();
  if (!waiters_.empty()) [[unlikely]]
    return wake_all(lock, first);
  lock.unlock();
  if (first) first->wake();
}

// Where there are several. `first` may be null.
[[gnu::noinline]] void WaitQueue::wake_all(Lock& lock, Waiter* first) noexcept {
  Claimed claimed;
  if (first) claimed.add(*first);
  claim_all(lock, claimed);
  lock.unlock();
  claimed.resume();
}

void WaitQueue::claim_all(Lock& lock, Claimed& claimed) noexcept {
  while (Waiter* waiter = claim(lock)) claimed.add(*waiter);
}

void Claimed::resume() noexcept {
  // Off the queue before it is woken: then it may be gone.
  while (Waiter* waiter = waiters_.pop_front()) waiter->wake();
}

bool WaitQueue::unwatch(Waiter& watcher) noexcept {
  const Lock lock(*this);
  if (!watcher.linked()) return false;
  waiters_.erase(watcher);
  return true;
}

// ---- One of several -----------------------------------------------------------------------------

Selection::Selection(const char* what, std::span<SelectCase* const> cases)
    : Waiter(what), cases_(cases) {
  if (!adopt_caller()) refuse_wait(what);
  Waiter::queue_ = &none_;
}

Selection::~Selection() {
  for (SelectCase* each : cases_) {
    if (each->queue_) std::exchange(each->queue_, nullptr)->unwatch(*each->waiter_);
  }
}

void Selection::wait_in(WaitQueue& queue, const WaitQueue::Lock&, SelectCase& its, Waiter& waiter,
                        Waiter* next) noexcept {
  its.selection_ = this;
  its.waiter_ = &waiter;
  its.queue_ = &queue;
  waiter.notify_ = &Selection::choose;
  waiter.case_ = &its;
  waiter.fiber_ = fiber_;
  waiter.thread_ = thread_;
  waiter.queue_ = &queue;
  queue.waiters_.insert(next, waiter);
}

// On any thread, under the lock of the queue that the waiter was in.
Waiter* Selection::choose(Waiter& waiter) noexcept {
  Selection& self = *waiter.case_->selection_;
  if (!self.claim()) return nullptr;
  self.chosen_ = waiter.case_;
  return &waiter;
}

bool Selection::claim() noexcept {
  State waiting = State::kWaiting;
  // Relaxed: see claim_to_wake().
  return state_.compare_exchange_strong(waiting, State::kWoken, std::memory_order_relaxed);
}

SelectCase& Selection::wait() {
  if (!park_here(deadline_)) return *late_;
  chosen_->queue_ = nullptr;
  return *chosen_;
}

}  // namespace weft::internal
