#ifndef WEFT_FIBER_TASK_H_
#define WEFT_FIBER_TASK_H_

#include <cstddef>
#include <memory>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

#include "weft/fiber/core/callable.h"
#include "weft/fiber/core/fiber.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/time.h"

namespace weft {

class StackTrace;
template <class T>
class Future;

namespace internal {

class Loop;

// What every Task can do, whatever its result.
class TaskBase {
 public:
  TaskBase() = default;  // refers to no task: every member function but valid() throws
  TaskBase(TaskBase&& other) noexcept : fiber_(std::exchange(other.fiber_, nullptr)) {}
  TaskBase& operator=(TaskBase&& other) noexcept {  // what was there goes as if destroyed
    if (this != &other) {
      if (fiber_) close();
      fiber_ = std::exchange(other.fiber_, nullptr);
    }
    return *this;
  }

  // Cancels the task and waits for its end, itself not to be cancelled. An exception that the task
  // ended with, and that get() did not take, goes to the scheduler's exception handler; while the
  // stack unwinds, to the owner: see Scheduler::set_exception_handler().
  ~TaskBase() {
    if (fiber_) close();
  }

  // Waits until the task has ended. Does not throw what it threw.
  // A cancellation point, unless the task is done.
  void wait() { wait_until(kForever); }

  // The same, but not longer than this. Returns whether the task has ended.
  // A negative duration counts as zero.
  bool wait_for(AnyDuration time);
  bool wait_until(AnyTimePoint deadline);

  // Whether it has ended: with a result, an exception or a cancellation. Does not wait.
  bool done() const { return fiber().done(); }

  // Makes the task's current or next wait throw Cancelled, and every later one too; a task that has
  // not begun never does. No effect on one that has ended, or twice. Does not wait.
  void cancel() { fiber().cancel(); }

  // As given to spawn, or set since. Valid while this handle refers to the task, until it is set.
  std::string_view name() const { return fiber().name_view(); }
  // Renames the task: cut to 31 bytes. On the thread of the task's scheduler; elsewhere, and for a
  // task of another scheduler, throws std::logic_error. See set_task_name().
  void set_name(std::string_view name);
  std::uint64_t id() const { return fiber().id; }

  // Where the task is: asyncio's get_stack(). Empty if it has ended, and if the caller is not on
  // the thread of the task's scheduler: there its stack may change. See print_tasks().
  StackTrace stack() const;

  // Lets the task go on alone. Does not wait. What it throws goes to the scheduler's exception
  // handler.
  void detach() {
    release(fiber());
    fiber_ = nullptr;
  }

  // Whether this refers to a task: not after detach() and moving away.
  bool valid() const noexcept { return fiber_ != nullptr; }

  // Whether it ended with an exception that nobody has taken yet.
  bool failed() const { return done() && fiber().ending == Ending::kException; }

  // For weft's own files.
  Completion& completion() const { return fiber().completion; }
  Fiber& fiber() const {
    if (!fiber_) fail_no_task();
    return *fiber_;
  }

 protected:
  explicit TaskBase(Fiber& fiber) noexcept : fiber_(&fiber) {}

  // Waits; throws what get() has to throw, and else leaves the result to be taken.
  void join();

  // Throws std::logic_error if the result was taken.
  void check_not_taken() const;

 private:
  [[noreturn]] static void fail_no_task();

  static void check_elsewhere(Fiber& target);
  static bool wait_until_end(Fiber& target, TimePoint deadline);
  static Loop* left_to_caller(Fiber& target, bool with_others) noexcept;
  void close() noexcept {
    if (!fiber_->done()) cancel_and_join();
    release(*fiber_);
  }
  void cancel_and_join() noexcept;

  Fiber* fiber_ = nullptr;
};

}  // namespace internal

// The handle of a fiber that computes a T; T may be void or a reference.
//
//   weft::Task<User> user = weft::spawn([&] { return find_user(id); });
//   Cart cart = cart_of(id);  // meanwhile
//   show(user.get(), cart);   // if cart_of() throws, the task is cancelled, and waited for
//
// It owns the fiber: destroying it cancels and joins, so that a task cannot outlive what its
// callable refers to. Dropping a handle costs nothing when the task has ended. The stack of a task
// that has ended is used again when the handle is gone. The handle may outlive the scheduler.
//
// Threads: a handle may be used by one fiber or plain thread at a time, on any thread.
//
// Errors: std::logic_error for a handle that refers to no task, a second get(), a task that joins
// itself, and a wait for a task of this thread's scheduler outside of its run(), where nobody would
// run it. (For a task of another scheduler of the runtime such a wait is in order, as long as the
// task needs nothing of this one, nor virtual time, which stands still.) A handle that is destroyed
// there runs this thread's scheduler until the task has ended. In a child process a wait for a task
// that was started before the fork is an error, too; destroying the handle there does not wait.
template <class T>
class [[nodiscard]] Task : public internal::TaskBase {
 public:
  Task() = default;

  // Waits until the task has ended, and returns its result, or throws its exception, or throws
  // TaskCancelled if it ended by cancellation. Once only. A cancellation point, unless done.
  // A result that can be neither moved nor copied stays in the task, and get() does not compile.
  T get();

  // Gives the task to a future, whose copies may wait for it on any thread, each of them:
  //
  //   weft::Future<Page> page = weft::spawn([=] { return load(url); }).share();
  //   for (auto& reader : readers) group.spawn([&, page] { reader.show(page.get()); });
  //
  // A reader that goes does not cancel the task. When the last Future goes the task is cancelled
  // and waited for, as by this handle's destructor: it cannot outlive what its callable refers to.
  // (If the task itself drops the last one, it goes on alone.) Its failure goes to the exception
  // handler if no get() has thrown it. After this the handle refers to no task. Does not wait.
  // Costs an allocation. Throws std::logic_error if the result was taken. In fiber/future.h.
  Future<T> share() &&;

  explicit Task(internal::Fiber& fiber) noexcept : TaskBase(fiber) {}  // for spawn
};

// Starts f() as a fiber, at the end of the ready ones, or as the options say. Does not wait.
//
// f is decay-copied onto the new fiber's stack, or moved; it need not be copyable. It and its
// result cost no allocation up to Fiber::kPayloadSize bytes. f is destroyed on the fiber when the
// task ends. A result of type `const T` is kept as a T, one of type T& as a reference. What errno
// is at the start is not specified.
//
// Throws std::invalid_argument if f is null or the stack too small, std::bad_alloc or
// std::system_error if there is no stack to be had, std::logic_error where no scheduler runs and
// none is named, and what copying f throws; then nothing was started.
// On another scheduler (SpawnOptions::on), from any thread: `eager` has no effect there.
template <class F>
[[nodiscard]] auto spawn(F&& f, SpawnOptions options = {})
    -> Task<internal::ResultOf<std::decay_t<F>&>>;

// ---- Implementation -----------------------------------------------------------------------------

namespace internal {

// Where a task's result lies: at the start of the payload, whatever the callable.
template <class T>
struct TaskResult {
  TaskResult() noexcept {}
  ~TaskResult() {}

  union {
    Kept<T> value;
  };
};

// A callable, with room for its result.
template <class F, class T>
struct TaskState : TaskResult<T> {
  template <class G>
  explicit TaskState(G&& f) : function(std::forward<G>(f)) {}
  ~TaskState() {}

  static constexpr bool kInline =
      sizeof(F) + sizeof(TaskResult<T>) + alignof(F) <= Fiber::kPayloadSize &&
      alignof(F) <= alignof(std::max_align_t) &&
      alignof(TaskResult<T>) <= alignof(std::max_align_t);

  static void work(Fiber& fiber) noexcept {
    auto& self = *static_cast<TaskState*>(fiber.payload);
    run_work(fiber, [&] {
      ::new (static_cast<void*>(std::addressof(self.value)))
          Kept<T>(result_to_keep<T>(self.function));
    });
    self.function.~F();
  }

  static void drop(Fiber& fiber) noexcept {
    auto* self = static_cast<TaskState*>(fiber.payload);
    if (fiber.ending == Ending::kValue) std::destroy_at(std::addressof(self->value));
    if constexpr (!kInline) delete self;
  }

  static constexpr bool kNeedsDrop = !kInline || !std::is_trivially_destructible_v<Kept<T>>;

  union {
    F function;
  };
};

// Reserves a fiber with f as its work. The caller starts it.
template <class F>
Fiber& reserve_with(F&& f, const SpawnOptions& options) {
  using Function = std::decay_t<F>;
  static_assert(std::is_constructible_v<Function, F>,
                "the callable can only be moved: pass it by std::move(), or by std::ref()");
  using State = TaskState<Function, ResultOf<Function&>>;
  Fiber& fiber = reserve(options);
  try {
    if constexpr (State::kInline) {
      static_assert(sizeof(State) <= Fiber::kPayloadSize);
      fiber.payload = ::new (static_cast<void*>(fiber.storage)) State(std::forward<F>(f));
    } else {
      fiber.payload = new State(std::forward<F>(f));
    }
  } catch (...) {
    unreserve(fiber);
    throw;
  }
  fiber.work = &State::work;
  fiber.drop = State::kNeedsDrop ? &State::drop : nullptr;
  return fiber;
}

}  // namespace internal

template <class F>
auto spawn(F&& f, SpawnOptions options) -> Task<internal::ResultOf<std::decay_t<F>&>> {
  internal::checked_callable(f, "spawn");
  internal::Fiber& fiber = internal::reserve_with(std::forward<F>(f), options);
  Task<internal::ResultOf<std::decay_t<F>&>> task(fiber);
  internal::start(fiber, options);
  return task;
}

template <class T>
T Task<T>::get() {
  join();
  struct Taken {
    internal::Fiber& fiber;
    internal::Kept<T>& value;
    ~Taken() {
      std::destroy_at(std::addressof(value));
      fiber.ending = internal::Ending::kTaken;
    }
  } taken{fiber(), static_cast<internal::TaskResult<T>*>(fiber().payload)->value};
  return internal::take_kept<T>(taken.value);
}

}  // namespace weft

#endif  // WEFT_FIBER_TASK_H_
