// The loop of a scheduler, and its end. What fibers do among themselves is in scheduler.cc and
// scheduler_yield.cc.

#include <algorithm>
#include <cstdio>
#include <vector>

#include "weft/fiber/core/completion.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/core/scheduler_switch.h"
#include "weft/fiber/core/shutdown.h"
#include "weft/fiber/core/unhandled.h"
#include "weft/fiber/core/wait_queue.h"

namespace weft {
namespace {

// Where the clock stands still, look outside after so many turns.
constexpr int kMaxTurnsUnpolled = 256;

// Looks at the inbox between two at the port, while there is nothing to do.
constexpr int kLooks = 32;

// How soon to try again for a stack.
constexpr Duration kRetry = std::chrono::milliseconds(10);

// How long a shutdown waits before it names the fibers that do not end.
constexpr Duration kPatience = std::chrono::seconds(5);

}  // namespace

void Scheduler::run() {
  attach();
  // Acquire: sees what came before stop().
  while (!stop_.load(std::memory_order_acquire)) turn();
  // Relaxed: a stop that comes from now on is for the next run, or for this one: as it likes.
  stop_.store(false, std::memory_order_relaxed);
  detach();
}

void Scheduler::run_until(Completion& completion) {
  struct Stop : Waiter {
    explicit Stop(Scheduler& its_scheduler)
        : Waiter([](Waiter& waiter) noexcept { static_cast<Stop&>(waiter).scheduler.stop(); }),
          scheduler(its_scheduler) {}
    Scheduler& scheduler;
  } at_the_end(*this);
  {
    WaitQueue::Lock lock(completion.queue());
    if (completion.done()) return;
    completion.queue().watch(lock, at_the_end);
  }
  while (!completion.done()) run();  // somebody else's stop() does not count
  // Takes the lock: who completed it on another thread may still be about to call the watcher.
  completion.queue().unwatch(at_the_end);
}

void Scheduler::attach() {
  if (current_scheduler) {
    throw_logic_error("weft: a scheduler runs on this thread already; runs do not nest");
  }
  require_this_process();
  current_scheduler = this;
  expect_caller();
  current_ = nullptr;
  turn_.forget_clock();
  loop_.context.adopt_thread();
  switch_.bind();
  port_.enter();
  turn_.begin();
}

void Scheduler::detach() noexcept {
  port_.leave();
  loop_.context.release_thread();
  current_scheduler = nullptr;
}

void Scheduler::stop() noexcept {
  if (current_scheduler == this) {
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
void Scheduler::settle() noexcept {
  inbox_.settle();
  // Acquire: pairs with the release in stop().
  while (stopping_.load(std::memory_order_acquire) != 0) let_others_run();
}

// Looks at everything but fibers once, and then lets fibers run.
void Scheduler::turn() {
  inbox_.drain(this);
  const bool spent = turn_.spent();
  TimePoint now = kPast;
  if (spent || !timers_.empty()) {
    now = spent ? turn_.read_clock() : port_.now();
    while (Timer* timer = timers_.pop_expired(now)) timer->expire();
  }
  if (spent) in_a_row_ = kMostInARow;  // a runner in front lets others go first
  if (!due_.empty() && !runner_) [[unlikely]]
    start_runner(false);
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
  if (options_.shuffle_seed) shuffle();
  if (closing_ && !reported_ && port_.now() >= report_at_) report_stragglers();
  run_fibers();
}

void Scheduler::sleep() {
  TimePoint deadline = timers_.next_deadline();
  if (closing_ && !reported_) deadline = std::min(deadline, report_at_);
  // Calls wait for a stack. Nothing reports that another scheduler or thread has given one back.
  if (!due_.empty() && !port_.is_virtual()) deadline = std::min(deadline, port_.now() + kRetry);
  if (options_.trim) deadline = std::min(deadline, fibers_.trim(port_));
  if (options_.spin > Duration::zero()) {
    const TimePoint begin = port_.now();
    const TimePoint end = begin < kForever - options_.spin ? begin + options_.spin : kForever;
    while (port_.now() < std::min(end, deadline)) {
      // Looking at the port costs a system call, at the inbox nothing.
      for (int i = 0; i < kLooks; ++i) {
        if (!inbox_.empty()) return;
        relax_processor();
      }
      if (stop_.load(std::memory_order_relaxed) || port_.wait(kPast)) return;  // relaxed: see below
      let_others_run();  // whoever is to bring work may wait for this very core
    }
  }
  // Relaxed: whoever stops it wakes the port afterwards, and that ends this wait or the next.
  if (stop_.load(std::memory_order_relaxed) || !inbox_.try_sleep()) return;
  port_.wait(deadline);
}

// ---- Fibers ------------------------------------------------------------------------------------

void Scheduler::run_fibers() noexcept {
  Fiber* const eager = std::exchange(eager_, nullptr);
  if (Fiber* fiber = eager ? eager : ready_.pop_front()) {
    go(loop_, *fiber);
    current_ = nullptr;
  }
}

// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
std::uint64_t Scheduler::draw() noexcept {
  std::uint64_t z = random_ += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

// Puts the ready fibers in a random order, for a random part of a round: any order can come up.
void Scheduler::shuffle() {
  std::vector<Fiber*> fibers;
  while (Fiber* fiber = ready_.pop_front()) fibers.push_back(fiber);
  for (std::size_t i = fibers.size(); i > 1; --i) std::swap(fibers[i - 1], fibers[draw() % i]);
  for (Fiber* fiber : fibers) ready_.push_back(*fiber);
  if (!fibers.empty()) turn_.end_after(static_cast<std::int64_t>(draw() % fibers.size()));
}

// ---- Shutdown -----------------------------------------------------------------------------------

void Scheduler::shutdown() {
  Scheduler* const self = this;
  Shutdown end({&self, 1});
  shutdown(end);
}

void Scheduler::shutdown(Shutdown& end) {
  const std::function<void()> drop_calls = [this] {
    while (PendingCall* call = calls_.front()) forget(*call);
    while (InboxNode* node = due_.pop_front()) static_cast<Call*>(node)->drop();
  };
  attach();
  closing_ = true;
  report_at_ = std::min(port_.now(), kForever - kPatience) + kPatience;
  for (Fiber* fiber : started()) fiber->cancel();
  end.meet();
  for (auto next = Shutdown::Next::kGoOn; next != Shutdown::Next::kEnd;) {
    // What callables own may wait for something when it is destroyed.
    if (!calls_.empty() || !due_.empty()) start_cleanup("shutdown", drop_calls);
    for (inbox_.drain(this); live_ > 0; inbox_.drain(this)) turn();
    if (!calls_.empty() || !due_.empty()) continue;  // fibers on their way out have made new ones
    next = end.rest(*this);
    if (next == Shutdown::Next::kRunLast) start_cleanup("shutdown, at last", end.last());
  }
  detach();
}

void Scheduler::wait_for_post() {
  if (inbox_.try_sleep()) port_.wait(kForever);
}

// Starts f() as a fiber that the shutdown does not cancel. REQUIRES: f outlives it.
void Scheduler::start_cleanup(std::string_view name, const std::function<void()>& f) {
  free_spare();
  Fiber& fiber = reserve({.name = name});
  fiber.payload = const_cast<std::function<void()>*>(&f);
  fiber.work = [](Fiber& self) noexcept {
    self.end_work();
    (*static_cast<const std::function<void()>*>(self.payload))();
    self.ending = Ending::kValue;
  };
  // Relaxed: nobody else knows it yet.
  fiber.handle.store(Ownership::kGone, std::memory_order_relaxed);
  start_here(fiber);
}

void Scheduler::report_stragglers() noexcept {
  reported_ = true;
  for (Fiber* fiber : started()) {
    if (fiber->done()) continue;
    const TaskInfo info = fiber->info();
    std::fprintf(stderr, "weft: the shutdown waits for %s%s%s\n", FiberLabel(*fiber).text,
                 *info.waiting_for ? ", which waits in " : "", info.waiting_for);
    fiber->cancel();  // it may have been detached meanwhile by another thread
  }
}

}  // namespace weft
