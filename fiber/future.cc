#include "weft/fiber/future.h"

#include <future>

#include "weft/fiber/cancel.h"
#include "weft/fiber/core/calls.h"
#include "weft/fiber/core/error.h"

namespace weft::internal {

DoneCallback::DoneCallback(Scheduler& scheduler, Completion& completion) noexcept
    : PendingCall(scheduler), Waiter(&DoneCallback::notify), completion_(completion) {}

Waiter* DoneCallback::notify(Waiter& waiter) noexcept {
  auto& self = static_cast<DoneCallback&>(waiter);
  Calls::of(self).deliver(self);
  return nullptr;
}

bool DoneCallback::forget() noexcept { return completion_.queue().unwatch(*this); }

// The scheduler cannot be gone when a callback is notified: at its end it takes all of its
// callbacks back, under the lock under which they are notified.
std::uint64_t FutureState::add(DoneCallback& callback) noexcept {
  // Relaxed: only the number matters.
  static std::atomic<std::uint64_t> last_id{0};
  const std::uint64_t id = callback.id_ = last_id.fetch_add(1, std::memory_order_relaxed) + 1;
  Calls::of(callback).add(callback);
  WaitQueue::Lock lock(completion.queue());
  if (completion.done()) {
    Calls::of(callback).deliver(callback);
  } else {
    completion.queue().watch(lock, callback);
  }
  return id;
}

bool FutureState::remove(std::uint64_t id) noexcept {
  Calls* const here = Calls::here();
  DoneCallback* found = nullptr;
  {
    const WaitQueue::Lock lock(completion.queue());
    completion.queue().for_each_watcher(lock, &DoneCallback::notify, [&](Waiter& waiter) {
      auto& callback = static_cast<DoneCallback&>(waiter);
      if (callback.id_ == id && &Calls::of(callback) == here) found = &callback;
    });
  }
  // If it is notified meanwhile, it waits in this thread's inbox, and finds that it is over.
  if (found) here->forget(*found);
  return found != nullptr;
}

void FutureState::set(std::exception_ptr failure) {
  if (!failure) throw_invalid_argument("weft::Promise::set_exception: no exception");
  complete([&] { exception = for_another_task(std::move(failure)); });
}

// Threads: it was the last reference, so no other thread looks.
FutureState::~FutureState() {
  // Relaxed: giving up a reference orders it.
  if (exception && !reported_.load(std::memory_order_relaxed)) {
    Home::handle_exception_here(std::move(exception));
  }
}

void FutureState::rethrow() {
  reported_.store(true, std::memory_order_relaxed);  // see ~FutureState()
  std::rethrow_exception(exception);
}

void FutureState::abandon() noexcept {
  // Relaxed: as in complete().
  if (claimed_.exchange(true, std::memory_order_relaxed)) return;
  exception = std::make_exception_ptr(std::future_error(std::future_errc::broken_promise));
  reported_.store(true, std::memory_order_relaxed);  // complete() publishes it
  WaitQueue::Lock lock(completion.queue());
  completion.complete(lock, [] {});
}

void FutureState::leave() noexcept {
  // Acquire and release: what all readers did is seen where the promise is found abandoned.
  if (readers_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  WaitQueue::Lock lock(left.queue());
  if (!left.done()) left.complete(lock, [] {});
}

void FutureState::settle(Fiber& task) noexcept {
  if (task.ending == Ending::kException) {
    exception = std::exchange(task.exception, nullptr);
    task.ending = Ending::kTaken;
  } else if (task.ending == Ending::kCancelled) {
    exception = std::make_exception_ptr(TaskCancelled());
    reported_.store(true, std::memory_order_relaxed);  // complete() publishes it
  }
  WaitQueue::Lock lock(completion.queue());
  completion.complete(lock, [] {});
}

void FutureState::fail_already_set() {
  throw std::future_error(std::future_errc::promise_already_satisfied);
}

void FutureState::fail_no_state() { throw std::future_error(std::future_errc::no_state); }

}  // namespace weft::internal
