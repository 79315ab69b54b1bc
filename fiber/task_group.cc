#include "weft/fiber/task_group.h"

#include <algorithm>
#include <stdexcept>

#include "weft/fiber/core/cancel_scope.h"
#include "weft/fiber/core/error.h"
#include "weft/fiber/core/home.h"

namespace weft {

using internal::Claimed, internal::current_fiber, internal::Ending, internal::Fiber;
using internal::OwnedWait, internal::Scope, internal::ShieldScope, internal::throw_logic_error;
using internal::WaitQueue;

// The body of a group while it runs, for the children to interrupt.
class TaskGroup::Body {
 public:
  explicit Body(TaskGroup& group) : group_(group) {
    Failures of_before;  // what they own may wait when it is destroyed
    WaitQueue::Lock lock(group_.joiners_);
    if (group_.body_) {
      lock.unlock();
      throw_logic_error("weft::with_task_group: the group has a body already");
    }
    group_.body_ = this;
    group_.begin_anew(of_before);
    const bool failed_before = group_.failure_ && scope_.interrupt();
    lock.unlock();
    if (failed_before) Scope::update(*scope_.fiber());
  }
  ~Body() {
    const WaitQueue::Lock lock(group_.joiners_);
    group_.body_ = nullptr;
  }
  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;

  Scope& scope() noexcept { return scope_; }

 private:
  TaskGroup& group_;
  Scope scope_{current_fiber(), Scope::Kind::kBody};
};

TaskGroup::~TaskGroup() {
  if (const Fiber* self = current_fiber(); self && self->group == this) {
    internal::fail_misuse("a TaskGroup is destroyed by a child, which would wait for itself");
  }
  {
    WaitQueue::Lock lock(joiners_);
    if (children_.empty() && !failure_) return;
    if (left_behind(lock)) return;
  }
  cancel();
  std::exception_ptr failure;
  {
    const ShieldScope unwatched;
    failure = wait_for_children();
  }
  if (failure) internal::Home::handle_exception_here(std::move(failure));
}

// Whether the children run in the parent of this process, if anywhere.
bool TaskGroup::left_behind(const WaitQueue::Lock&) const noexcept {
  return !children_.empty() && internal::left_behind(*children_.front());
}

void TaskGroup::check_no_child(const char* sentence) const {
  const Fiber* self = current_fiber();
  if (self && self->group == this) throw_logic_error(sentence);
}

void TaskGroup::join() {
  check_no_child("weft::TaskGroup::join: a child cannot wait for its own group");
  join_or_cancel(nullptr);
}

void TaskGroup::run_body(void (*call)(void*), void* body) {
  check_no_child("weft::with_task_group: a child cannot be the body of its own group");
  std::exception_ptr thrown, failure;
  {
    Body scope(*this);
    try {
      call(body);
    } catch (const Cancelled&) {
      failure = scope.scope().take_kept();
      thrown = failure ? failure : std::current_exception();
    } catch (...) {
      thrown = failure = std::current_exception();
    }
  }
  if (failure) {
    Failures place = place_for(failure);
    const WaitQueue::Lock lock(joiners_);
    // The body may have it from join().
    const bool known = std::find(failures_.begin(), failures_.end(), failure) != failures_.end();
    if (!known) note(std::move(failure), place);
  }
  join_or_cancel(std::move(thrown));
}

// Waits for the children, and throws the first failure. Where the caller has to go on with an
// exception, `unwinding`, it cancels them first, and throws that if there is no failure.
void TaskGroup::join_or_cancel(std::exception_ptr unwinding) {
  internal::count_wait();
  std::exception_ptr failure;
  if (!unwinding) {
    try {
      failure = wait_for_children();
    } catch (const Cancelled&) {
      unwinding = std::current_exception();
    }
  }
  if (unwinding) {
    cancel();
    const ShieldScope unwatched;
    failure = wait_for_children();
  }
  if (failure) std::rethrow_exception(std::move(failure));
  if (unwinding) std::rethrow_exception(std::move(unwinding));
}

// Returns the failure that is to be thrown, or null.
std::exception_ptr TaskGroup::wait_for_children() {
  // Reports name the first child: all have to end.
  static constinit const OwnedWait join("TaskGroup::join", [](WaitQueue& queue) noexcept {
    const TaskGroup& group = internal::object_with(queue, &TaskGroup::joiners_);
    const WaitQueue::Lock lock(queue, std::try_to_lock);
    const Fiber* const child = lock.owns_lock() ? group.children_.front() : nullptr;
    return child ? OwnedWait::Owner{child, child->id} : OwnedWait::Owner();
  });
  for (;;) {
    WaitQueue::Lock lock(joiners_);
    if (children_.empty()) {
      if (body_ && failure_) return failure_;  // run_body() throws it, also if more come
      state_ = failures_.empty() ? State::kOpen : State::kJoined;
      return std::exchange(failure_, nullptr);  // others may start more from here on
    }
    if (left_behind(lock)) [[unlikely]] {
      lock.unlock();
      throw_logic_error("weft::TaskGroup: its children were started before fork()");
    }
    joiners_.wait(lock, kForever, join);
  }
}

void TaskGroup::cancel() noexcept {
  const WaitQueue::Lock lock(joiners_);
  close_and_cancel();
}

// REQUIRES: the lock is held.
void TaskGroup::close_and_cancel() noexcept {
  state_ = State::kClosing;
  for (Fiber* child = children_.front(); child; child = children_.next(*child)) child->cancel();
}

bool TaskGroup::cancel(std::uint64_t id) noexcept {
  const WaitQueue::Lock lock(joiners_);
  Fiber* child = children_.front();
  while (child && child->id != id) child = children_.next(*child);
  if (child) child->cancel();
  return child != nullptr;
}

std::vector<std::exception_ptr> TaskGroup::failures() const {
  std::vector<std::exception_ptr> result;
  for (std::size_t size = 0;; result.reserve(size)) {  // not under the lock
    const WaitQueue::Lock lock(joiners_);
    size = failures_.size();
    if (size > result.capacity()) continue;
    result.assign(failures_.begin(), failures_.end());
    return result;
  }
}

void TaskGroup::add(Fiber& fiber, const SpawnOptions& options) {
  Failures of_before;  // what they own may wait when it is destroyed
  {
    WaitQueue::Lock lock(joiners_);
    if (state_ == State::kClosing) [[unlikely]] {
      lock.unlock();
      refuse(fiber);
    }
    if (state_ == State::kJoined) [[unlikely]]
      begin_anew(of_before);
    fiber.group = this;
    fiber.ended = &TaskGroup::ended;
    // Relaxed: start() publishes the fiber. There is no handle.
    fiber.handle.store(internal::Ownership::kGone, std::memory_order_relaxed);
    children_.push_back(fiber);
  }
  internal::start(fiber, options);
}

// After a join(), gives away the failures of before. REQUIRES: the lock is held.
void TaskGroup::begin_anew(Failures& of_before) noexcept {
  if (state_ != State::kJoined) return;
  of_before.swap(failures_);
  state_ = State::kOpen;
}

void TaskGroup::refuse(Fiber& fiber) {
  internal::discard(fiber);
  if (Fiber* const self = current_fiber()) {
    // Another thread may have asked for it, and this one not have looked yet.
    if (self->group == this) self->cancel();
    Scope::update(*self);
    internal::throw_if_cancelled();
  }
  throw std::runtime_error(
      "weft::TaskGroup::spawn: the group is shutting down: a child has failed, or it was "
      "cancelled");
}

// Where there is no memory for it, failures() lacks one.
TaskGroup::Failures TaskGroup::place_for(const std::exception_ptr& failure) noexcept {
  try {
    return Failures(1, failure);
  } catch (const std::bad_alloc&) {
    return {};
  }
}

// Adds a failure to the others. May return a fiber, whose body then is still to be interrupted,
// once the lock is released: see Scope::interrupt(). REQUIRES: the lock is held.
Fiber* TaskGroup::note(std::exception_ptr failure, Failures& place) noexcept {
  failures_.splice(failures_.end(), place);
  if (failure_) return nullptr;
  failure_ = std::move(failure);
  close_and_cancel();
  return body_ && body_->scope().interrupt() ? body_->scope().fiber() : nullptr;
}

// Runs on the child, as the last of its task.
void TaskGroup::ended(Fiber& fiber) noexcept {
  TaskGroup& group = *fiber.group;
  Claimed claimed;
  Fiber* interrupted = nullptr;
  {
    Failures place;
    if (fiber.ending == Ending::kException) place = place_for(fiber.exception);
    WaitQueue::Lock lock(group.joiners_);
    group.children_.erase(fiber);
    if (fiber.ending == Ending::kException) {
      fiber.ending = Ending::kTaken;
      interrupted = group.note(std::exchange(fiber.exception, nullptr), place);
    }
    if (group.children_.empty()) group.joiners_.claim_all(lock, claimed);
  }
  // The group may be gone from here on, but not a fiber of this thread.
  claimed.resume();
  if (interrupted) Scope::update(*interrupted);
}

}  // namespace weft
