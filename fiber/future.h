#ifndef WEFT_FIBER_FUTURE_H_
#define WEFT_FIBER_FUTURE_H_

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/call.h"
#include "weft/fiber/core/callable.h"
#include "weft/fiber/core/completion.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/task.h"
#include "weft/fiber/time.h"

namespace weft {

namespace internal {

// A call whose time comes when a future is done.
class DoneCallback : public PendingCall, public Waiter {
 public:
  DoneCallback(Scheduler& scheduler, Completion& completion) noexcept;
  bool forget() noexcept override;

 private:
  friend class FutureState;

  static Waiter* notify(Waiter& waiter) noexcept;

  Completion& completion_;
  std::uint64_t id_ = 0;
};

// What a Promise and its Futures share, whatever the type of the value.
class FutureState {
 public:
  FutureState() = default;
  ~FutureState();
  FutureState(const FutureState&) = delete;
  FutureState& operator=(const FutureState&) = delete;

  void set(std::exception_ptr exception);
  void abandon() noexcept;
  bool wait(TimePoint deadline) { return completion.wait(deadline, "Future::wait"); }

  // Takes over the callback's reference. Returns its id.
  std::uint64_t add(DoneCallback& callback) noexcept;
  bool remove(std::uint64_t id) noexcept;

  // A Future more, or less. Relaxed: nobody is told of the first.
  void enter() noexcept { readers_.fetch_add(1, std::memory_order_relaxed); }
  void leave() noexcept;

  // Takes what the task failed with, and makes the future done. REQUIRES: the task has ended.
  void settle(Fiber& task) noexcept;

  // Runs `store` and makes the future done. Throws std::future_error if somebody did before.
  template <class Store>
  void complete(Store store) {
    // Relaxed: decides which caller stores; complete() publishes what.
    if (claimed_.exchange(true, std::memory_order_relaxed)) fail_already_set();
    try {
      store();
    } catch (...) {
      claimed_.store(false, std::memory_order_relaxed);  // as above
      throw;
    }
    WaitQueue::Lock lock(completion.queue());
    completion.complete(lock, [] {});
  }

  // Throws the exception, if there is one. REQUIRES: done.
  void throw_failure() {
    if (exception) rethrow();
  }

  Completion completion;
  Completion left;  // no Future is left
  std::exception_ptr exception;

  [[noreturn]] static void fail_already_set();
  [[noreturn]] static void fail_no_state();

 private:
  [[noreturn]] void rethrow();

  Atomic<std::uint64_t> readers_{0};  // how many Futures there are
  Atomic<bool> claimed_{false};
  Atomic<bool> reported_{false};  // the exception was thrown, or need not be
};

template <class T>
struct ValueState : FutureState {
  const Kept<T>* value = nullptr;  // when done, if there is one: in `place`, or in a task
  std::optional<Kept<T>> place;    // what a Promise has set
};

// With a task, which keeps its result. It is done when the task is.
template <class T>
struct SharedTask final : ValueState<T>, Waiter {
  explicit SharedTask(Task<T>&& its_task) : Waiter(&SharedTask::notify), task(std::move(its_task)) {
    WaitQueue::Lock lock(task.completion().queue());
    if (task.done()) {
      notify(*this);
    } else {
      task.completion().queue().watch(lock, *this);
    }
  }
  // The task may go on alone. Also, under its lock the notifier has left.
  ~SharedTask() { task.completion().queue().unwatch(*this); }

  static Waiter* notify(Waiter& waiter) noexcept {
    auto& self = static_cast<SharedTask&>(waiter);
    Fiber& fiber = self.task.fiber();
    if (fiber.ending == Ending::kValue) {
      self.value = std::addressof(static_cast<TaskResult<T>*>(fiber.payload)->value);
    }
    self.settle(fiber);
    return nullptr;
  }

  Task<T> task;
};

}  // namespace internal

// A value that arrives later; many may wait for it. Copyable; copies refer to the same value. Made
// by a Promise, or of a task by Task::share().
//
//   weft::Promise<int> promise;
//   auto reader = weft::spawn([future = promise.future()] { return future.get(); });
//   promise.set_value(7);
//
// An exception that no get() has thrown goes to the exception handler when the Promise and the last
// Future are gone, as a task's does. A broken promise does not. A plain thread has no handler:
// dropping the last of them prints the exception and ends the program, also if a reader has given
// up before. While the thread's stack unwinds it only prints.
//
// Threads: any, at once. A fiber that waits frees its thread; a plain thread blocks.
// Errors: std::future_error (no_state) if it refers to no promise.
template <class T>
class Future {
 public:
  Future() = default;
  Future(const Future& other) noexcept : Future(other.state_) {}
  Future(Future&&) noexcept = default;
  Future& operator=(Future other) noexcept {
    state_.swap(other.state_);
    return *this;
  }
  ~Future() {
    if (state_) state_->leave();
  }

  // Waits for the value, or throws what set_exception() was given, or std::future_error
  // (broken_promise) if the promise was destroyed unset. Of a Task::share(): throws what the task
  // has thrown, or TaskCancelled if it was cancelled. May be called repeatedly: the value stays,
  // and the reference is valid while a Promise or Future of it exists. A cancellation point, unless
  // done.
  std::add_lvalue_reference_t<const T> get() const;

  // Waits until done. wait_for and wait_until return whether it is. A negative duration counts as
  // zero. Cancellation points, unless done.
  void wait() const { state().wait(kForever); }
  bool wait_for(AnyDuration time) const { return wait_until(internal::deadline_within(time)); }
  bool wait_until(AnyTimePoint deadline) const { return state().wait(deadline); }

  // done(): it was set, or its promise was destroyed unset. failed(): get() would throw, also
  // because of a promise that was destroyed. Do not wait.
  bool done() const { return state().completion.done(); }
  bool failed() const { return done() && state().exception; }

  // Runs f(future), or f(), as a fiber of the calling fiber's scheduler, soon after this is done,
  // or soon if it is already. f may wait. Callbacks begin in the order in which they were added.
  // What f throws goes to the exception handler. Calls that have not begun at the scheduler's
  // shutdown are dropped. Throws std::logic_error outside fibers.
  template <class F>
  std::uint64_t add_done_callback(F&& f) const;

  // Takes a callback back by the id that its addition gave, before this is done. Returns whether it
  // was there. From fibers of the scheduler that added it. O(callbacks and waiters).
  bool remove_done_callback(std::uint64_t id) const { return state().remove(id); }

  bool valid() const noexcept { return state_ != nullptr; }

  // For weft's own files.
  internal::Completion& completion() const { return state().completion; }

 private:
  template <class>
  friend class Promise;
  template <class>
  friend class Task;

  explicit Future(std::shared_ptr<internal::ValueState<T>> state) noexcept
      : state_(std::move(state)) {
    if (state_) state_->enter();
  }
  internal::ValueState<T>& state() const {
    if (!state_) internal::FutureState::fail_no_state();
    return *state_;
  }

  std::shared_ptr<internal::ValueState<T>> state_;
};

// The place where a Future's value is put, once. Movable.
//
//   auto guard = weft::spawn([&] { promise.wait_abandoned(), work.cancel(); });
//   if (!promise.abandoned()) promise.set_value(compute());
//
// Threads: any, but one call at a time; while one waits, another may set, move or destroy it.
// Destroying it unset breaks the promise: waiters get std::future_error.
template <class T>
class Promise {
 public:
  Promise() : state_(std::make_shared<internal::ValueState<T>>()) {}
  Promise(Promise&&) noexcept = default;
  Promise& operator=(Promise&& other) noexcept {
    Promise(std::move(other)).swap(*this);
    return *this;
  }
  ~Promise() {
    if (state_) state_->abandon();
  }

  // Sets the value or the exception, and wakes all waiters. Does not wait. Cancelled concerns the
  // calling fiber alone: it is stored as TaskCancelled.
  // Throws std::future_error (promise_already_satisfied) if that was done before,
  // std::invalid_argument if the exception is null.
  template <class... Value>
  void set_value(Value&&... value);
  void set_exception(std::exception_ptr exception) { state()->set(std::move(exception)); }

  // As often as wanted.
  Future<T> future() const { return Future<T>(state_); }

  // Whether nobody can get the value any more: futures were given, and all of them are gone, with
  // the callbacks that were added to them. It stays so, even if another future is given. Does not
  // depend on whether the value is set. Does not wait. Throws std::future_error (no_state) if this
  // was moved from.
  bool abandoned() const { return state()->left.done(); }

  // Wait until that is so; _for and _until return whether it is. A negative duration counts as
  // zero. Cancellation points, unless it is so.
  void wait_abandoned() const { wait_abandoned_until(kForever); }
  bool wait_abandoned_for(AnyDuration time) const {
    return wait_abandoned_until(internal::deadline_within(time));
  }
  bool wait_abandoned_until(AnyTimePoint deadline) const {
    return state()->left.wait(deadline, "Promise::wait_abandoned");
  }

  void swap(Promise& other) noexcept { state_.swap(other.state_); }

 private:
  // A reference of its own: a reader may destroy the promise before the setter is done.
  std::shared_ptr<internal::ValueState<T>> state() const {
    if (!state_) internal::FutureState::fail_no_state();
    return state_;
  }

  std::shared_ptr<internal::ValueState<T>> state_;
};

// ---- Implementation -----------------------------------------------------------------------------

template <class T>
std::add_lvalue_reference_t<const T> Future<T>::get() const {
  internal::ValueState<T>& its = state();
  its.wait(kForever);
  its.throw_failure();
  if constexpr (std::is_reference_v<T>) {
    return **its.value;
  } else if constexpr (!std::is_void_v<T>) {
    return *its.value;
  }
}

template <class T>
template <class F>
std::uint64_t Future<T>::add_done_callback(F&& f) const {
  using Function = std::decay_t<F>;
  struct Callback final : internal::DoneCallback {
    Callback(Scheduler& scheduler, const Future& its, F&& function)
        : DoneCallback(scheduler, its.completion()), future(its), f(std::forward<F>(function)) {}
    void invoke() override {
      if constexpr (std::is_invocable_v<Function&, Future>) {
        std::invoke(*f, *future);
      } else {
        std::invoke(*f);
      }
    }
    void discard() noexcept override {
      f.reset();
      future.reset();
    }
    std::optional<Future> future;  // keeps the completion
    std::optional<Function> f;
  };
  internal::checked_callable(f, "Future::add_done_callback");
  internal::FutureState& its = state();
  internal::require_fiber("weft::Future::add_done_callback");
  return its.add(*new Callback(Scheduler::current(), *this, std::forward<F>(f)));
}

template <class T>
template <class... Value>
void Promise<T>::set_value(Value&&... value) {
  const std::shared_ptr<internal::ValueState<T>> its = state();
  its->complete([&] {
    static_assert(!std::is_void_v<T> || sizeof...(value) == 0, "a Promise<void> has no value");
    if constexpr (std::is_reference_v<T>) {
      its->value = &its->place.emplace(std::addressof((value, ...)));
    } else if constexpr (!std::is_void_v<T>) {
      its->value = std::addressof(its->place.emplace(std::forward<Value>(value)...));
    }
  });
}

template <class T>
Future<T> Task<T>::share() && {
  check_not_taken();
  return Future<T>(std::make_shared<internal::SharedTask<T>>(std::move(*this)));
}

}  // namespace weft

#endif  // WEFT_FIBER_FUTURE_H_
