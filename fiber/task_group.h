#ifndef WEFT_FIBER_TASK_GROUP_H_
#define WEFT_FIBER_TASK_GROUP_H_

#include <cstdint>
#include <exception>
#include <functional>
#include <future>
#include <list>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "weft/fiber/cancel_scope.h"
#include "weft/fiber/core/callable.h"
#include "weft/fiber/core/intrusive_list.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/future.h"
#include "weft/fiber/task.h"

namespace weft {

// Tasks that belong together. None of them outlives the group, and the first failure cancels the
// rest. A child's stack is used again as soon as the child has ended, so a group may start any
// number of tasks in its life.
//
//   weft::TaskGroup group;
//   for (const Url& url : urls) group.spawn([&] { fetch(url); });
//   group.join();  // throws what the first child to fail has thrown
//
// A failure does not interrupt the fiber that made the group: a group may be a member of an object,
// or used by several fibers, and so has no owner that it could interrupt. That fiber learns of the
// failure at join(), or at a spawn(). A server that spawns a child for each connection, and rarely
// joins, wants to be interrupted: see with_task_group().
//
// Threads: spawn(), start() and cancel() from any fiber, the children too; join() from one fiber or
// plain thread that is no child.
class TaskGroup {
 public:
  TaskGroup() = default;
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Cancels the children and waits until all have ended, itself not to be cancelled. A failure that
  // no join() has thrown goes to the exception handler; while the stack unwinds, to the owner: see
  // Scheduler::set_exception_handler(). A child may not destroy its own group: that ends the
  // program with a sentence.
  ~TaskGroup();

  // Starts f as a child; what it returns is dropped, and may be anything. Returns the child's id:
  // see cancel(id). Does not wait. Throws as weft::spawn does.
  //
  // If a child or the body has failed, or the group was cancelled, it is shutting down: it starts
  // nothing until the next join(), or the body, is over. Until then this destroys f and throws:
  // Cancelled if the caller is cancelled, as the group's own children are; otherwise
  // std::runtime_error.
  template <class F>
  std::uint64_t spawn(F&& f, SpawnOptions options = {}) {
    internal::checked_callable(f, "TaskGroup::spawn");
    internal::Fiber& child = internal::reserve_with(std::forward<F>(f), options);
    const std::uint64_t id = child.id;
    add(child, options);
    return id;
  }

  // Starts f(promise) as a child, and waits until it says that it is up, by setting its
  // Promise<T>&. Returns that value; T may be void or a reference. From then on the child is one
  // like any other.
  //
  //   const auto at = group.start<weft::Address>([](weft::Promise<weft::Address>& up) {
  //     weft::TcpListener listener("127.0.0.1:0");
  //     up.set_value(listener.local_address());
  //     for (;;) serve(listener.accept());
  //   });
  //
  // If the child fails before it is up, start() throws what it failed with. The group then does not
  // fail, and goes on. If the child was cancelled, e.g. because another child has failed, throws
  // TaskCancelled. If it returned without setting the promise, throws std::logic_error. f may set
  // an exception instead of a value, but may not move the promise away.
  //
  // A cancellation point. If the caller is cancelled, the child is, too, and start() waits until it
  // has ended. Then it throws what the child failed with before it was up, or else Cancelled.
  // Throws as spawn() does.
  template <class T = void, class F>
  T start(F&& f, SpawnOptions options = {});

  // Waits until all children have ended, those included that start meanwhile. Then throws the first
  // exception that left a child, if any: once. That a child was cancelled is no failure.
  //
  // A cancellation point, unless there are no children. When the caller is cancelled, the children
  // are, too; when they have ended, throws the first failure, or else Cancelled. The group can be
  // used again afterwards; but see with_task_group(). Throws std::logic_error in a child of this
  // group, which would wait for itself.
  void join();

  // Cancels the children. Does not wait. It interrupts no body: see with_task_group().
  void cancel() noexcept;

  // Cancels the child of this id, and leaves the others alone. Returns false, without effect, if
  // there is none, as it has ended. Does not wait. O(children).
  bool cancel(std::uint64_t id) noexcept;

  // The exceptions that have left children, and the body, in the order in which they did: the first
  // is what join() throws, the others are often consequences of it. They stay until the first
  // spawn() or body after a join(). If memory ran out some may be missing. Does not wait.
  // O(failures).
  std::vector<std::exception_ptr> failures() const;

 private:
  template <class F>
  friend auto with_task_group(TaskGroup& group, F&& f) -> std::invoke_result_t<F&, TaskGroup&>;

  enum class State : std::uint8_t {
    kOpen,
    kClosing,  // a child has failed, or it was cancelled: no child may start
    kJoined    // as new; the failures of before are still there
  };
  class Body;
  using Failures = std::list<std::exception_ptr>;  // a part can be added without allocating

  void add(internal::Fiber& fiber, const SpawnOptions& options);
  [[noreturn]] void refuse(internal::Fiber& fiber);
  static void ended(internal::Fiber& fiber) noexcept;

  void begin_anew(Failures& of_before) noexcept;
  void close_and_cancel() noexcept;
  static Failures place_for(const std::exception_ptr& failure) noexcept;
  internal::Fiber* note(std::exception_ptr failure, Failures& place) noexcept;
  bool left_behind(const internal::WaitQueue::Lock&) const noexcept;
  std::exception_ptr wait_for_children();
  void join_or_cancel(std::exception_ptr unwinding);
  void run_body(void (*call)(void* body), void* body);
  void check_no_child(const char* sentence) const;

  // Its lock guards the members below. Callers of join() wait in it.
  mutable internal::WaitQueue joiners_;
  internal::IntrusiveList<internal::Fiber, TaskGroup> children_;
  std::exception_ptr failure_;  // the first that was not thrown yet
  Failures failures_;
  Body* body_ = nullptr;
  State state_ = State::kOpen;
};

// Runs f(group) in the calling fiber as the body of a group: a scope that no child outlives, and
// that throws the first failure. Returns what f returns.
//
//   weft::with_task_group([&](weft::TaskGroup& connections) {
//     for (;;) connections.spawn([s = listener.accept()]() mutable { serve(std::move(s)); });
//   });  // a serve() that throws ends accept(), and all others, and is thrown here
//
// When a child fails, the others are cancelled. The current or next wait of f throws Cancelled, and
// so does every later one, as after a timeout. When f has returned, waits for the children; when it
// has thrown, cancels them and waits. Then throws the first failure of all, a child's or f's,
// whatever f made of it: join() in f throws it, too, but does not take it.
//
// Scopes nest, with each other, timeouts and shields: a shield in f holds the interruption back. If
// the caller is cancelled, f ends by its next wait, and then the children are cancelled; if none
// has failed when they have ended, throws Cancelled. A cancellation point, unless f has left no
// children. TaskGroup::cancel() does not interrupt f.
//
// Later failures are dropped with the group. To see them all, name a group that outlives the call:
// catch what it throws, and ask group.failures(). A group has one body at a time: throws
// std::logic_error if it has one, and in a child of it. On a plain thread nothing can interrupt f.
// Throws std::invalid_argument if f is null. Costs 120 to 150 instructions more than a TaskGroup
// without a body.
template <class F>
auto with_task_group(TaskGroup& group, F&& f) -> std::invoke_result_t<F&, TaskGroup&>;
template <class F>
auto with_task_group(F&& f) -> std::invoke_result_t<F&, TaskGroup&>;

// ---- Implementation -----------------------------------------------------------------------------

namespace internal {

// The child of TaskGroup::start().
template <class T, class F>
struct Starter {
  void operator()() {
    try {
      as_in_a_task([this] { std::invoke(*f, up); });
      if (!is_up.done()) throw std::logic_error("weft::TaskGroup::start: the child never came up");
    } catch (...) {
      if (is_up.done()) throw;
      f.reset();
      up.set_exception(std::current_exception());
      over.set_value();
    }
  }

  Promise<T> up{};  // destroyed last
  Future<T> is_up = up.future();
  Promise<void> over{};  // set if it fails before it is up
  std::optional<F> f;
};

}  // namespace internal

template <class T, class F>
T TaskGroup::start(F&& f, SpawnOptions options) {
  internal::checked_callable(f, "TaskGroup::start");
  internal::Starter<T, std::decay_t<F>> child{.f = std::forward<F>(f)};
  const Future<T> up = child.is_up;
  const Future<void> over = child.over.future();
  // Waits for its end. If it was cancelled before it began, both promises are broken.
  const auto has_begun = [&] {
    const internal::ShieldScope unwatched;
    over.wait();
    return !over.failed();
  };
  const std::uint64_t id = spawn(std::move(child), options);
  try {
    up.completion().wait(kForever, "TaskGroup::start");
    if constexpr (std::is_void_v<T> || std::is_reference_v<T>) {
      return up.get();
    } else {
      return std::move(const_cast<T&>(up.get()));  // nobody else has a use for it
    }
  } catch (const Cancelled&) {
    cancel(id);
    try {
      if (has_begun() && up.failed()) up.get();
    } catch (const TaskCancelled&) {
    }
    throw;
  } catch (const std::future_error& error) {
    // Both promises are broken: it was cancelled before it began.
    if (error.code() == std::future_errc::broken_promise && over.done()) throw TaskCancelled();
    throw;
  }
}

template <class F>
auto with_task_group(TaskGroup& group, F&& f) -> std::invoke_result_t<F&, TaskGroup&> {
  using Result = std::invoke_result_t<F&, TaskGroup&>;
  static_assert(internal::kCanBeReturned<Result>, "the result can be neither moved nor copied");
  internal::checked_callable(f, "with_task_group");
  const auto call = [&]() -> Result { return std::invoke(f, group); };
  std::optional<internal::Kept<Result>> result;
  auto body = [&] { result.emplace(internal::result_to_keep<Result>(call)); };
  group.run_body([](void* its) { (*static_cast<decltype(body)*>(its))(); }, &body);
  return internal::take_kept<Result>(*result);
}

template <class F>
auto with_task_group(F&& f) -> std::invoke_result_t<F&, TaskGroup&> {
  TaskGroup group;
  return with_task_group(group, std::forward<F>(f));
}

}  // namespace weft

#endif  // WEFT_FIBER_TASK_GROUP_H_
