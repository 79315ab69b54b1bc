#include "tests/random/model_tasks.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "tests/random/interpreter.h"

namespace weft::test {

// ---- Fibers ----

void ModelTasks::begin_fiber(const Entry& entry) {
  ModelFiber& fiber = at(entry.fiber);
  if (fiber.state == ModelFiber::kPending && fiber.begins_at <= now_) {
    fiber.state = ModelFiber::kReady;
  }
  if (fiber.state != ModelFiber::kReady) fail("it begins, but is not ready");
  if (fiber.requested == Tri::kYes || fiber.over) fail("it begins, but was cancelled before");
  fiber.state = ModelFiber::kRunning;
}

void ModelTasks::end_fiber(int number, Outcome outcome) {
  ModelFiber& fiber = at(number);
  if (fiber.state == ModelFiber::kRunning) {
    if (!fiber.frames.empty()) fail("it ends within ", to_string(fiber.top()->step));
    const Outcome expected = fiber.flying.value_or(Outcome{Outcome::kOk, result_of(number)});
    if (!(outcome == expected)) fail("it should end with ", to_string(expected));
  } else if (outcome.kind != Outcome::kNeverBegan || fiber.state == ModelFiber::kUnborn ||
             fiber.state == ModelFiber::kEnded || (fiber.requested == Tri::kNo && !fiber.over)) {
    fail("it ends, but did not run");
  }
  end_fiber_as(number, outcome);
  if (fiber.calls_back >= 0) {
    Future& its = futures_[static_cast<std::size_t>(fiber.calls_back)];
    --its.others;
    release(its, number);
  }
  if (number == 0) close_runtime();
}

void ModelTasks::end_fiber_as(int number, Outcome outcome) {
  ModelFiber& fiber = at(number);
  fiber.state = ModelFiber::kEnded;
  fiber.flying = {};
  // One that was saved by somebody else: nobody has cancelled this task.
  const bool stray = outcome.kind == Outcome::kCancelled && !was_cancelled(fiber);
  if (stray && is_collected(fiber)) outcome = {Outcome::kTaskCancelled};
  outcome = leave(fiber, nullptr, outcome);
  if (stray && outcome.kind == Outcome::kCancelled) outcome = {Outcome::kTaskCancelled};
  fiber.result = outcome;
  if (fiber.group >= 0) return leave_group(number);
  if (!fiber.has_handle) {
    if (number == 0 || !failed(outcome)) return;
    if (fiber.detacher >= 0) return tell(fiber.detacher, outcome);
    unhandled_.push_back(outcome);
    return;
  }
  while (Frame* const frame = claim(fiber.waiters)) wake_joiner(*frame, number);
  for (ModelFiber& other : fibers_) {
    for (const auto& frame : other.frames) {
      if (frame->step.number >= 0 && watches(*frame, number))
        tell_watcher(*frame, *other.top(), number);
    }
  }
}

void ModelTasks::wake_joiner(Frame& frame, int number) {
  ModelFiber& fiber = at(number);
  if (frame.step.what == Do::kDrop && failed(fiber.result)) tell(frame.fiber, fiber.result);
  decide(frame, frame.step.what == Do::kGet ? got(fiber) : Outcome{});
}

Outcome ModelTasks::got(const ModelFiber& fiber) {
  if (fiber.taken) return {Outcome::kLogicError};
  const auto kind = fiber.result.kind;
  if (kind == Outcome::kCancelled || kind == Outcome::kNeverBegan) return {Outcome::kTaskCancelled};
  return fiber.result;
}

bool ModelTasks::watches(const Frame& frame, int number) {
  return frame.step.what >= Do::kWaitAll && frame.step.what <= Do::kAsCompleted &&
         has(frame.step.number, number);
}

void ModelTasks::tell_watcher(Frame& frame, Frame& top, int number) {
  if (frame.step.what != Do::kAsCompleted) {
    if (frame.state == Frame::kWaits && !gone(frame) && is_enough(frame)) decide(frame, {});
    return;
  }
  frame.ended.push_back(number);
  if (&top == &frame || top.state != Frame::kWaits || gone(top)) return;
  decide(top, {Outcome::kOk, frame.ended.front()});
  frame.ended.pop_front();
}

// Whether a wait for some tasks is over.
bool ModelTasks::is_enough(const Frame& frame) {
  bool all = true, any = false, any_failed = false;
  for (int i = 0; i < static_cast<int>(fibers_.size()); ++i) {
    if (!has(frame.step.number, i)) continue;
    const bool ended = at(i).state == ModelFiber::kEnded;
    all = all && ended;
    any = any || ended;
    any_failed = any_failed || (ended && failed(at(i).result) && !at(i).taken);
  }
  if (frame.step.what == Do::kWaitFirst) return any;
  return all || (frame.step.what == Do::kWaitFirstException && any_failed);
}

// What is known only when the fiber runs again.
void ModelTasks::refine(Frame& frame) {
  const Do what = frame.step.what;
  if (what < Do::kWaitAll || what > Do::kWaitFirstException || frame.expected.thrown()) return;
  frame.expected = {};
  for (int i = 0; i < static_cast<int>(fibers_.size()); ++i) {
    if (has(frame.step.number, i) && at(i).state == ModelFiber::kEnded) {
      frame.expected.value |= std::int64_t{1} << i;
    }
  }
}

// ---- The end of the first fiber, and of all ----

void ModelTasks::close_runtime() {
  closing_ = true;
  for (int i = 1; i < static_cast<int>(fibers_.size()); ++i) {
    if (at(i).state == ModelFiber::kPending) {
      at(i).over = true;
    } else {
      cancel(i);
    }
  }
}

void ModelTasks::take_unhandled(const Outcome& outcome) {
  const auto found = std::find(unhandled_.begin(), unhandled_.end(), outcome);
  if (found != unhandled_.end()) return (void)unhandled_.erase(found);
  // What was kept is told while its scope, or the task, is being left.
  for (ModelFiber& fiber : fibers_) {
    if (fiber.kept != outcome) continue;
    const Frame* const top = fiber.top();
    const bool taken = fiber.flying && fiber.flying->kind == Outcome::kCancelled;
    // Or it goes on, as what was in flight has been caught, and is cancelled later.
    const bool goes_on = top && top->state == Frame::kDecided && !fiber.flying &&
                         top->expected.kind == Outcome::kCancelled;
    if ((fiber.kept_in == top && !taken) || goes_on) return fiber.kept.reset();
  }
  fail("nobody had to be told");
}

// ---- Tasks ----

void ModelTasks::begin_task(Frame& frame) {
  const Step& step = frame.step;
  if (step.what == Do::kSpawn) return spawn(frame);
  if (step.what == Do::kCancel) {
    const bool known = step.object < static_cast<int>(fibers_.size()) && at(step.object).known;
    decide(frame, {known ? Outcome::kOk : Outcome::kNo});
    if (known) cancel(step.object);
    return;
  }
  ModelFiber& task = at(step.object);
  if (!task.known) fail("a task without a handle");
  const bool ended = task.state == ModelFiber::kEnded;
  if (step.what == Do::kDetach || step.what == Do::kDrop) task.known = false;
  if (step.what == Do::kDetach) {
    task.has_handle = false;
    decide(frame, {});
    if (ended) return give_up(frame.fiber, task);
    if (closing_) cancel(step.object);
  } else if (ended) {
    decide(frame, step.what == Do::kGet ? got(task) : Outcome{});
    if (step.what == Do::kDrop) give_up(frame.fiber, task);
  } else {
    frame.cancellable = step.what != Do::kDrop;
    wait(frame, &task.waiters);
    if (step.what == Do::kDrop) cancel(step.object);
  }
}

void ModelTasks::give_up(int owner, const ModelFiber& task) {
  if (failed(task.result) && !task.taken) tell(owner, task.result);
}

void ModelTasks::spawn(Frame& frame) {
  const Step& step = frame.step;
  ModelFiber& child = at(step.object);
  if (child.state != ModelFiber::kUnborn) fail("it is born twice");
  child.state = ModelFiber::kReady;
  child.has_handle = step.into == Into::kHandle;
  if (step.into == Into::kNobody) child.detacher = frame.fiber;
  if (step.into == Into::kGroup && !join_group(frame, step.object)) return;
  if (step.eager) eager_ = step.object;
  decide(frame, {});
}

void ModelTasks::end_task(Frame& frame) {
  const Step& step = frame.step;
  const Outcome::Kind how = frame.expected.kind;
  if (step.what == Do::kSpawn && step.into == Into::kHandle) at(step.object).known = true;
  if (step.what == Do::kSpawn && step.into == Into::kNobody) {
    at(step.object).detacher = -1;
    if (closing_) cancel(step.object);
  }
  if (step.what == Do::kGet && how != Outcome::kCancelled && how != Outcome::kTaskCancelled) {
    at(step.object).taken = true;
  }
  if (step.what == Do::kGet && at(step.object).result.kind == Outcome::kTaskCancelled &&
      how == Outcome::kTaskCancelled) {
    at(step.object).taken = true;  // an exception like any other
  }
}

void ModelTasks::begin_tasks(Frame& frame) {
  ModelFiber& fiber = at(frame.fiber);
  if (frame.step.what == Do::kStep) {
    Frame& whole = *fiber.frames[fiber.frames.size() - 2];
    if (whole.ended.empty()) return wait(frame, nullptr);
    decide(frame, {Outcome::kOk, whole.ended.front()});
    whole.ended.pop_front();
  } else if (frame.step.what == Do::kAsCompleted) {
    for (int i = 0; i < static_cast<int>(fibers_.size()); ++i) {
      if (has(frame.step.number, i) && at(i).state == ModelFiber::kEnded) {
        frame.ended.push_back(i);
      }
    }
  } else {
    frame.in_stages = frame.step.what != Do::kWaitFirst;
    is_enough(frame) ? decide(frame, {}) : wait(frame, nullptr);
  }
}

// ---- Calls ----

void ModelTasks::begin_call(Frame& frame) {
  ModelFiber& child = at(frame.step.object);
  decide(frame, {});
  if (frame.step.what == Do::kCancelCall) {
    if (child.state == ModelFiber::kPending || child.state == ModelFiber::kReady) {
      child.over = true;
    }
    return;
  }
  if (frame.step.what == Do::kCallLater) {
    child.state = ModelFiber::kPending;
    child.begins_at = now_ + frame.step.time;
    child.requested = closing_ ? Tri::kYes : Tri::kNo;
  } else {
    make_ready(child);
  }
}

// A call whose time has come.
void ModelTasks::make_ready(ModelFiber& call) {
  call.state = ModelFiber::kReady;
  call.requested = closing_ ? Tri::kYes : Tri::kNo;
}

void ModelTasks::begin_callback(Frame& frame) {
  ModelFiber& call = at(static_cast<int>(frame.step.number));
  const auto promise = static_cast<std::size_t>(frame.step.object);
  auto& callbacks = callbacks_[promise];
  if (frame.step.what == Do::kAddCallback) {
    decide(frame, {});
    ++futures_[promise].others;
    call.calls_back = frame.step.object;
    if (futures_[promise].result) return make_ready(call);
    call.state = ModelFiber::kPending;
    call.over = closing_;
    callbacks.push_back(static_cast<int>(frame.step.number));
    return;
  }
  const bool there = std::erase(callbacks, frame.step.number) > 0 && !call.over;
  decide(frame, {there ? Outcome::kOk : Outcome::kNo});
  if (there) call.over = true;
}

void ModelTasks::future_done(int promise) {
  for (const int number : std::exchange(callbacks_[static_cast<std::size_t>(promise)], {})) {
    if (!at(number).over) make_ready(at(number));
  }
}

}  // namespace weft::test
