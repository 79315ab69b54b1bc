#include "weft/fiber/core/calls.h"

#include <exception>
#include <utility>

#include "weft/fiber/core/error.h"
#include "weft/fiber/core/local_table.h"

namespace weft::internal {

// ---- Calls --------------------------------------------------------------------------------------

Call::Call(Run arrive) noexcept : InboxNode(arrive), locals_(LocalTable::inherit()) {}

void Call::drop_locals() noexcept { LocalTable::drop(locals_); }

Post::Post() noexcept
    : Call([](InboxNode& node, Calls* running) noexcept {
        auto& self = static_cast<Post&>(node);
        if (running) {
          running->launch(self);
        } else {
          self.drop();
        }
      }) {}

PendingCall::PendingCall(Scheduler& scheduler) noexcept
    : Call([](InboxNode& node, Calls*) noexcept {
        auto& self = static_cast<PendingCall&>(node);
        Calls::of(self).arrive(self);
      }),
      Timer([](Timer& timer) noexcept {
        auto& self = static_cast<PendingCall&>(timer);
        Calls::of(self).arrive(self);
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

void post(Scheduler& scheduler, Call& call) {
  auto& home = static_cast<Calls&>(scheduler);
  if (!home.is_of_this_process()) [[unlikely]] {
    call.drop();
    home.require_this_process();
  }
  if (Calls::here() == &home) {
    home.launch(call);
  } else {
    home.deliver(call);
  }
}

Handle schedule(PendingCall& call, std::optional<TimePoint> time) {
  Handle handle(call);
  Calls& home = Calls::of(call);
  if (Calls::here() != &home) {
    call.drop();
    throw_logic_error(
        "weft::Scheduler: call_soon, call_later and call_at are for its own fibers; use post");
  }
  if (time) {
    home.add(call, *time);
  } else {
    home.launch(call);
  }
  return handle;
}

void Calls::add(PendingCall& call, TimePoint time) noexcept {
  add(call);
  timers_.add(call, time);
}

void Calls::arrive(PendingCall& call) noexcept {
  if (call.linked()) waiting_.erase(call);
  if (call.over_) {
    call.unref();  // it was cleared then
  } else if (here() == this) {
    launch(call);
  } else {  // the scheduler runs no more
    call.drop();
  }
}

void Calls::forget(PendingCall& call) noexcept {
  call.over_ = true;  // on its way or in the queue it is found to be
  call.ref();         // what is cleared may wait, and the call have its turn meanwhile
  if (call.linked()) {
    if (call.pending()) timers_.remove(call);
    waiting_.erase(call);
    if (call.forget()) call.unref();
  }
  call.clear();
  call.unref();
}

void Calls::drop_calls() noexcept {
  while (PendingCall* call = waiting_.front()) forget(*call);
  while (InboxNode* node = due_.pop_front()) static_cast<Call*>(node)->drop();
}

std::vector<Fiber*> Calls::started() {
  std::vector<Fiber*> fibers = Lives::started();
  std::erase(fibers, runner_);
  return fibers;
}

// ---- Running them -------------------------------------------------------------------------------

void Calls::look_at_calls(bool others_first) noexcept {
  if (others_first) in_a_row_ = kMostInARow;
  if (!due_.empty() && !runner_) [[unlikely]]
    start_runner(false);
}

void Calls::launch(Call& call) noexcept {
  due_.push_back(call);
  if (!runner_) start_runner(running.fiber && running.fiber->work == &Calls::run_calls);
}

// If there is no stack for it, look_at_calls() tries again.
void Calls::start_runner(bool in_front) noexcept {
  Fiber* fiber = nullptr;
  try {
    fiber = &reserve(SpawnOptions());
  } catch (const std::exception& error) {
    if (std::exchange(shortage_reported_, true)) return;
    return print_line("calls wait until there is a stack for them: %s", error.what());
  }
  fiber->work = &Calls::run_calls;
  // Relaxed: nobody else knows it yet.
  fiber->handle.store(Ownership::kGone, std::memory_order_relaxed);
  runner_ = fiber;
  runner_in_front_ = in_front;
  start_here(*fiber, in_front);
}

// The work of a runner.
void Calls::run_calls(Fiber& self) noexcept {
  Calls& here = *Calls::here();
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
    const bool turn_over = here.turn_is_over();
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
void Calls::rest_between_calls(Fiber& self, bool turn_over) noexcept {
  runner_ = &self;
  runner_in_front_ = false;
  const Fiber& next = turn_over ? loop_ : after_rotation();
  if (&next != &self) record_switch(next, TraceEvent::kReady);
  if (turn_over) {
    go_to_loop();
  } else {
    rotate();
  }
  runner_ = nullptr;
  in_a_row_ = 0;
}

// Each call is a fiber of its own, as far as it can see, although it has the stack of the last one.
void Calls::run_call(Fiber& self, Call& call) noexcept {
  self.id = take_id();
  record_switch(self, TraceEvent::kEnded);
  self.locals = std::exchange(call.locals_, nullptr);
  self.work = &Calls::run_calls;
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

}  // namespace weft::internal

namespace weft {

void Handle::cancel() noexcept {
  if (call_ && !call_->over()) internal::Calls::of(*call_).forget(*call_);
}

}  // namespace weft
