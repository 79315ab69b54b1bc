#ifndef WEFT_FIBER_CORE_HOME_H_
#define WEFT_FIBER_CORE_HOME_H_

#include <sys/types.h>

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/inbox.h"
#include "weft/fiber/core/port.h"
#include "weft/fiber/core/run_queue.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/core/timer_queue.h"

namespace weft::internal {

class Group;
class Look;

// A scheduler as what runs on it, and other threads, see it: its clock and timers, its inbox, its
// exception handler, and where it belongs.
//
// Threads: deliver(), has_post(), waits_for_caller() and what concerns the process from any, the
// rest from the scheduler's own.
class Home : public RunQueue {
 public:
  static Home* here() noexcept { return static_cast<Home*>(running.scheduler); }
  static Home& of(const Fiber& fiber) noexcept { return static_cast<Home&>(RunQueue::of(fiber)); }

  TimePoint now() const noexcept { return port_.now(); }
  TimerQueue& timers() noexcept { return timers_; }
  Port& port() noexcept { return port_; }

  // From any thread: hands a node to the loop.
  void deliver(InboxNode& node) noexcept {
    if (outside_.inbox.push(node)) {
      port_.wake();
      outside_.inbox.woke();
    }
  }
  // Whether other threads have asked for something that is not done yet. From any thread.
  bool has_post() const noexcept { return !outside_.inbox.empty(); }

  // True if the caller is the plain thread that runs this scheduler: waiting here for one of its
  // fibers would never end. From any thread.
  bool waits_for_caller() const noexcept {
    // Relaxed: a thread looks for what itself stored.
    return !here() && outside_.thread.load(std::memory_order_relaxed) == &running;
  }
  // The calling thread is the one to run this.
  void expect_caller() noexcept { outside_.thread.store(&running, std::memory_order_relaxed); }

  // The thread that runs it, as the kernel numbers threads; 0: none does now. From any thread.
  pid_t thread_id() const noexcept {
    // Relaxed: the number alone matters.
    return outside_.thread_id.load(std::memory_order_relaxed);
  }
  // What shows whether its thread goes on: the same twice, with a fiber, if that fiber holds it up.
  struct Heartbeat {
    std::uint64_t turns = 0;
    std::int64_t budget = 0;
    const Fiber* fiber = nullptr;  // to be compared only
    bool operator==(const Heartbeat&) const = default;
  };
  // From any thread. Without a fiber if no thread runs it.
  Heartbeat heartbeat() const noexcept;

  // What a handler for signals on its thread is to do, instead of what was there.
  // Release: the handler sees what came before. Acquire: the asker sees that it was taken.
  Look* exchange_look(Look* look) noexcept {
    return outside_.look.exchange(look, std::memory_order_acq_rel);
  }
  // Its place among the schedulers of its runtime. Set before it runs.
  // Relaxed, this and the group: others read these at any time, and only compare or print them.
  unsigned number() const noexcept { return number_.load(std::memory_order_relaxed); }
  void set_number(unsigned number) noexcept { number_.store(number, std::memory_order_relaxed); }

  // False in a child of the process that made this: no thread runs it there, and none may.
  bool is_of_this_process() const noexcept { return process_.is_this(); }
  // Throws std::logic_error if that is false.
  void require_this_process() const;

  // The schedulers that it ends together with; null if it is alone. Set before it runs.
  Group* group() const noexcept { return group_.load(std::memory_order_relaxed); }
  bool ends_with(const Home& other) const noexcept { return group() && group() == other.group(); }
  void set_group(Group& group);

  // A Trace of all of them begins, and ends. False if there is one already. Of the first of its
  // group, or of one that is alone. From any of their threads.
  bool begin_trace() noexcept {
    // Acquire: the last one has ended on all schedulers. Pairs with the release of end_trace().
    return !outside_.traced.exchange(true, std::memory_order_acquire);
  }
  void end_trace() noexcept { outside_.traced.store(false, std::memory_order_release); }

  void set_handler(ExceptionHandler handler);
  // Calls the exception handler with a failure of `fiber` that no caller gets.
  void handle_exception(const Fiber& fiber, std::exception_ptr exception) noexcept;
  // Reports a failure of `fiber` on top of another one, which the running fiber throws or gets.
  // Calls the exception handler; the default prints, and does not end the program.
  void handle_further(const Fiber& fiber, std::exception_ptr exception) noexcept;
  // Reports a failure, perhaps of `failed`, that a destructor has found here. While the stack
  // unwinds it is kept for the innermost Scope, or else the task: if Cancelled leaves that,
  // its owner gets the failure instead. Otherwise calls the exception handler. A plain thread has
  // none: the default prints, and ends the program unless the stack unwinds.
  static void handle_exception_here(std::exception_ptr exception,
                                    const Fiber* failed = nullptr) noexcept;

 protected:
  Home(Port& port, bool counted, std::optional<std::uint64_t> seed,
       const std::uint64_t* time_stamp) noexcept
      : RunQueue(port, counted, seed, time_stamp), port_(port) {}

  Inbox& inbox() noexcept { return outside_.inbox; }
  const Inbox& inbox() const noexcept { return outside_.inbox; }

  // The calling thread begins, or ends, to run this.
  void attach_thread() noexcept;
  void detach_thread() noexcept;

  Port& port_;
  TimerQueue timers_;
  std::shared_ptr<const ExceptionHandler> handler_;  // shared: it may be replaced while it runs

 private:
  friend struct DebuggerLayout;
  friend class Roster;

  std::atomic<Group*> group_{nullptr};
  std::atomic<unsigned> number_{0};
  Home* next_in_roster_ = nullptr;
  const HomeProcess process_;

  // What other threads touch, on a cache line of its own.
  struct alignas(64) {
    Inbox inbox;
    Atomic<const Running*> thread{nullptr};  // see waits_for_caller()
    std::atomic<pid_t> thread_id{0};
    std::atomic<Look*> look{nullptr};  // see interrupt()
    mutable std::mutex thread_lock;    // held while the thread is looked at, or leaves
    Atomic<bool> traced{false};        // see begin_trace()
  } outside_;
};

// While it lives, the running fiber waits for something from outside, for which a clock that jumps
// waits briefly. See Port::expect(). On a plain thread it does nothing.
class ExpectedEvent {
 public:
  ExpectedEvent() noexcept { expect(1); }
  ~ExpectedEvent() { expect(-1); }
  ExpectedEvent(const ExpectedEvent&) = delete;
  ExpectedEvent& operator=(const ExpectedEvent&) = delete;

 private:
  static void expect(int events) noexcept {
    if (running.fiber) Home::here()->port().expect(events);
  }
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_HOME_H_
