#include "weft/fiber/wait.h"

#include "weft/fiber/fiber.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/unhandled.h"

namespace weft {

CompletionSet::Watcher::Watcher(CompletionSet& its_set, Completion& its_completion,
                                std::size_t its_index)
    : Waiter(&CompletionSet::notify), set(its_set), completion(its_completion), index(its_index) {}

CompletionSet::~CompletionSet() {
  // Also for those that were notified: under its lock, the notifier has left.
  for (Watcher& watcher : watchers_) watcher.completion.queue().unwatch(watcher);
}

Completion& another(Completion& completion) {
  const Fiber* self = Scheduler::current_fiber();
  if (self && &completion == &self->completion) {
    throw_logic_error("weft::wait: a task cannot wait for itself");
  }
  return completion;
}

void CompletionSet::add(Completion& completion) {
  Watcher& watcher = watchers_.emplace_back(*this, completion, watchers_.size());
  ++left_;
  WaitQueue::Lock lock(completion.queue());
  if (completion.done()) {
    notify(watcher);
  } else {
    completion.queue().watch(lock, watcher);
  }
}

std::optional<std::size_t> CompletionSet::next(TimePoint deadline, const char* what) {
  for (;;) {
    WaitQueue::Lock lock(queue_);
    if (const Watcher* watcher = done_.pop_front()) {
      --left_;
      return watcher->index;
    }
    if (!queue_.wait(lock, deadline, what)) return {};
  }
}

void CompletionSet::notify(Waiter& waiter) noexcept {
  auto& self = static_cast<Watcher&>(waiter);
  WaitQueue::Lock lock(self.set.queue_);
  self.set.done_.push_back(self);
  Waiter* next = self.set.queue_.claim(lock);
  lock.unlock();
  if (next) next->resume();
}

}  // namespace weft
