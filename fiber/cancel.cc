#include "weft/fiber/cancel.h"

#include <utility>

#include "weft/fiber/fiber.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/wait_queue.h"

namespace weft {

void throw_cancelled() {
  // The exception that unwound the stack when this was kept was caught. So this Cancelled does not
  // report it.
  Fiber* const self = Scheduler::current_fiber();
  if (self && self->kept && !self->kept_while_cancelled) [[unlikely]]
    self->tell_of_kept();
  throw Cancelled();
}

std::exception_ptr for_another_task(std::exception_ptr exception) noexcept {
  if (!exception) return nullptr;
  try {
    std::rethrow_exception(exception);
  } catch (const Cancelled&) {
    return std::make_exception_ptr(TaskCancelled());
  } catch (...) {
    return exception;
  }
}

CancelScope::CancelScope(Fiber* fiber, Kind kind) noexcept : fiber_(fiber), kind_(kind) {
  if (!fiber_) return;
  outer_ = fiber_->scope;
  fiber_->scope = this;
  outer_limited_ = fiber_->limited;
  if (kind_ == Kind::kShield) {
    fiber_->cancelled = fiber_->limited = false;
    outer_refusals_ = std::exchange(fiber_->refusals, 0);
  }
}

[[gnu::always_inline]] inline void CancelScope::leave() noexcept {
  fiber_->scope = outer_;
  fiber_->limited = outer_limited_;
  if (kind_ == Kind::kShield) {
    update(*fiber_);
    fiber_->refusals = outer_refusals_;  // a loop that catches Cancelled may have shields in it
  } else if (expired_) {
    update(*fiber_);
  }
}

CancelScope::~CancelScope() {
  if (!fiber_) return;
  if (fiber_->kept) [[unlikely]] {
    leave_with_kept();
  } else {
    leave();
  }
}

// What is kept here is not what the scope ends by. Told when the scope is left: that may wait.
[[gnu::noinline]] void CancelScope::leave_with_kept() noexcept {
  std::exception_ptr kept = take_kept();
  leave();
  if (kept) Scheduler::of(*fiber_).tell_of_further(*fiber_, std::move(kept));
}

CancelScope* CancelScope::owner_of_failures(const Fiber& fiber) noexcept {
  CancelScope* scope = fiber.scope;
  while (scope && scope->kind_ == Kind::kShield) scope = scope->outer_;
  return scope;
}

void CancelScope::update(Fiber& fiber) noexcept {
  const CancelScope* in = fiber.scope;
  const bool before = fiber.cancelled;
  fiber.cancelled = in ? in->cancelled() : fiber.cancel_requested;
  if (fiber.cancelled != before) fiber.refusals = 0;
  if (fiber.cancelled && fiber.waiter && !fiber.context.unwinding()) {
    fiber.waiter->abort(Waiter::State::kCancelled);
  }
}

void CancelScope::serve_interrupts(Fiber& fiber) noexcept {
  for (CancelScope* scope = fiber.scope; scope; scope = scope->outer_) {
    // Relaxed: the request, or being on the same thread, orders it.
    if (scope->kind_ == Kind::kBody &&
        static_cast<BodyScope*>(scope)->asked_.load(std::memory_order_relaxed)) {
      scope->expired_ = true;
    }
  }
  update(fiber);
}

std::exception_ptr CancelScope::take_kept() noexcept {
  if (!fiber_ || !fiber_->kept || fiber_->kept_in != this) return nullptr;
  return std::exchange(fiber_->kept, nullptr);
}

bool CancelScope::cancelled() const noexcept {
  const CancelScope* scope = this;
  while (scope && scope->kind_ != Kind::kShield && !scope->expired_) scope = scope->outer_;
  return scope ? scope->expired_ : fiber_->cancel_requested;
}

ShieldScope::ShieldScope() noexcept : CancelScope(Scheduler::current_fiber(), Kind::kShield) {}

BodyScope::BodyScope() noexcept : CancelScope(Scheduler::current_fiber(), Kind::kBody) {}

bool BodyScope::interrupt() noexcept {
  if (!fiber_) return false;
  asked_.store(true, std::memory_order_relaxed);  // see serve_interrupts()
  if (&Scheduler::of(*fiber_) == Scheduler::current_or_null()) return true;
  fiber_->request(Fiber::kInterrupt);
  return false;
}

TimeoutScope::TimeoutScope(TimePoint deadline, const char* caller)
    : CancelScope(&Scheduler::require_fiber(caller), Kind::kTimeout),
      Timer([](Timer& timer) noexcept {
        auto& self = static_cast<TimeoutScope&>(timer);
        self.expired_ = true;
        update(*self.fiber_);
      }) {
  if (deadline == kForever) return;
  Scheduler::of(*fiber_).timers().add(*this, deadline);
  fiber_->limited = true;
}

TimeoutScope::~TimeoutScope() {
  if (pending()) Scheduler::of(*fiber_).timers().remove(*this);
}

void TimeoutScope::expire_those_due(Fiber& running) noexcept {
  Scheduler& here = Scheduler::of(running);
  const TimePoint now = here.now();
  for (CancelScope* at = running.scope; at && at->kind_ != Kind::kShield; at = at->outer_) {
    if (at->kind_ != Kind::kTimeout) continue;
    auto& scope = static_cast<TimeoutScope&>(*at);
    if (!scope.pending() || scope.deadline() > now) continue;
    here.timers().remove(scope);
    scope.expired_ = true;
  }
  update(running);
}

bool TimeoutScope::caused() const noexcept {
  return expired_ && !(outer_ ? outer_->cancelled() : fiber_->cancel_requested);
}

}  // namespace weft
