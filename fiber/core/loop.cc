#include "weft/fiber/core/loop.h"

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "weft/fiber/core/cancel_scope.h"
#include "weft/fiber/core/completion.h"
#include "weft/fiber/core/context_switch.h"
#include "weft/fiber/core/error.h"
#include "weft/fiber/core/roster.h"
#include "weft/fiber/core/wait_queue.h"

namespace weft::internal {
namespace {

// If the clock stands still, the loop looks outside after this many turns.
constexpr int kMaxTurnsUnpolled = 256;

// Looks at the inbox between two at the port, while there is nothing to do.
constexpr int kLooks = 32;

// How soon to try again for a stack.
constexpr Duration kRetry = std::chrono::milliseconds(10);

}  // namespace

Loop::Loop(Port& port, Options options)
    : Calls(port, {.counted = kExplored || options.shuffle_seed || port.is_virtual(),
                   .seed = options.shuffle_seed,
                   .time_stamp = options.time_stamp,
                   .stack_size = options.stack_size,
                   .guards = options.guards}),
      options_(options) {
  explain_terminate();
  Roster::add(*this);
}

Loop::~Loop() {
  Roster::remove(*this);
  inbox().drain();
  free_spare();
  fibers_.orphan(handler_, inbox());
  settle();
}

void Loop::run() {
  attach();
  // Acquire: sees what came before stop().
  while (!stop_.load(std::memory_order_acquire)) turn();
  // Relaxed: a stop that comes from now on is for the next run, or for this one: as it likes.
  stop_.store(false, std::memory_order_relaxed);
  detach();
}

void Loop::run_until(Completion& completion) {
  struct Stop : Waiter {
    explicit Stop(Loop& its_scheduler)
        : Waiter([](Waiter& waiter) noexcept -> Waiter* {
            static_cast<Stop&>(waiter).scheduler.stop();
            return nullptr;
          }),
          scheduler(its_scheduler) {}
    Loop& scheduler;
  } at_the_end(*this);
  {
    WaitQueue::Lock lock(completion.queue());
    if (completion.done()) return;
    completion.queue().watch(lock, at_the_end);
  }
  // Takes the lock: another thread that completed it may still be about to call the watcher.
  const auto unwatch = [&](Waiter* watcher) noexcept { completion.queue().unwatch(*watcher); };
  const std::unique_ptr<Waiter, decltype(unwatch)> watched(&at_the_end, unwatch);
  while (!completion.done()) {  // somebody else's stop() does not count
    run();
    throw_if_deadlocked();
  }
}

void Loop::attach() {
  if (here()) {
    throw_logic_error("weft: a scheduler runs on this thread already; runs do not nest");
  }
  require_this_process();
  attach_thread();
  turn_.forget_clock();
  loop_.context.adopt_thread();
  switch_.bind();
  port_.attach();
  looked_ = port_.now();
  if (options_.name_overflows) overflow_names_.attach();
  turn_.begin();
}

void Loop::detach() noexcept {
  overflow_names_.detach();
  port_.detach();
  turn_.end();  // takes back what is left of the budget
  loop_.context.disown_thread();
  detach_thread();
}

void Loop::leave(void (*entry)(void*) noexcept, void* argument) noexcept {
  Loop* const loop = here();
  const auto go_on = [&] {
    if (loop) loop->detach();
    entry(argument);
    std::abort();
  };
  if (!loop || !current_fiber()) go_on();
  loop->switch_.leave(loop->loop_.context, go_on);
}

void Loop::stop() noexcept {
  if (here() == this) {
    stop_.store(true, std::memory_order_relaxed);
    turn_.end();
    return;
  }
  // Relaxed: the release below orders it before whatever the scheduler's thread does next.
  stopping_.fetch_add(1, std::memory_order_relaxed);
  // Release: pairs with the acquire in run().
  stop_.store(true, std::memory_order_release);
  port_.wake();
  // Release: pairs with the acquire of settle().
  stopping_.fetch_sub(1, std::memory_order_release);
}

// Waits until the threads that wake this one have left, after which it may be destroyed.
void Loop::settle() noexcept {
  inbox().settle();
  // Acquire: pairs with the release in stop().
  while (stopping_.load(std::memory_order_acquire) != 0) let_others_run();
}

// Looks at everything but fibers once, and then lets fibers run.
void Loop::turn() {
  ++counts_.turns;
  inbox().drain(this);
  const bool spent = turn_.spent();
  TimePoint now = kPast;
  if (spent || !timers_.empty()) {
    now = spent ? turn_.read_clock() : port_.now();
    expire_timers(now);
  }
  look_at_calls(spent);
  if (ready_.empty()) {
    sleep();
    turn_.begin();
  } else if (spent) {
    // Half a turn: one may end a little early, and then has its look, too.
    if (polled_ == kPast || now - polled_ >= Turn::kLength / 2 ||
        ++turns_unpolled_ == kMaxTurnsUnpolled) {
      port_.wait(kPast);
      polled_ = now;
      turns_unpolled_ = 0;
    }
    turn_.begin();
  }
  shuffle();
  if (!ready_.empty()) has_run_.store(true, std::memory_order_relaxed);  // see is_news()
  if (closing_ && !reported_ && port_.now() >= report_at_) report_stragglers();
  run_fibers();
}

// The first is the latest. A deadline that was over when it was set counts from the last look.
void Loop::expire_timers(TimePoint now) noexcept {
  if (Timer* timer = timers_.pop_expired(now)) {
    counts_.max_lag = std::max(counts_.max_lag, now - std::max(timer->deadline(), looked_));
    do timer->expire();
    while ((timer = timers_.pop_expired(now)));
  }
  looked_ = now;
}

void Loop::sleep() {
  TimePoint deadline = timers_.next_deadline();
  if (closing_ && !reported_) deadline = std::min(deadline, report_at_);
  // Calls wait for a stack. Nothing reports that another scheduler or thread has given one back.
  if (calls_lack_stack() && !port_.is_virtual())
    deadline = std::min(deadline, port_.now() + kRetry);
  if (options_.trim) deadline = std::min(deadline, fibers_.trim(port_));
  if (options_.spin > Duration::zero()) {
    const TimePoint begin = port_.now();
    const TimePoint end = begin < kForever - options_.spin ? begin + options_.spin : kForever;
    while (port_.now() < std::min(end, deadline)) {
      // Looking at the port costs a system call, at the inbox nothing.
      for (int i = 0; i < kLooks; ++i) {
        if (!inbox().empty()) return;
        relax_processor();
      }
      if (stop_.load(std::memory_order_relaxed) || port_.wait(kPast)) return;  // relaxed: see below
      let_others_run();  // a thread that brings work may wait for this very core
    }
  }
  // Relaxed: stop() wakes the port afterwards, and that ends this wait or the next.
  if (stop_.load(std::memory_order_relaxed) || !inbox().try_sleep()) return;
  sleep_in_port(deadline);
}

void Loop::sleep_in_port(TimePoint deadline) {
  // If there are timers, the clock has been read just now.
  const bool fresh = !timers_.empty() && options_.spin <= Duration::zero();
  const TimePoint began = fresh ? looked_ : port_.now();
  ++counts_.sleeps;
  if (is_quiet(deadline)) {
    sleep_quietly();
  } else {
    port_.wait(deadline);
  }
  const TimePoint woke = port_.now();
  counts_.idle += woke - began;
  // What waited meanwhile was due at `deadline` or later; what is set from now on may be over.
  looked_ = std::clamp(deadline, began, woke);
}

SchedulerStats Loop::collect_stats() const {
  const FiberPool::Stacks stacks = fibers_.stacks();
  SchedulerStats all = counts_;
  all.tasks = tasks();
  all.ready = ready_.size();
  all.timers = timers_.size();
  all.stacks = stacks.carved;
  all.free_stacks = stacks.free;
  all.awaited_descriptors = port_.awaited();
  all.switches = turn_.resumptions();
  all.wake_ups = inbox().wakes();
  return all;
}

}  // namespace weft::internal

namespace weft {

SchedulerStats Scheduler::stats() const {
  const auto* const self = static_cast<const internal::Loop*>(this);
  if (internal::Loop::here() != self) {
    internal::throw_logic_error(
        "weft::Scheduler::stats is for fibers of that scheduler; use spread for all of them");
  }
  return self->collect_stats();
}

}  // namespace weft
