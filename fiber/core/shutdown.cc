#include "weft/fiber/core/shutdown.h"

#include <mutex>
#include <utility>

#include "weft/fiber/core/parker.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/time.h"

namespace weft::internal {
namespace {

// How long a meeting waits for who does not come.
constexpr Duration kPatience = std::chrono::milliseconds(100);

}  // namespace

Shutdown::Shutdown(std::span<Scheduler* const> schedulers, std::function<void()> last)
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

Shutdown::Next Shutdown::rest(Scheduler& scheduler) noexcept {
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

// REQUIRES: the lock is held. kGoOn: it is for somebody else to say.
Shutdown::Next Shutdown::decide(const Scheduler& self) noexcept {
  if (active_ > 0) return Next::kGoOn;
  for (const Scheduler* scheduler : schedulers_) {
    if (scheduler->has_post()) return Next::kGoOn;
  }
  if (last_ && !std::exchange(last_begun_, true)) return Next::kRunLast;
  over_ = true;
  // Under the lock: none of them may be gone before all have been told.
  for (Scheduler* scheduler : schedulers_) {
    if (scheduler != &self) scheduler->port().wake();
  }
  return Next::kEnd;
}

}  // namespace weft::internal
