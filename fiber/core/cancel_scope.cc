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

[[gnu::always_inline]] inline void Scope::enter() noexcept {
  outer_ = fiber_->scope;
  fiber_->scope = this;
  outer_limited_ = fiber_->limited;
  uncaught_ = RunQueue::uncaught_exceptions();
  if (kind_ == Kind::kShield) {
    fiber_->cancelled = fiber_->limited = false;
    outer_refusals_ = std::exchange(fiber_->refusals, 0);
  }
}

Scope::Scope(Fiber* fiber, Kind kind) noexcept
    : fiber_(fiber), kind_(kind), shielded_(kind == Kind::kShield) {
  if (kind == Kind::kTimed || fiber_) enter();
}

[[gnu::always_inline]] inline void Scope::leave() noexcept {
  fiber_->scope = outer_;
  fiber_->limited = outer_limited_;
  if (shielded_) {
    update(*fiber_);
    fiber_->refusals = outer_refusals_;  // a loop that catches Cancelled may have shields in it
  } else if (over()) {
    update(*fiber_);
  }
}

Scope::~Scope() {
  if (!fiber_) return;
  if (fiber_->kept) [[unlikely]] {
    leave_with_kept();
  } else {
    leave();
  }
}

std::exception_ptr Scope::take_kept() noexcept {
  if (!fiber_ || !fiber_->kept || fiber_->kept_in != this) return nullptr;
  return std::exchange(fiber_->kept, nullptr);
}

// What is kept here is not what the scope ends by. Reported when the scope is left: that may wait.
[[gnu::noinline]] void Scope::leave_with_kept() noexcept {
  std::exception_ptr kept = take_kept();
  leave();
  if (kept) Home::of(*fiber_).handle_further(*fiber_, std::move(kept));
}

bool Scope::unwinds(const Fiber& running) noexcept {
  const Scope* const owner = owner_of_failures(running);
  return RunQueue::uncaught_exceptions() > (owner ? owner->uncaught_ : 0);
}

Scope* Scope::owner_of_failures(const Fiber& fiber) noexcept {
  Scope* scope = fiber.scope;
  while (scope && scope->kind_ == Kind::kShield) scope = scope->outer_;
  return scope;
}

[[gnu::noinline]] void Scope::update(Fiber& fiber) noexcept {
  const bool before = fiber.cancelled;
  fiber.cancelled = reaches(fiber, 0);
  if (fiber.cancelled != before) fiber.refusals = 0;
  if (fiber.cancelled && fiber.waiter && reaches(fiber, fiber.context.uncaught_exceptions())) {
    fiber.waiter->abort(Waiter::State::kCancelled);
  }
}

bool Scope::reaches(const Scope* innermost, const Fiber& fiber, unsigned uncaught) noexcept {
  for (const Scope* scope = innermost; scope; scope = scope->outer_) {
    if (scope->uncaught_ < uncaught) return false;
    if (scope->over()) return true;
    if (scope->shielded_) return false;
  }
  return uncaught == 0 && fiber.cancel_requested;
}

bool Scope::reaches(const Fiber& fiber, unsigned uncaught) noexcept {
  return reaches(fiber.scope, fiber, uncaught);
}

bool scopes_reach(const Fiber& running) noexcept {
  return Scope::reaches(running, static_cast<unsigned>(std::uncaught_exceptions()));
}

bool waiting_is_refused(const Fiber& running) noexcept { return NoWaitingScope::around(running); }

void Scope::end(End end) noexcept {
  End none = End::kNone;
  end_.compare_exchange_strong(none, end, std::memory_order_release,
                               std::memory_order_relaxed);  // see over()
}

bool Scope::interrupt() noexcept {
  if (!fiber_) return false;
  end(End::kCancelled);
  if (&RunQueue::of(*fiber_) == RunQueue::here()) return true;
  fiber_->request(Fiber::kInterrupt);
  return false;
}

bool Scope::caused() {
  if (std::exception_ptr kept = take_kept()) std::rethrow_exception(std::move(kept));
  return over() && (shielded_ || !reaches(outer_, *fiber_, uncaught_));
}

void Scope::check_fiber() const {
  if (current_fiber() == fiber_) return;
  throw_logic_error("weft::CancelScope: only its own fiber may move its deadline or shield it");
}

void Scope::set_shield(bool shielded) {
  check_fiber();
  if (shielded == shielded_) return;
  shielded_ = shielded;
  if (shielded) outer_refusals_ = fiber_->refusals;
  update(*fiber_);
  if (!shielded) fiber_->refusals = outer_refusals_;
}

ShieldScope::ShieldScope() noexcept : Scope(current_fiber(), Kind::kShield) {}

TimedScope::TimedScope(TimePoint deadline, const char* caller)
    : Scope(&require_fiber(caller), Kind::kTimed), Timer([](Timer& timer) noexcept {
        auto& self = static_cast<TimedScope&>(timer);
        self.end(End::kExpired);
        update(*self.fiber_);
      }) {
  if (deadline == kForever) {
    forget_deadline();
  } else {
    Home::of(*fiber_).timers().add(*this, deadline);
    fiber_->limited = true;
  }
}

[[gnu::flatten]] TimedScope::~TimedScope() {
  if (pending()) Home::of(*fiber_).timers().remove(*this);
}

void TimedScope::set_deadline(TimePoint deadline) {
  check_fiber();
  if (over()) return;
  Home& here = Home::of(*fiber_);
  if (pending()) here.timers().remove(*this);
  if (deadline == kForever) return forget_deadline();
  here.timers().add(*this, deadline);
  // Also when the scopes in this one have been left. (One too many only costs looks at the clock.)
  for (Scope* at = fiber_->scope; at != this; at = at->outer_) at->outer_limited_ = true;
  fiber_->limited = true;
  expire_if_due(here.now());
  update(*fiber_);
}

void TimedScope::expire_if_due(TimePoint now) noexcept {
  if (!pending() || deadline() > now) return;
  Home::of(*fiber_).timers().remove(*this);
  end(End::kExpired);
}

void TimedScope::expire_those_due(Fiber& running) noexcept {
  const TimePoint now = Home::of(running).now();
  for (Scope* at = running.scope; at; at = at->outer_) {
    if (at->kind_ == Kind::kTimed) static_cast<TimedScope*>(at)->expire_if_due(now);
    if (at->shielded_) break;
  }
  update(running);
}

NoWaitingScope::NoWaitingScope(const char* caller)
    : Scope(&require_fiber(caller), Kind::kNoWaiting) {
  end(End::kCancelled);
  update(*fiber_);
}

bool NoWaitingScope::around(const Fiber& running) noexcept {
  const Scope* scope = running.scope;
  while (scope && scope->kind_ != Kind::kNoWaiting && !scope->shielded_) scope = scope->outer_;
  return scope && scope->kind_ == Kind::kNoWaiting;
}

void NoWaitingScope::check(const Fiber& running, const char* what) {
  if (around(running)) throw_logic_error("weft: a wait inside no_waiting: ", what);
}

}  // namespace weft::internal
