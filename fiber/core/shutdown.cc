#include "weft/fiber/core/shutdown.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "weft/fiber/core/error.h"
#include "weft/fiber/core/loop.h"
#include "weft/fiber/core/parker.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/time.h"

namespace weft::internal {
namespace {

// How long meet() waits for schedulers that do not come.
constexpr Duration kPatience = std::chrono::milliseconds(100);

// How long a shutdown waits before it names the fibers that do not end.
constexpr Duration kNamed = std::chrono::seconds(5);

}  // namespace

Shutdown::Shutdown(std::span<Loop* const> schedulers, std::function<void()> last)
    : schedulers_(schedulers),
      last_(std::move(last)),
      missing_(schedulers.size()),
      active_(schedulers.size()) {}

// One that came to the meeting before the last, and where its thread sleeps.
struct Shutdown::Comer : ListNode<> {
  Parker& parker = this_thread_parker();
};

void Shutdown::meet() {
  Comer self;
  {
    const std::lock_guard lock(lock_);
    if (--missing_ == 0) {
      while (Comer* comer = waiting_.pop_front()) comer->parker.post();
      return;
    }
    waiting_.push_back(self);
  }
  if (self.parker.wait(Clock::now() + kPatience)) return;
  {
    const std::lock_guard lock(lock_);
    if (self.linked()) return waiting_.erase(self);
  }
  self.parker.wait();  // the token is there: it must not be left for a later wait
}

Shutdown::Next Shutdown::rest(Loop& scheduler) noexcept {
  std::unique_lock lock(lock_);
  --active_;
  Next next = decide(scheduler);
  if (next == Next::kGoOn) {
    lock.unlock();
    scheduler.wait_for_post();
    lock.lock();
    if (over_) next = Next::kEnd;
  }
  if (next != Next::kEnd) ++active_;
  return next;
}

// REQUIRES: the lock is held. kGoOn: another scheduler will decide.
Shutdown::Next Shutdown::decide(const Loop& self) noexcept {
  if (active_ > 0) return Next::kGoOn;
  for (const Loop* scheduler : schedulers_) {
    if (scheduler->has_post()) return Next::kGoOn;
  }
  if (last_ && !std::exchange(last_begun_, true)) return Next::kRunLast;
  over_ = true;
  // Under the lock: none of them may be gone before all have been woken.
  for (Loop* scheduler : schedulers_) {
    if (scheduler != &self) scheduler->port().wake();
  }
  return Next::kEnd;
}

// ---- The end of one scheduler -------------------------------------------------------------------

void Loop::shutdown() {
  Loop* const self = this;
  Shutdown end({&self, 1});
  shutdown(end);
}

void Loop::shutdown(Shutdown& end) {
  const std::function<void()> drop_all_calls = [this] { drop_calls(); };
  attach();
  closing_ = true;
  report_at_ = std::min(port_.now(), kForever - kNamed) + kNamed;
  for (Fiber* fiber : started()) fiber->cancel();
  end.meet();
  for (auto next = Shutdown::Next::kGoOn; next != Shutdown::Next::kEnd;) {
    // What callables own may wait for something when it is destroyed.
    if (any_calls()) start_cleanup("shutdown", drop_all_calls);
    for (inbox().drain(this); fibers() > 0; inbox().drain(this)) turn();
    if (any_calls()) continue;  // fibers on their way out have made new ones
    next = end.rest(*this);
    if (next == Shutdown::Next::kRunLast) start_cleanup("shutdown, at last", end.last());
  }
  detach();
}

void Loop::wait_for_post() {
  if (inbox().try_sleep()) port_.wait(kForever);
}

// Starts f() as a fiber that the shutdown does not cancel. REQUIRES: f outlives it.
void Loop::start_cleanup(std::string_view name, const std::function<void()>& f) {
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

void Loop::report_stragglers() noexcept {
  reported_ = true;
  for (Fiber* fiber : started()) {
    if (fiber->done()) continue;
    const Waiter* const in = fiber->waiter;
    print_line("the shutdown waits for %s%s%s", FiberLabel(*fiber).text,
               in ? ", which waits in " : "", in ? in->what() : "");
    fiber->cancel();  // it may have been detached meanwhile by another thread
  }
}

}  // namespace weft::internal
