#include "weft/fiber/core/cancel_scope.h"

#include <atomic>
#include <cstdlib>
#include <exception>
#include <utility>

#include "weft/fiber/core/error.h"
#include "weft/fiber/core/fiber.h"
#include "weft/fiber/core/home.h"
#include "weft/fiber/core/wait_queue.h"

namespace weft::internal {

void throw_cancelled() {
  // If nothing unwinds, the exception that unwound when this was kept was caught. So this Cancelled
  // does not report it.
  Fiber* const self = current_fiber();
  if (self && self->kept && !self->kept_while_cancelled) [[unlikely]] {
    if (std::uncaught_exceptions() == 0) self->report_kept();
  }
  throw Cancelled();
}

namespace {

std::atomic<std::terminate_handler> terminate_as_before{nullptr};

[[noreturn]] void say_why_and_terminate() {
  // A handler of the program's own, which was set between two of weft's, may call this one again.
  static std::atomic<bool> begun{false};
  if (begun.exchange(true)) std::abort();
  try {
    if (const std::exception_ptr failure = std::current_exception()) {
      std::rethrow_exception(failure);
    }
  } catch (const Cancelled&) {
    const Fiber* const fiber = current_fiber();
    print_line(
        "%s is cancelled, and waits in a destructor or another noexcept function, which Cancelled "
        "may not leave; weft::shield_for() is for that",
        fiber ? FiberLabel(*fiber).text : "a fiber");
  } catch (...) {
  }
  if (const std::terminate_handler before = terminate_as_before.load()) before();
  std::abort();
}

}  // namespace

void explain_terminate() noexcept {
  const std::terminate_handler before = std::set_terminate(&say_why_and_terminate);
  if (before != &say_why_and_terminate) terminate_as_before.store(before);
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

[[gnu::always_inline]] inline void CancelScope::enter() noexcept {
  outer_ = fiber_->scope;
  fiber_->scope = this;
  outer_limited_ = fiber_->limited;
  uncaught_ = RunQueue::uncaught_exceptions();
  if (kind_ == Kind::kShield) {
    fiber_->cancelled = fiber_->limited = false;
    outer_refusals_ = std::exchange(fiber_->refusals, 0);
  }
}

CancelScope::CancelScope(Fiber* fiber, Kind kind) noexcept : fiber_(fiber), kind_(kind) {
  if (fiber_) enter();
}

CancelScope::CancelScope(Fiber& fiber, Kind kind) noexcept : fiber_(&fiber), kind_(kind) {
  enter();
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

// What is kept here is not what the scope ends by. Reported when the scope is left: that may wait.
[[gnu::noinline]] void CancelScope::leave_with_kept() noexcept {
  std::exception_ptr kept = take_kept();
  leave();
  if (kept) Home::of(*fiber_).handle_further(*fiber_, std::move(kept));
}

bool CancelScope::unwinds(const Fiber& running) noexcept {
  const CancelScope* const owner = owner_of_failures(running);
  return RunQueue::uncaught_exceptions() > (owner ? owner->uncaught_ : 0);
}

CancelScope* CancelScope::owner_of_failures(const Fiber& fiber) noexcept {
  CancelScope* scope = fiber.scope;
  while (scope && scope->kind_ == Kind::kShield) scope = scope->outer_;
  return scope;
}

void CancelScope::update(Fiber& fiber) noexcept {
  const bool before = fiber.cancelled;
  fiber.cancelled = reaches(fiber, 0);
  if (fiber.cancelled != before) fiber.refusals = 0;
  if (fiber.cancelled && fiber.waiter && reaches(fiber, fiber.context.uncaught_exceptions())) {
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

bool CancelScope::reaches(const CancelScope* innermost, const Fiber& fiber,
                          unsigned uncaught) noexcept {
  for (const CancelScope* scope = innermost; scope; scope = scope->outer_) {
    if (scope->uncaught_ < uncaught) return false;
    if (scope->expired_) return true;
    if (scope->kind_ == Kind::kShield) return false;
  }
  return uncaught == 0 && fiber.cancel_requested;
}

bool CancelScope::reaches(const Fiber& fiber, unsigned uncaught) noexcept {
  return reaches(fiber.scope, fiber, uncaught);
}

bool scopes_reach(const Fiber& running) noexcept {
  return CancelScope::reaches(running, static_cast<unsigned>(std::uncaught_exceptions()));
}

ShieldScope::ShieldScope() noexcept : CancelScope(current_fiber(), Kind::kShield) {}

BodyScope::BodyScope() noexcept : CancelScope(current_fiber(), Kind::kBody) {}

bool BodyScope::interrupt() noexcept {
  if (!fiber_) return false;
  asked_.store(true, std::memory_order_relaxed);  // see serve_interrupts()
  if (&RunQueue::of(*fiber_) == RunQueue::here()) return true;
  fiber_->request(Fiber::kInterrupt);
  return false;
}

TimeoutScope::TimeoutScope(TimePoint deadline, const char* caller)
    : CancelScope(require_fiber(caller), Kind::kTimeout), Timer([](Timer& timer) noexcept {
        auto& self = static_cast<TimeoutScope&>(timer);
        self.expired_ = true;
        update(*self.fiber_);
      }) {
  if (deadline == kForever) return;
  Home::of(*fiber_).timers().add(*this, deadline);
  fiber_->limited = true;
}

TimeoutScope::~TimeoutScope() {
  if (pending()) Home::of(*fiber_).timers().remove(*this);
}

void TimeoutScope::expire_those_due(Fiber& running) noexcept {
  Home& here = Home::of(running);
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

NoWaitingScope::NoWaitingScope(const char* caller)
    : CancelScope(require_fiber(caller), Kind::kNoWaiting) {
  expired_ = true;
  update(*fiber_);
}

bool NoWaitingScope::around(const Fiber& running) noexcept {
  const CancelScope* scope = running.scope;
  while (scope && scope->kind_ != Kind::kNoWaiting && scope->kind_ != Kind::kShield) {
    scope = scope->outer_;
  }
  return scope && scope->kind_ == Kind::kNoWaiting;
}

void NoWaitingScope::check(const Fiber& running, const char* what) {
  if (around(running)) throw_logic_error("weft: a wait inside no_waiting: ", what);
}

bool TimeoutScope::caused() const noexcept {
  return expired_ && !reaches(outer_, *fiber_, uncaught_);
}

}  // namespace weft::internal
