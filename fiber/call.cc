#include "weft/fiber/call.h"

#include "weft/fiber/local_table.h"
#include "weft/fiber/scheduler.h"

namespace weft {

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

void Handle::cancel() noexcept {
  if (call_ && !call_->over_) call_->scheduler_.forget(*call_);
}

Handle Scheduler::schedule(Call& call, std::optional<TimePoint> time) {
  Handle handle(call);
  calls_.push_back(call);
  if (time) {
    timers_.add(call, *time);
  } else {
    launch(call);
  }
  return handle;
}

// The call's time has come.
void Scheduler::launch(Call& call) noexcept {
  if (call.ListNode<Call>::linked()) calls_.erase(call);
  if (closing_ || call.over_) {
    call.over_ = true;
    call.unref();
    return;
  }
  try {
    Fiber& fiber = reserve({});
    fiber.payload = &call;
    fiber.work = [](Fiber& self) noexcept {
      Call& its = *static_cast<Call*>(self.payload);
      run_work(self, [&] {
        if (!std::exchange(its.over_, true)) its.run();
      });
    };
    fiber.drop = [](Fiber& self) noexcept {
      Call& its = *static_cast<Call*>(self.payload);
      its.over_ = true;
      its.unref();
    };
    fiber.handle_gone.store(true, std::memory_order_relaxed);  // it never had one
    fiber.locals = LocalTable::share(call.locals_);
    start_here(fiber);
  } catch (...) {
    call.over_ = true;
    call.unref();
    handle_exception(loop_, std::current_exception());
  }
}

void Scheduler::forget(Call& call) noexcept {
  call.over_ = true;  // if it is a fiber already, that finds this
  if (!call.ListNode<Call>::linked()) return;
  if (call.pending()) timers_.remove(call);
  calls_.erase(call);
  if (call.forget()) call.unref();
}

void Scheduler::drop_calls() noexcept {
  while (Call* call = calls_.front()) forget(*call);
}

}  // namespace weft
