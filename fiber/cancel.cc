#include "weft/fiber/cancel.h"

#include "weft/fiber/fiber.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/wait_queue.h"

namespace weft {

void throw_cancelled() { throw Cancelled(); }

CancelScope::CancelScope(Fiber* fiber, Kind kind) noexcept : fiber_(fiber), kind_(kind) {
  if (!fiber_) return;
  outer_ = fiber_->scope;
  fiber_->scope = this;
  if (kind_ == Kind::kShield) fiber_->cancelled = false;
}

CancelScope::~CancelScope() {
  if (!fiber_) return;
  fiber_->scope = outer_;
  if (kind_ == Kind::kShield || expired_) update(*fiber_);
}

void CancelScope::update(Fiber& fiber) noexcept {
  const CancelScope* in = fiber.scope;
  fiber.cancelled = in ? in->cancelled() : fiber.cancel_requested;
  if (fiber.cancelled && fiber.waiter && !fiber.context.unwinding()) {
    fiber.waiter->abort(Waiter::State::kCancelled);
  }
}

bool CancelScope::cancelled() const noexcept {
  const CancelScope* scope = this;
  while (scope && scope->kind_ != Kind::kShield && !scope->expired_) scope = scope->outer_;
  return scope ? scope->expired_ : fiber_->cancel_requested;
}

ShieldScope::ShieldScope() noexcept : CancelScope(Scheduler::current_fiber(), Kind::kShield) {}

TimeoutScope::TimeoutScope(TimePoint deadline, const char* caller)
    : CancelScope(&Scheduler::require_fiber(caller), Kind::kTimeout),
      Timer([](Timer& timer) noexcept {
        auto& self = static_cast<TimeoutScope&>(timer);
        self.expired_ = true;
        update(*self.fiber_);
      }) {
  if (deadline != kForever) Scheduler::of(*fiber_).timers().add(*this, deadline);
}

TimeoutScope::~TimeoutScope() {
  if (pending()) Scheduler::of(*fiber_).timers().remove(*this);
}

bool TimeoutScope::caused() const noexcept {
  return expired_ && !(outer_ ? outer_->cancelled() : fiber_->cancel_requested);
}

}  // namespace weft
