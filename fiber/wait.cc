#include "weft/fiber/wait.h"

#include "weft/fiber/core/error.h"
#include "weft/fiber/core/fiber.h"

namespace weft::internal {

constinit const OwnedWait kWaitForTask("wait", &Fiber::owner_of);

CompletionSet::~CompletionSet() {
  // Also for those that were notified: under its lock, the notifier has left.
  for (Watcher& watcher : watchers_) {
    if (watcher.completion) watcher.completion->queue().unwatch(watcher);
  }
}

Completion& another(Completion& completion) {
  const Fiber* self = current_fiber();
  if (self && &completion == &self->completion) {
    throw_logic_error("weft::wait: a task cannot wait for itself");
  }
  return completion;
}

void CompletionSet::add(Completion& completion) {
  Watcher& watcher = watchers_[left_++];
  watcher.set = this;
  watcher.completion = &completion;
  WaitQueue::Lock lock(completion.queue());
  if (completion.done()) {
    notify(watcher);
  } else {
    completion.queue().watch(lock, watcher);
  }
}

std::optional<std::size_t> CompletionSet::next(TimePoint deadline, const char* what) {
  count_wait();
  for (;;) {
    WaitQueue::Lock lock(queue_);
    if (const Watcher* watcher = done_.pop_front()) {
      --left_;
      return static_cast<std::size_t>(watcher - watchers_.data());
    }
    if (!queue_.wait(lock, deadline, what)) return {};
  }
}

Waiter* CompletionSet::notify(Waiter& waiter) noexcept {
  auto& self = static_cast<Watcher&>(waiter);
  WaitQueue::Lock lock(self.set->queue_);
  self.set->done_.push_back(self);
  self.set->queue_.wake_all(lock);
  return nullptr;
}

}  // namespace weft::internal
