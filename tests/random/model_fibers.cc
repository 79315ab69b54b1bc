#include "tests/random/model_fibers.h"

#include <algorithm>
#include <utility>

namespace weft::test {

ModelFibers::ModelFibers(const Program& program, const Record& record)
    : program_(program),
      record_(record),
      fibers_(program.fibers.size()),
      ends_(record.size(), record.size()),
      begins_(record.size()) {
  std::vector<std::vector<std::size_t>> open(fibers_.size());
  for (std::size_t i = 0; i < record.size(); ++i) {
    auto& begins = open[static_cast<std::size_t>(record[i].fiber)];
    if (record[i].type == Entry::kBegin) begins.push_back(i);
    if (record[i].type == Entry::kEnd && !begins.empty()) {
      ends_[begins.back()] = i;
      begins_[i] = begins.back();
      begins.pop_back();
    }
  }
}

// ---- Cancellation -------------------------------------------------------------------------------

// Whether the frame is a destructor that unwinding has called.
bool ModelFibers::unwinds(const Frame& frame) {
  return frame.step.what == Do::kDestructor && frame.step.number > 0;
}

bool ModelFibers::expires(const Frame& frame) {
  const Do what = frame.step.what;
  return what == Do::kTimeout || what == Do::kDeadline || what == Do::kScope;
}

Tri ModelFibers::cancelled(const ModelFiber& fiber, std::size_t frames) const {
  Tri found = Tri::kNo;
  while (frames > 0) {
    const Frame& frame = *fiber.frames[--frames];
    if (frame.expired == Tri::kYes) return Tri::kYes;
    if (frame.expired == Tri::kMaybe) found = Tri::kMaybe;
    if (frame.shielded || unwinds(frame)) return found;
  }
  return fiber.requested == Tri::kNo ? found : std::max(found, fiber.requested);
}

Tri ModelFibers::interrupted(const Frame& frame) const {
  const ModelFiber& fiber = fibers_[static_cast<std::size_t>(frame.fiber)];
  if (!frame.cancellable) return Tri::kNo;
  return cancelled(fiber, fiber.frames.size());
}

void ModelFibers::cancel(int number) {
  ModelFiber& fiber = at(number);
  if (fiber.state == ModelFiber::kEnded || fiber.state == ModelFiber::kUnborn) return;
  fiber.requested = Tri::kYes;
  if (fiber.state != ModelFiber::kRunning) return cancelled_before_begin(number);
  interrupt(fiber);
}

void ModelFibers::interrupt(ModelFiber& fiber) {
  Frame* const frame = fiber.top();
  if (!frame || frame->state != Frame::kWaits || interrupted(*frame) != Tri::kYes) return;
  if (gone(*frame)) return;
  // Between two stages it does not wait, and may be done before it would again.
  if (frame->in_stages && frame->final.kind != Outcome::kCancelled) return;
  abort(*frame, {Outcome::kCancelled});
}

// ---- Failures that nobody takes -----------------------------------------------------------------

bool ModelFibers::failed(const Outcome& outcome) {
  return outcome.thrown() && outcome.kind != Outcome::kCancelled;
}

void ModelFibers::tell(int number, const Outcome& failure) {
  ModelFiber& fiber = at(number);
  bool leaves_scope = fiber.flying.has_value();
  const Frame* innermost = nullptr;
  for (const auto& frame : fiber.frames) {
    const Do what = frame->step.what;
    if (expires(*frame) || what == Do::kShield || what == Do::kGroupBody) {
      innermost = frame.get();
      leaves_scope = fiber.flying.has_value();
    }
    if (unwinds(*frame)) leaves_scope = true;
  }
  if (!leaves_scope || fiber.kept) return unhandled_.push_back(failure);
  fiber.kept = failure;
  fiber.kept_in = innermost;
}

Outcome ModelFibers::leave(ModelFiber& fiber, const Frame* scope, Outcome outcome) {
  if (!fiber.kept || fiber.kept_in != scope) return outcome;
  const Outcome kept = *std::exchange(fiber.kept, {});
  if (outcome.kind == Outcome::kCancelled) return kept;
  unhandled_.push_back(kept);
  return outcome;
}

// ---- Waits --------------------------------------------------------------------------------------

void ModelFibers::decide(Frame& frame, Outcome outcome) {
  if (frame.whole) return decide(*frame.whole, outcome_of_whole(frame, outcome));
  leave_queue(frame);
  frame.state = Frame::kDecided;
  frame.expected = outcome;
  frame.decided_at = now_;
}

void ModelFibers::leave_queue(Frame& frame) {
  if (frame.queue) std::erase(*frame.queue, &frame);
  frame.queue = nullptr;
  for (const auto& part : frame.parts) leave_queue(*part);
}

void ModelFibers::wait(Frame& frame, Waiting* queue) {
  if (frame.whole) return void(frame.queue = queue);  // see enlist_parts()
  frame.state = Frame::kWaits;
  const Tri cut = interrupted(frame);
  if (cut == Tri::kYes || (cut == Tri::kMaybe && frame.final.kind == Outcome::kCancelled)) {
    frame.unsure = cut == Tri::kMaybe;
    return abort(frame, {Outcome::kCancelled});
  }
  if (!queue) return;
  frame.queue = queue;
  frame.place = ++places_;
  queue->push_back(&frame);
}

// No case of a select() can be done at once.
void ModelFibers::enlist_parts(Frame& whole) {
  wait(whole, nullptr);
  if (whole.state != Frame::kWaits) return;
  for (const auto& part : whole.parts) {
    part->place = ++places_;
    part->queue->push_back(part.get());
  }
}

void ModelFibers::abort(Frame& frame, Outcome outcome) {
  leave_queue(frame);
  if (!abort_specially(frame, outcome)) decide(frame, outcome);
}

// Ends the wait if the record says that it was over, and it may have been.
bool ModelFibers::gone(Frame& frame) {
  if (frame.whole) return gone(*frame.whole);
  if (frame.state != Frame::kWaits) return false;
  if (frame.final.kind == Outcome::kCancelled && interrupted(frame) != Tri::kNo) {
    abort(frame, {Outcome::kCancelled});
    return true;
  }
  if (frame.deadline <= now_ && frame.final.kind == frame.late.kind) {
    abort(frame, frame.late);
    return true;
  }
  return false;
}

Frame* ModelFibers::claim(Waiting& queue) { return claim(queue, key_of({})); }

Frame* ModelFibers::claim(Waiting& queue, const Key& key) {
  for (Frame* const frame : Waiting(queue)) gone(*frame);
  if (queue.empty()) return nullptr;
  Frame* const found = first_of(queue, key);
  leave_queue(*found);
  return found;
}

Frame* ModelFibers::first_of(Waiting& queue, const Key& key) {
  Frame* found = queue.front();
  for (Frame* const other : queue) {
    const bool together = other->parked > 0 && other->parked == found->parked;
    if (together && key(*other) < key(*found)) found = other;
  }
  if (found != queue.front()) {
    std::swap(found->place, queue.front()->place);
    queue.remove(found);
    queue.push_front(found);
  }
  return found;
}

ModelFibers::Key ModelFibers::key_of(const Outcome& outcome) const {
  return [this, outcome](const Frame& frame) {
    return ends_[frame.begin] + (frame.final == outcome ? 0 : record_.size());
  };
}

void ModelFibers::wake_all(Waiting& queue, Outcome outcome) {
  while (Frame* const frame = claim(queue)) decide(*frame, outcome);
}

// ---- Time ---------------------------------------------------------------------------------------

void ModelFibers::advance(std::int64_t time) {
  if (time < now_) fail("time went back");
  if (now_ < time) look_all();
  while (now_ < time) {
    finish_moment();
    const std::int64_t next = next_deadline();
    if (next > time) fail("the clock stopped where nothing was due");
    now_ = next;
    settle();
    expire();
  }
}

void ModelFibers::finish_time() {
  look_all();
  finish_moment();
}

// What a deadline ends may have children to end, which is done before the clock goes on, too.
void ModelFibers::finish_moment() {
  settle();
  expire();
  settle();
  require_rest();
}

// Everything whose deadline has come.
void ModelFibers::expire() {
  for (ModelFiber& fiber : fibers_) {
    if (fiber.state == ModelFiber::kPending && fiber.begins_at <= now_ && !fiber.over) {
      fiber.state = ModelFiber::kReady;
    }
    for (const auto& frame : fiber.frames) {
      if (expires(*frame) && frame->deadline <= now_) frame->expired = Tri::kYes;
    }
    Frame* const frame = fiber.top();
    if (!frame || frame->state != Frame::kWaits) continue;
    const bool cut = interrupted(*frame) == Tri::kYes;
    const bool late = frame->deadline <= now_;
    if (cut && (!late || frame->final.kind == Outcome::kCancelled)) {
      abort(*frame, {Outcome::kCancelled});
    } else if (late) {
      abort(*frame, frame->late);
    }
  }
}

// Nothing can run.
void ModelFibers::require_rest() const {
  for (std::size_t i = 0; i < fibers_.size(); ++i) {
    const ModelFiber& fiber = fibers_[i];
    const std::string who = name(static_cast<int>(i));
    if (fiber.state == ModelFiber::kReady) fail(who, " is ready, but does not begin");
    if (fiber.state != ModelFiber::kRunning) continue;
    const Frame* const frame = fiber.top();
    if (!frame || frame->state <= Frame::kLooksLater) fail(who, " runs, but does not go on");
    if (frame->state == Frame::kDecided) {
      fail(who, " does not go on, though its ", to_string(frame->step), " should be ",
           to_string(frame->expected));
    }
    if (interrupted(*frame) == Tri::kYes) {
      fail(who, " is cancelled, but waits on in ", to_string(frame->step));
    }
  }
  check_quiet();
}

std::int64_t ModelFibers::next_deadline() const {
  std::int64_t next = kNever;
  const auto consider = [&](std::int64_t time) {
    if (time > now_) next = std::min(next, time);
  };
  for (const ModelFiber& fiber : fibers_) {
    if (fiber.state == ModelFiber::kPending && !fiber.over) consider(fiber.begins_at);
    for (const auto& frame : fiber.frames) {
      if (frame->state != Frame::kDecided) consider(frame->deadline);
    }
  }
  return next;
}

}  // namespace weft::test
