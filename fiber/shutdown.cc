#include "weft/fiber/shutdown.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "weft/fiber/parker.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/time.h"

namespace weft {
namespace {

// How long a meeting waits for who does not come.
constexpr Duration kPatience = std::chrono::milliseconds(100);

}  // namespace

Shutdown::Shutdown(std::span<Scheduler* const> schedulers, std::function<void()> last)
    : schedulers_(schedulers),
      last_(std::move(last)),
      missing_(schedulers.size()),
      active_(schedulers.size()) {
  waiting_.reserve(schedulers.size());
}

void Shutdown::meet() {
  Parker& self = this_thread_parker();
  {
    const std::lock_guard lock(lock_);
    if (--missing_ == 0) {
      for (Parker* parker : waiting_) parker->post();
      waiting_.clear();
      return;
    }
    waiting_.push_back(&self);
  }
  if (self.wait(Clock::now() + kPatience)) return;
  {
    const std::lock_guard lock(lock_);
    if (std::erase(waiting_, &self) > 0) return;
  }
  self.wait();  // the token is there: it must not be left for a later wait
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
  const auto has_post = [](const Scheduler* scheduler) { return scheduler->has_post(); };
  if (active_ > 0 || std::any_of(schedulers_.begin(), schedulers_.end(), has_post)) {
    return Next::kGoOn;
  }
  if (last_ && !std::exchange(last_begun_, true)) return Next::kRunLast;
  over_ = true;
  // Under the lock: none of them may be gone before all have been told.
  for (Scheduler* scheduler : schedulers_) {
    if (scheduler != &self) scheduler->port().wake();
  }
  return Next::kEnd;
}

}  // namespace weft
