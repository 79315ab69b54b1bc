// Calls: how they come to the scheduler, and how it runs them. See README.md, "Calls".

#include "weft/fiber/core/call.h"

#include <cstdio>
#include <exception>

#include "weft/fiber/core/local_table.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/core/scheduler_switch.h"
#include "weft/fiber/core/unhandled.h"

namespace weft {

void internal::fail_null_callable(const char* caller) {
  char who[100];
  std::snprintf(who, sizeof(who), "weft::%s", caller);
  throw_invalid_argument(who, ": the callable is null");
}

// ---- Calls --------------------------------------------------------------------------------------

Call::Call(Run arrive) noexcept : InboxNode(arrive), locals_(LocalTable::inherit()) {}

void Call::drop_locals() noexcept { LocalTable::drop(locals_); }

Post::Post() noexcept
    : Call([](InboxNode& node, Scheduler* running) noexcept {
        auto& self = static_cast<Post&>(node);
        if (running) {
          running->launch(self);
        } else {
          self.drop();
        }
      }) {}

PendingCall::PendingCall(Scheduler& scheduler) noexcept
    : Call([](InboxNode& node, Scheduler* running) noexcept {
        static_cast<PendingCall&>(node).arrive(running);
      }),
      Timer([](Timer& timer) noexcept {
        auto& self = static_cast<PendingCall&>(timer);
        self.arrive(&self.scheduler_);
      }),
      scheduler_(scheduler) {}

void PendingCall::clear() noexcept {
  over_ = true;
  discard();
  drop_locals();
}

void PendingCall::drop() noexcept {
  clear();
  unref();
}

// Its time has come.
void PendingCall::arrive(Scheduler* running) noexcept {
  if (linked()) scheduler_.calls_.erase(*this);
  if (over_) {
    unref();  // it was cleared then
  } else if (running) {
    running->launch(*this);
  } else {
    drop();
  }
}

void Handle::cancel() noexcept {
  if (call_ && !call_->over_) call_->scheduler().forget(*call_);
}

void Scheduler::forget(PendingCall& call) noexcept {
  call.over_ = true;  // on its way or in the queue it is found to be
  call.ref();         // what is cleared may wait, and the call have its turn meanwhile
  if (call.linked()) {
    if (call.pending()) timers_.remove(call);
    calls_.erase(call);
    if (call.forget()) call.unref();
  }
  call.clear();
  call.unref();
}

Handle Scheduler::schedule(PendingCall& call, std::optional<TimePoint> time) {
  Handle handle(call);
  if (current_scheduler != this) {
    call.drop();
    throw_logic_error(
        "weft::Scheduler: call_soon, call_later and call_at are for its own fibers; use post");
  }
  if (time) {
    calls_.push_back(call);
    timers_.add(call, *time);
  } else {
    launch(call);
  }
  return handle;
}

// ---- Running them -------------------------------------------------------------------------------

// The call's turn comes after those that came before. Where another call makes it due, it starts as
// soon as that one ends or waits.
void Scheduler::launch(Call& call) noexcept {
  due_.push_back(call);
  if (!runner_) start_runner(current_ && current_->work == &Scheduler::run_calls);
}

// If there is no stack for it, turn() tries again.
void Scheduler::start_runner(bool in_front) noexcept {
  Fiber* fiber = nullptr;
  try {
    fiber = &reserve({});
  } catch (const std::exception& error) {
    if (std::exchange(shortage_told_, true)) return;
    return print_line("calls wait until there is a stack for them: %s", error.what());
  }
  fiber->work = &Scheduler::run_calls;
  // Relaxed: nobody else knows it yet.
  fiber->handle.store(Ownership::kGone, std::memory_order_relaxed);
  runner_ = fiber;
  runner_in_front_ = in_front;
  start_here(*fiber, in_front);
}

// The work of a runner.
void Scheduler::run_calls(Fiber& self) noexcept {
  Scheduler& here = of(self);
  here.runner_ = nullptr;
  if (!here.runner_in_front_) {
    here.in_a_row_ = 0;  // others had their turn
  } else if (here.in_a_row_ >= kMostInARow) {
    here.rest_between_calls(self, false);
  }
  while (InboxNode* const node = here.due_.pop_front()) {
    ++here.in_a_row_;  // now, as it may wait
    if (!here.due_.empty() && !here.runner_) here.start_runner(true);
    here.run_call(self, static_cast<Call&>(*node));
    if (here.due_.empty()) break;
    const bool turn_over = here.turn_.count() && here.turn_.is_over();
    if (here.runner_) {
      // That one goes on: at its place in the queue, or when the loop has looked.
      if (!here.runner_in_front_ || here.in_a_row_ >= kMostInARow || turn_over) break;
    } else if (here.in_a_row_ >= kMostInARow || turn_over) {
      here.rest_between_calls(self, turn_over);
    }
  }
  if (here.due_.empty()) here.in_a_row_ = 0;
  self.end_work();
}

// Lets others run, or the loop look.
void Scheduler::rest_between_calls(Fiber& self, bool turn_over) noexcept {
  runner_ = &self;
  runner_in_front_ = false;
  if (turn_over) {
    go_to_loop();
  } else {
    rotate();
  }
  runner_ = nullptr;
  in_a_row_ = 0;
}

// Each call is a fiber of its own, as far as it can see, although it has the stack of the last one.
void Scheduler::run_call(Fiber& self, Call& call) noexcept {
  self.id = take_id();
  self.locals = std::exchange(call.locals_, nullptr);
  self.work = &Scheduler::run_calls;
  if (closing_) self.cancel_requested = true;  // it does not begin
  run_work(self, [&] { call.run(); });
  call.drop();
  if (self.ending == Ending::kException) [[unlikely]] {
    self.ending = Ending::kTaken;
    handle_exception(self, std::exchange(self.exception, nullptr));
  }
  if (self.locals) [[unlikely]]
    LocalTable::drop(self.locals);
  if (self.locks_held != 0) [[unlikely]]
    self.fail_holding();
}

}  // namespace weft
