#include "weft/fiber/call.h"

#include <cstdio>

#include "weft/fiber/fiber_local.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/unhandled.h"

namespace weft {

void fail_null_callable(const char* caller) {
  char who[100];
  std::snprintf(who, sizeof(who), "weft::%s", caller);
  throw_invalid_argument(who, ": the callable is null");
}

Call::Call(Scheduler& scheduler) noexcept
    : InboxNode([](InboxNode& node) noexcept {
        auto& self = static_cast<Call&>(node);
        self.scheduler_.launch(self);
      }),
      Timer([](Timer& timer) noexcept {
        auto& self = static_cast<Call&>(timer);
        self.scheduler_.launch(self);
      }),
      scheduler_(scheduler) {
  if (const Fiber* fiber = Scheduler::current_fiber()) locals_ = LocalTable::share(fiber->locals);
}

Call::~Call() { LocalTable::unref(locals_); }

void Call::drop() noexcept {
  over_ = true;
  discard();
  unref();
}

void Handle::cancel() noexcept {
  if (call_ && !call_->over_) call_->scheduler_.forget(*call_);
}

Handle Scheduler::schedule(Call& call, std::optional<TimePoint> time) {
  Handle handle(call);
  if (current_scheduler != this) {
    call.drop();
    throw_logic_error(
        "weft::Scheduler: call_soon, call_later and call_at are for its own fibers; use post");
  }
  if (time) {
    calls_.push_back(call);
    timers_.add(call, *time);
    return handle;
  }
  try {
    start_call(call);
  } catch (...) {
    call.drop();
    throw;
  }
  return handle;
}

// The call's time has come.
void Scheduler::launch(Call& call) noexcept {
  if (call.ListNode<Call>::linked()) calls_.erase(call);
  if (call.over_) {
    call.unref();
  } else if (current_scheduler != this) {
    call.drop();  // after the last turn
  } else {
    try {
      start_call(call);
    } catch (...) {
      call.drop();
      handle_exception(loop_, std::current_exception());
    }
  }
}

void Scheduler::start_call(Call& call) {
  Fiber& fiber = reserve({});
  fiber.payload = &call;
  fiber.work = [](Fiber& self) noexcept {
    Call& its = *static_cast<Call*>(self.payload);
    run_work(self, [&] {
      if (!std::exchange(its.over_, true)) its.run();
    });
  };
  fiber.drop = [](Fiber& self) noexcept { static_cast<Call*>(self.payload)->drop(); };
  // Relaxed: nobody else knows it yet.
  fiber.handle.store(Ownership::kGone, std::memory_order_relaxed);
  fiber.locals = LocalTable::share(call.locals_);
  start_here(fiber);  // during a shutdown it does not begin, but only drops the call
}

void Scheduler::forget(Call& call) noexcept {
  call.over_ = true;  // if it is a fiber or on its way to be one, that finds this
  if (!call.ListNode<Call>::linked()) return;
  if (call.pending()) timers_.remove(call);
  calls_.erase(call);
  const bool free = call.forget();
  call.discard();
  if (free) call.unref();
}

}  // namespace weft
