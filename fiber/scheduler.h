#ifndef WEFT_FIBER_SCHEDULER_H_
#define WEFT_FIBER_SCHEDULER_H_

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/call.h"
#include "weft/fiber/core/fiber.h"
#include "weft/fiber/core/fiber_pool.h"
#include "weft/fiber/core/inbox.h"
#include "weft/fiber/core/intrusive_list.h"
#include "weft/fiber/core/parker.h"
#include "weft/fiber/core/port.h"
#include "weft/fiber/core/process.h"
#include "weft/fiber/core/stack.h"
#include "weft/fiber/core/timer_queue.h"
#include "weft/fiber/core/turn.h"
#include "weft/fiber/core/unhandled.h"

namespace weft::internal {
class Shutdown;
}

namespace weft {

class Runtime;
class ThreadPool;

// How to start a fiber.
struct SpawnOptions {
  std::string_view name = {};  // for diagnostics; copied, cut to 31 bytes
  std::size_t stack_size = 0;  // address space, guard included, 4 pages or more; 0: the default
  Scheduler* on = nullptr;     // null: the scheduler of the calling thread
  bool eager = false;          // start it at once; the caller goes on when it first waits or ends
};

// What call_soon, call_later and call_at give: the right to change one's mind. Copyable.
// Dropping it does not cancel.
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
  friend class weft::Scheduler;
  explicit Handle(PendingCall& call) noexcept : call_(&call) { call.ref(); }

  PendingCall* call_ = nullptr;
};

// The scheduler that runs on this thread, or null.
inline constinit thread_local Scheduler* current_scheduler = nullptr;

// Runs the fibers of one thread. A fiber never leaves the scheduler, and so the thread, that it was
// started on.
//
// Fibers hand over to each other directly. The loop's own context runs only when no fiber is ready,
// or when a turn is over: it takes what other threads posted, expires timers, and looks at or
// sleeps in its Port. A turn lasts 100 microseconds, and what the last slices take, a slice being
// the stretch between two waits: two slices where all take long; 8 where they suddenly do; 32 where
// fibers have only switched before. On virtual time and under a shuffle seed a turn is a number of
// slices, so that the order depends on nothing else. See Turn.
//
// Threads: post() and stop() from any; everything else from the scheduler's own, i.e. from fibers.
class Scheduler {
 public:
  struct Options {
    std::size_t stack_size = 256 * 1024;
    std::optional<std::uint64_t> shuffle_seed = {};  // run ready fibers in an order drawn from this
    Duration spin = {};                              // look for work this long before sleeping
    bool trim = true;  // give unused stacks' memory back; needs a clock that does not jump
    GuardKind guards = GuardKind::kAutomatic;
    const std::uint64_t* time_stamp = nullptr;  // read for the processor's, by tests
  };

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
  // 136 bytes. Throws std::invalid_argument if f is null or the duration is negative, and
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
  // terminates. Each scheduler has its own: set it with spread().
  //
  // A destructor may find a failure while the stack unwinds. It is kept until the innermost scope,
  // such as with_timeout(), or else the task, ends. If that ends by Cancelled, it ends by the
  // failure instead. If it ends otherwise, the handler gets the failure then; the default prints
  // it, and the program goes on. Of several failures one is kept, and the handler gets the others
  // at once.
  void set_exception_handler(ExceptionHandler handler);

  // Everything below is for weft's own files.

  // `port` must outlive the scheduler. Throws std::invalid_argument on a bad stack size, and as
  // StackPool::take() does: it keeps a stack for its end.
  Scheduler(Port& port, Options options);
  ~Scheduler();  // REQUIRES: shutdown() has returned, or nothing was ever spawned
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Runs fibers on the calling thread until stop(). May be called again afterwards.
  // Throws std::logic_error if a scheduler runs on this thread already.
  void run();

  // The same until this is done, which must not be destroyed meanwhile.
  void run_until(Completion& completion);

  // Makes run() return once the running fiber waits. From any thread.
  void stop() noexcept;

  // Ends run()'s life: cancels all fibers, drops pending calls, and runs until all have ended, here
  // and on the other schedulers of the same end. Names on stderr those that take longer than five
  // seconds. REQUIRES: on the thread of run().
  void shutdown(Shutdown& end);
  void shutdown();  // of this one alone

  // The fiber that runs on this thread: null on plain threads and in the loop.
  static Fiber* current_fiber() noexcept {
    return current_scheduler ? current_scheduler->current_ : nullptr;
  }
  // The same; throws std::logic_error, saying that `caller` needs a fiber.
  static Fiber& require_fiber(const char* caller);
  static Scheduler* current_or_null() noexcept { return current_scheduler; }
  // std::uncaught_exceptions() of the running fiber, cheaper. REQUIRES: a fiber is running.
  static unsigned uncaught_exceptions() noexcept {
    return current_scheduler->switch_.exceptions->uncaught;
  }
  // The caller: its fiber, or else its thread.
  static LockOwner& caller() noexcept {
    if (Fiber* fiber = current_fiber()) return *fiber;
    return this_thread_parker();
  }
  // Relaxed: who asks is on its thread, or keeps it alive and was handed the fiber.
  static Scheduler& of(Fiber& fiber) noexcept {
    return *fiber.home.load(std::memory_order_relaxed);
  }

  TimePoint now() const noexcept { return port_.now(); }
  // Whether the calling thread is the one that last ran this, or is to do so, and no fiber of it:
  // nobody else can be expected to run it, and waiting for one of its fibers would be in vain. From
  // any thread.
  bool waits_for_caller() const noexcept {
    // Relaxed: a thread looks for what itself stored.
    return !current_scheduler && thread_.load(std::memory_order_relaxed) == &current_scheduler;
  }
  // The calling thread is the one to run this.
  void expect_caller() noexcept { thread_.store(&current_scheduler, std::memory_order_relaxed); }
  // The first of the schedulers that end together: this one, if it is alone. See Shutdown.
  Scheduler& first() const noexcept { return *first_; }
  // What run_in_executor() uses here, and who owns this. Only kept: fiber/ does not know them.
  ThreadPool* default_pool() const noexcept { return default_pool_; }
  Runtime* runtime() const noexcept { return runtime_; }
  // False in a child of the process that made this: no thread runs it there, and none may.
  bool is_of_this_process() const noexcept { return process_.is_this(); }
  // Throws std::logic_error if that is false.
  void require_this_process() const;
  // True in a child of the process in which the fiber was started and has not ended: it never will.
  static bool left_behind(const Fiber& fiber) noexcept {
    // Relaxed: as in of().
    const Scheduler* const home = fiber.home.load(std::memory_order_relaxed);
    return home && !home->is_of_this_process() && !fiber.done();
  }
  // Before it runs.
  void set_first(Scheduler& first) noexcept { first_ = &first; }
  void set_runtime(Runtime& runtime, ThreadPool& pool) noexcept {
    runtime_ = &runtime;
    default_pool_ = &pool;
  }
  TimerQueue& timers() noexcept { return timers_; }
  Port& port() noexcept { return port_; }
  std::size_t fibers() const noexcept { return live_; }  // that have begun and not ended

  // A fiber without work yet, for the scheduler that the options name. The caller fills its payload
  // and then calls start() or unreserve(). Throws as StackPool::take() does, and std::logic_error
  // where the options name no scheduler and the caller is no fiber.
  //
  // The type of `layout` is part of the function's name: where a program is compiled for ASan
  // or TSan and the library is not, or the other way round, their fibers differ, and the linker
  // says so.
  using Layout = std::integral_constant<std::size_t, sizeof(Context)>;
  static Fiber& reserve(const SpawnOptions& options, Layout layout = {});
  static void start(Fiber& fiber, const SpawnOptions& options) noexcept;
  static void unreserve(Fiber& fiber) noexcept;
  // The same for a fiber that has its work already: destroys the callable, which may wait.
  static void discard(Fiber& fiber) noexcept;

  // The running fiber stops, until somebody makes it ready.
  void suspend() noexcept;
  // weft::yield().
  static void yield();

  // To be called before what may wait but often need not, such as taking an item: it counts as a
  // resumption, so that a loop of such waits holds up nothing. If the turn is over, the loop has
  // its look. Then the caller goes on first; only at every fourth turn in a row that it ends like
  // this, all others run before. Not a cancellation point. Outside fibers: nothing.
  static void count_wait() noexcept {
    if (count_down()) [[unlikely]]
      let_loop_look();
  }
  // The two halves of it: the second is due if the first returns true.
  static bool count_down() noexcept {
    Scheduler* const here = current_scheduler;
    return here && here->turn_.count();
  }
  [[gnu::cold]] static void let_loop_look() noexcept;

  // Throws Cancelled in the running fiber, which was about to wait: others run first. A fiber that
  // catches it and tries again, over and over, is reported, and slowed down.
  [[noreturn]] static void refuse_wait();

  // From any thread: `fiber` is parked and was claimed.
  static void make_ready(Fiber& fiber) noexcept {
    Scheduler& home = of(fiber);
    if (&home == current_or_null()) {
      fiber.waiter = nullptr;
      home.ready_.push_back(fiber);
    } else {
      fiber.request(Fiber::kWake);
    }
  }

  // From any thread: hands a node to the loop.
  void deliver(InboxNode& node) noexcept {
    if (inbox_.push(node)) {
      port_.wake();
      inbox_.woke();
    }
  }

  // Whether other threads have asked for something that is not done yet. From any thread.
  bool has_post() const noexcept { return !inbox_.empty(); }
  // Sleeps in the port until they do, or wake it. May return early.
  void wait_for_post();

  // The handle of a fiber is given up: what it would have taken goes to the exception handler, and
  // the block is recycled, now or when the work has ended. From any thread.
  static void release(Fiber& fiber) noexcept;

  // Calls the exception handler with a failure of `fiber` that no caller gets.
  void handle_exception(const Fiber& fiber, std::exception_ptr exception) noexcept;
  // Reports a failure, perhaps of `failed`, that a destructor has found here. While the stack
  // unwinds it is kept for the innermost CancelScope, or else the task: if Cancelled leaves that,
  // its owner gets the failure instead. Otherwise calls the exception handler. A plain thread has
  // none: the default prints, and ends the program unless the stack unwinds.
  static void handle_exception_here(std::exception_ptr exception,
                                    const Fiber* failed = nullptr) noexcept;
  // Reports a failure of `fiber` on top of another one, which the running fiber throws or gets.
  // Calls the exception handler; the default prints, and does not end the program.
  void tell_of_further(const Fiber& fiber, std::exception_ptr exception) noexcept;

  // Runs `call` as a fiber, soon or at `time`. Takes over the caller's reference.
  Handle schedule(PendingCall& call, std::optional<TimePoint> time);
  void launch(Call& call) noexcept;
  void forget(PendingCall& call) noexcept;
  void remember(PendingCall& call) noexcept { calls_.push_back(call); }

  // Every fiber that has begun, and not ended or still has a handle, in no particular order. Not
  // one that is to run calls, but has none yet.
  std::vector<Fiber*> started() {
    std::vector<Fiber*> fibers = fibers_.started();
    std::erase(fibers, runner_);
    return fibers;
  }

  // Does on the home thread what requests ask for.
  void serve(Fiber& fiber) noexcept;

 private:
  friend class internal::PendingCall;

  template <class F>
  PendingCall& make_call(F&& f, const char* caller);

  static void enter(void* fiber);
  static void leave(Fiber& self, Fiber& first, bool ended) noexcept;

  void start_here(Fiber& fiber, bool in_front = false) noexcept;
  void begin(Fiber& fiber) noexcept;
  void run_eagerly(Fiber& child) noexcept;
  void finish(Fiber& fiber) noexcept;
  void recycle(Fiber& fiber) noexcept;
  void run_again(Fiber& fiber) noexcept;
  void report(Fiber& fiber) noexcept;
  void report_here(Fiber& fiber) noexcept;
  void make_free(Fiber& fiber) noexcept;
  void free_spare() noexcept;
  static void release_elsewhere(Fiber& fiber) noexcept;
  std::uint64_t take_id() noexcept {
    if (next_id_ == last_id_) [[unlikely]]
      take_ids();
    return ++next_id_;
  }
  void take_ids() noexcept;

  // After so many calls in a row fibers that are ready have their turn.
  static constexpr int kMostInARow = 64;

  void start_runner(bool in_front) noexcept;
  static void run_calls(Fiber& runner) noexcept;
  void run_call(Fiber& self, Call& call) noexcept;
  void rest_between_calls(Fiber& self, bool turn_over) noexcept;

  Fiber& next() noexcept;
  Fiber& go(Fiber& from, Fiber& to) noexcept;
  Fiber& rotate() noexcept;
  Fiber& go_to_loop() noexcept;
  static void yield_to_loop();
  static void end_yield();
  [[noreturn]] static void refuse(Fiber& self);

  void attach();
  void detach() noexcept;
  void turn();
  void run_fibers() noexcept;
  void sleep();
  void shuffle();
  std::uint64_t draw() noexcept;
  void start_cleanup(std::string_view name, const std::function<void()>& f);
  void report_stragglers() noexcept;
  void settle() noexcept;

  // What a switch touches.
  Fiber* current_ = nullptr;  // null in the loop
  IntrusiveQueue<Fiber, &Fiber::next_ready> ready_;
  SwitchState switch_;
  Turn turn_;

  Port& port_;
  const Options options_;
  TimerQueue timers_;
  FiberPool fibers_;
  Fiber* spare_;          // for the shutdown, which must not fail; until it needs one
  std::size_t live_ = 0;  // fibers that have begun and not ended
  std::uint64_t next_id_ = 0;
  std::uint64_t last_id_ = 0;

  Fiber* eager_ = nullptr;    // goes on before all others, after a look
  std::uint64_t looker_ = 0;  // the id of the fiber that let the loop look last,
  int looks_ = 0;             // and how often in a row

  TimePoint polled_ = kPast;
  int turns_unpolled_ = 0;
  std::uint64_t random_ = 0;
  bool closing_ = false;
  bool reported_ = false;
  TimePoint report_at_ = kForever;
  std::shared_ptr<const ExceptionHandler> handler_;  // shared: it may be replaced while it runs
  ThreadPool* default_pool_ = nullptr;
  Runtime* runtime_ = nullptr;
  Scheduler* first_ = this;
  const HomeProcess process_;
  Fiber loop_;  // the loop's own context, on the thread's stack

  IntrusiveList<PendingCall, PendingCall> calls_;     // those that wait for a time or a future
  IntrusiveQueue<InboxNode, &InboxNode::next_> due_;  // Calls whose turn it is, in order
  // The runner that is on the ready queue and has no call yet. It may find that nothing is due any
  // more. Null while calls are due: a running runner is about to take them, or no stack was left.
  Fiber* runner_ = nullptr;
  bool runner_in_front_ = false;  // when it was made ready: before all other fibers
  int in_a_row_ = 0;              // calls that began since others had their turn
  bool shortage_told_ = false;    // on stderr

  // What other threads touch.
  alignas(64) Inbox inbox_;
  Atomic<bool> stop_{false};
  Atomic<int> stopping_{0};              // threads that are in stop()
  Atomic<Scheduler**> thread_{nullptr};  // its current_scheduler: see waits_for_caller()
};

template <class F>
PendingCall& Scheduler::make_call(F&& f, const char* caller) {
  return *new CallOf<std::decay_t<F>>(*this, checked_callable(std::forward<F>(f), caller));
}

template <class F>
void Scheduler::post(F&& f) {
  require_this_process();
  Call& call = *new PostOf<std::decay_t<F>>(checked_callable(std::forward<F>(f), "post"));
  if (current_scheduler == this) {
    launch(call);
  } else {
    deliver(call);
  }
}

template <class F>
Handle Scheduler::call_soon(F&& f) {
  return schedule(make_call(std::forward<F>(f), "call_soon"), {});
}

template <class F>
Handle Scheduler::call_later(AnyDuration wait, F&& f) {
  const TimePoint time = deadline_after(now(), wait, "weft::Scheduler::call_later");
  return schedule(make_call(std::forward<F>(f), "call_later"), time);
}

template <class F>
Handle Scheduler::call_at(AnyTimePoint time, F&& f) {
  return schedule(make_call(std::forward<F>(f), "call_at"), time);
}

}  // namespace weft

#endif  // WEFT_FIBER_SCHEDULER_H_
