#ifndef WEFT_FIBER_SCHEDULER_H_
#define WEFT_FIBER_SCHEDULER_H_

#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "weft/fiber/core/call.h"
#include "weft/fiber/core/callable.h"
#include "weft/fiber/stats.h"
#include "weft/fiber/time.h"

namespace weft {

// How to start a fiber:
//
//   auto task = weft::spawn(serve, {.name = "server", .stack_size = 1024 * 1024});
//   auto other = weft::spawn(count, {.on = weft::round_robin()});  // on another thread
//   auto child = weft::spawn(parse, {.eager = true});              // parse() has begun now
struct SpawnOptions {
  std::string_view name = {};  // for diagnostics; copied, cut to 31 bytes
  std::size_t stack_size = 0;  // address space, guard included, 4 pages or more; 0: the default
  Scheduler* on = nullptr;     // null: the scheduler of the calling thread
  bool eager = false;          // start it at once; the caller goes on when it first waits or ends
};

// Gets an exception that no caller gets. It may wait. If it throws, the program ends.
using ExceptionHandler = std::function<void(std::exception_ptr)>;

// What call_soon(), call_later() and call_at() return: the right to take the call back. Copyable.
// Destroying it does not cancel the call.
class Handle {
 public:
  Handle() = default;
  Handle(const Handle& other) noexcept : call_(other.call_) {
    if (call_) call_->ref();
  }
  Handle(Handle&& other) noexcept : call_(std::exchange(other.call_, nullptr)) {}
  Handle& operator=(Handle other) noexcept {
    std::swap(call_, other.call_);
    return *this;
  }
  ~Handle() {
    if (call_) call_->unref();
  }

  // The call does not start, if it has not started yet; nothing of it stays behind. No effect
  // afterwards, or twice. Waits only if the callable's destructor does. Only from fibers of the
  // same scheduler, or after its end.
  void cancel() noexcept;

 private:
  friend Handle internal::schedule(internal::PendingCall& call, std::optional<TimePoint> time);

  explicit Handle(internal::PendingCall& call) noexcept : call_(&call) { call.ref(); }

  internal::PendingCall* call_ = nullptr;
};

// Runs the fibers of one thread. A fiber never leaves its scheduler, and so the thread, that it was
// started on. weft::run() makes one for each thread of its RunOptions.
//
//   weft::Scheduler& here = weft::Scheduler::current();
//   std::thread([&here] { here.post([] { std::puts("in a fiber"); }); }).detach();
//   weft::Handle alarm = here.call_later(5s, [] { std::puts("late"); });
//
// Fibers hand over to each other directly. Timers, I/O and other threads are looked at when no
// fiber is ready, and otherwise about every 100 microseconds: see README.md, "Turns".
//
// Threads: post() from any; everything else from the scheduler's own, i.e. from fibers.
class Scheduler {
 public:
  // The scheduler of the calling fiber. Throws std::logic_error outside fibers.
  static Scheduler& current();

  // Runs f as a fiber of this scheduler, soon (asyncio's call_soon_threadsafe). From any thread, as
  // long as the scheduler exists. The posts of one thread start in their order; this scheduler's
  // fibers post() and call_soon() into one order. f may wait. If a fiber or a job posts it, f
  // starts with a copy of that one's locals. What f throws goes to the exception handler. Posts
  // during shutdown, and those that have not begun by then, are dropped. Throws
  // std::invalid_argument if f is null, and std::logic_error in a child of the process that made
  // the scheduler.
  //
  // However many posts are pending, timers, I/O and other fibers have their turn: see README.md,
  // "Calls". A post that has not begun takes the memory of f and 40 bytes. If there is no stack for
  // it, it waits until a fiber ends.
  template <class F>
  void post(F&& f);

  // Runs f as a fiber of this scheduler: soon, after a while, at a time. f may wait and starts with
  // a copy of the caller's fiber locals. Equal times start in the order of the calls. Calls, posts
  // and done callbacks that are due start one after another. If one of them waits, the next one
  // starts at once, before other fibers. There is no order between calls and fibers that spawn()
  // started. Pending calls are dropped at shutdown. A pending call takes the memory of f and some
  // 136 bytes. A negative duration counts as zero. Throws std::invalid_argument if f is null, and
  // std::logic_error anywhere but in this scheduler's fibers; elsewhere, post().
  template <class F>
  Handle call_soon(F&& f);
  template <class F>
  Handle call_later(AnyDuration wait, F&& f);
  template <class F>
  Handle call_at(AnyTimePoint time, F&& f);

  // Sets the function for exceptions that no caller gets: those that leave detached fibers, and
  // those that a task, a group or a promise still has when it is destroyed.
  //
  //   weft::Scheduler::current().set_exception_handler([](std::exception_ptr failure) {
  //     log(failure);  // the program goes on
  //   });
  //
  // For a task it runs in the fiber that failed, with its name and its locals. A fiber that drops
  // the task's handle waits for that. For a group or a promise it runs in the fiber that destroys
  // it. It is shielded from cancellation. It may wait, but not throw. For a task that outlives its
  // scheduler it runs where the handle is dropped. The default, also for null, prints and
  // terminates. Each scheduler has its own: RunOptions::exception_handler sets that of all.
  //
  // A destructor may find a failure while the stack unwinds. It is kept until the innermost scope,
  // such as with_timeout(), or else the task, ends. If that ends by Cancelled, it ends by the
  // failure instead. If it ends otherwise, the handler gets the failure then; the default prints
  // it, and the program goes on. Of several failures one is kept, and the handler gets the others
  // at once.
  void set_exception_handler(ExceptionHandler handler);

  // What this scheduler has done and what it has now: see SchedulerStats. For those of all
  // schedulers, spread(). O(stats().ready + stacks / 16); does not wait. Throws std::logic_error
  // anywhere but in this scheduler's fibers.
  SchedulerStats stats() const;

 protected:
  Scheduler() = default;
  ~Scheduler() = default;
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

 private:
  template <class F>
  Handle schedule(F&& f, const char* caller, std::optional<TimePoint> time) {
    return internal::schedule(*new internal::CallOf<std::decay_t<F>>(
                                  *this, internal::checked_callable(std::forward<F>(f), caller)),
                              time);
  }
};

// ---- Implementation -----------------------------------------------------------------------------

template <class F>
void Scheduler::post(F&& f) {
  internal::post(*this, *new internal::PostOf<std::decay_t<F>>(
                            internal::checked_callable(std::forward<F>(f), "post")));
}

template <class F>
Handle Scheduler::call_soon(F&& f) {
  return schedule(std::forward<F>(f), "call_soon", {});
}

template <class F>
Handle Scheduler::call_later(AnyDuration wait, F&& f) {
  return schedule(std::forward<F>(f), "call_later", internal::deadline_within(wait));
}

template <class F>
Handle Scheduler::call_at(AnyTimePoint time, F&& f) {
  return schedule(std::forward<F>(f), "call_at", time);
}

}  // namespace weft

#endif  // WEFT_FIBER_SCHEDULER_H_
