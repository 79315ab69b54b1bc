#ifndef WEFT_FIBER_CORE_LOOP_H_
#define WEFT_FIBER_CORE_LOOP_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/calls.h"
#include "weft/fiber/core/overflow.h"
#include "weft/fiber/core/stack.h"
#include "weft/fiber/report.h"
#include "weft/fiber/stats.h"
#include "weft/fiber/time.h"

namespace weft::internal {

class Shutdown;

// A scheduler, whole: the loop that looks at timers, at its Port and at other threads, and lets
// fibers run in between. Each floor is a class that derives from the one below: RunQueue (what a
// switch touches), Home (clock, timers, inbox), Lives (the lives of fibers), Calls, Loop.
//
//   Loop loop(port, {});
//   Task<void> task = spawn(f, {.on = &loop});
//   loop.run_until(task.completion());
//   loop.shutdown();
//
// Threads: stop(), and what the floors below say, from any; the rest from the thread of run().
class Loop final : public Calls {
 public:
  struct Options {
    std::size_t stack_size = 256 * 1024;
    std::optional<std::uint64_t> shuffle_seed = {};  // run ready fibers in an order drawn from this
    Duration spin = {};                              // look for work this long before sleeping
    bool trim = true;  // give unused stacks' memory back; needs a clock that does not jump
    GuardKind guards = GuardKind::kAutomatic;
    const std::uint64_t* time_stamp = nullptr;     // read for the processor's, by tests
    OnDeadlock on_deadlock = OnDeadlock::kIgnore;  // kAutomatic is kIgnore here
    bool name_overflows = true;                    // on stderr, see OverflowNames
  };

  static Loop* here() noexcept { return static_cast<Loop*>(running.scheduler); }

  // `port` must outlive the scheduler. Throws std::invalid_argument on a bad stack size, and as
  // StackPool::take() does.
  Loop(Port& port, Options options);
  ~Loop();  // REQUIRES: shutdown() has returned, or nothing was ever spawned

  // Runs fibers on the calling thread until stop(). May be called again afterwards.
  // Throws std::logic_error if a scheduler runs on this thread already.
  void run();

  // The same until this is done, which must not be destroyed meanwhile. Throws std::logic_error at
  // a deadlock, if the options say so.
  void run_until(Completion& completion);
  // For a run() that has returned: throws that.
  void throw_if_deadlocked();

  // Makes run() return once the running fiber waits. From any thread.
  void stop() noexcept;

  // Ends run()'s life: cancels all fibers, drops pending calls, and runs until all have ended, here
  // and on the other schedulers of the same end. Names on stderr those that take longer than five
  // seconds.
  void shutdown(Shutdown& end);
  void shutdown();  // of this one alone

  // In a child of the process, forked by what runs here: gives up the scheduler, with all its
  // fibers as they are, and calls `entry` on the thread's own stack, where a scheduler may be run
  // anew. `entry` does not return. On a plain thread just calls it.
  [[noreturn]] static void leave(void (*entry)(void*) noexcept, void* argument) noexcept;

  // What Scheduler::stats() returns.
  SchedulerStats collect_stats() const;

  // Sleeps in the port until other threads ask for something, or wake it. May return early.
  void wait_for_post();

 private:
  void attach();
  void detach() noexcept;
  void turn();
  void expire_timers(TimePoint now) noexcept;
  void sleep();
  void sleep_in_port(TimePoint deadline);

  // In deadlock.cc.
  struct Standstill;
  std::optional<Standstill> look_at_schedulers() const noexcept;
  std::optional<Standstill> standstill() const noexcept;
  bool is_quiet(TimePoint deadline) const noexcept;
  void sleep_quietly();
  bool wait_for_verdict();
  bool wait_for_verdict_at_once();
  bool is_news() noexcept;
  void end_deadlocked();
  void report_deadlock() noexcept;

  void start_cleanup(std::string_view name, const std::function<void()>& f);
  void report_stragglers() noexcept;
  void settle() noexcept;

  const Options options_;
  OverflowNames overflow_names_;
  TimePoint polled_ = kPast;
  int turns_unpolled_ = 0;
  SchedulerStats counts_;     // of them, those that are nowhere else
  TimePoint looked_ = kPast;  // at the timers: those that expire are not later than since then
  bool reported_ = false;     // by report_stragglers()
  TimePoint report_at_ = kForever;

  // What other threads touch.
  alignas(64) Atomic<bool> stop_{false};
  Atomic<int> stopping_{0};  // threads that are in stop()
  // For verdicts of deadlock. Not Atomic: an explorer of orders need not try those of these.
  std::atomic<std::uint64_t> quiet_sleeps_{0};  // begun and ended, with nothing to wait for
  std::atomic<std::size_t> quiet_fibers_{0};    // when the last of them began
  std::atomic<bool> has_run_{false};            // a fiber, since the last verdict
  std::atomic<bool> deadlocked_{false};         // run_until() is to throw
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_LOOP_H_
