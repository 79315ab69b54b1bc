#include "tests/random/model.h"

#include <memory>
#include <utility>

#include "tests/random/model_tasks.h"

namespace weft::test {
namespace {

// Scopes, and the run through the record.
class Model : public ModelTasks {
 public:
  using ModelTasks::ModelTasks;

  std::optional<Violation> check() {
    at(0).state = ModelFiber::kReady;
    try {
      for (index_ = 0; index_ < record_.size(); ++index_) {
        if (record_[index_].type != Entry::kLeft) advance(record_[index_].at);
        take(record_[index_]);
      }
      check_end();
    } catch (const Broken& broken) {
      return Violation{index_, broken.what()};
    }
    return {};
  }

 private:
  void take(const Entry& entry) {
    if (eager_ && entry.fiber != *eager_) fail(name(*eager_), " does not start at once");
    eager_.reset();
    const bool aside = entry.type == Entry::kUnhandled || entry.type == Entry::kFiberEnd;
    if (direct_ && !aside) {
      if (entry.fiber != *direct_) fail(name(*direct_), " lets others run, but need not wait");
      direct_.reset();
    }
    switch (entry.type) {
      case Entry::kBegin:
        return begin(entry);
      case Entry::kEnd:
        return end(entry);
      case Entry::kFiberBegin:
        return begin_fiber(entry);
      case Entry::kFiberEnd:
        return end_fiber(entry.fiber, entry.outcome);
      case Entry::kUnhandled:
        return take_unhandled(entry.outcome);
      case Entry::kLeft:
        if (!std::exchange(all_ended_, true)) check_end();
        return check_left(entry);
    }
  }

  void check_end() {
    finish_time();
    for (std::size_t i = 0; i < fibers_.size(); ++i) {
      const auto state = fibers_[i].state;
      if (state != ModelFiber::kUnborn && state != ModelFiber::kEnded) {
        fail(name(static_cast<int>(i)), " is left");
      }
    }
  }

  void check_quiet() const override {
    check_mutexes();
    if (!unhandled_.empty()) fail("the exception handler does not get ", to_string(unhandled_[0]));
  }

  // ---- Steps ----

  void begin(const Entry& entry) {
    ModelFiber& fiber = at(entry.fiber);
    if (fiber.state != ModelFiber::kRunning) fail("it does not run");
    if (const Frame* outer = fiber.top()) {
      if (outer->state != Frame::kRuns) fail("it should wait in ", to_string(outer->step));
    }
    auto frame = std::make_unique<Frame>();
    frame->step = entry.step;
    frame->fiber = entry.fiber;
    frame->begin = index_;
    frame->flying_before = fiber.flying;
    if (ends_[index_] < record_.size()) frame->final = record_[ends_[index_]].outcome;
    fiber.frames.push_back(std::move(frame));
    begin(*fiber.frames.back());
    const Frame& begun = *fiber.frames.back();
    const Do what = begun.step.what;
    const bool others_first = what == Do::kYield || what == Do::kWaitCondition ||
                              what == Do::kWaitConditionFor || begun.step.eager;
    // Whether a cancellation came before the wait or in it may be open.
    const bool cut = begun.expected.kind == Outcome::kCancelled;
    if (begun.state == Frame::kDecided && !others_first && !cut) direct_ = entry.fiber;
  }

  void begin(Frame& frame) {
    const Do what = frame.step.what;
    if (waits_for_a_time(frame.step)) frame.deadline = now_ + frame.step.time;
    if (what <= Do::kThrow) return begin_simple(frame);
    if (what <= Do::kJoinQueue) return begin_queue(frame);
    if (what <= Do::kUnlockShared) return begin_lock(frame);
    if (what <= Do::kNotifyAll) return begin_condition(frame);
    if (what <= Do::kArrive) return begin_signal(frame);
    if (what <= Do::kBreakPromise) return begin_future(frame);
    if (what <= Do::kRemoveCallback) return begin_callback(frame);
    if (what <= Do::kDetach) return begin_task(frame);
    if (what <= Do::kCancelCall) return begin_call(frame);
    if (what <= Do::kStep) return begin_tasks(frame);
    if (what <= Do::kGather) return begin_group(frame);
    begin_scope(frame);
  }

  static bool waits_for_a_time(const Step& step) {
    switch (step.what) {
      case Do::kSleep:
      case Do::kTryPushFor:
      case Do::kTryPopFor:
      case Do::kTryLockFor:
      case Do::kTryLockSharedFor:
      case Do::kWaitConditionFor:
      case Do::kTryAcquireFor:
      case Do::kWaitEventFor:
      case Do::kWaitFutureFor:
      case Do::kWaitFor:
        return true;
      case Do::kWaitAll:
      case Do::kWaitFirst:
      case Do::kWaitFirstException:
        return step.time >= 0;
      default:
        return false;
    }
  }

  void begin_simple(Frame& frame) {
    if (frame.step.what == Do::kThrow) return decide(frame, {Outcome::kFailure, frame.step.number});
    // Cancellation points both, in any case.
    if (frame.step.what == Do::kSleep) {
      frame.late = {};
      return wait(frame, nullptr);
    }
    wait(frame, nullptr);
    if (frame.state == Frame::kWaits) decide(frame, {});
  }

  void end(const Entry& entry) {
    ModelFiber& fiber = at(entry.fiber);
    Frame* const frame = fiber.top();
    if (!frame || !(frame->step == entry.step)) fail("an end without a beginning");
    if (frame->state == Frame::kRuns) end_scope(*frame);
    settle(*frame);
    if (frame->state == Frame::kWaits && !gone(*frame)) {
      fail("it returns, though it has to wait");
    }
    if (frame->state != Frame::kDecided) fail("it returns too early");
    refine(*frame);
    if (!(frame->expected == entry.outcome)) fail("it should be ", to_string(frame->expected));
    if (frame->decided_at != now_) fail("at the wrong time");
    end_object(*frame);
    end_task(*frame);
    const bool caught = frame->step.caught && entry.outcome.kind != Outcome::kCancelled;
    const bool flies = entry.outcome.thrown() && !caught;
    const bool destructor = frame->step.what == Do::kDestructor;
    if (destructor && fiber.unwinding > 0) --fiber.unwinding;
    fiber.flying = flies && !destructor ? std::optional(entry.outcome) : frame->flying_before;
    fiber.frames.pop_back();
  }

  // ---- Scopes ----

  void begin_scope(Frame& frame) {
    ModelFiber& fiber = at(frame.fiber);
    switch (frame.step.what) {
      case Do::kTimeout:
        frame.deadline = now_ + frame.step.time;
        break;
      case Do::kDeadline:
        frame.deadline = frame.step.time;
        break;
      case Do::kHandler:
        fiber.frames[fiber.frames.size() - 2]->kept = std::exchange(fiber.flying, {});
        frame.flying_before = {};
        return;
      case Do::kDestructor:
        if (fiber.flying.has_value() != (frame.step.number > 0)) {
          fail("std::uncaught_exceptions() is that of somebody else");
        }
        fiber.unwinding += frame.step.number > 0;
        fiber.flying = {};
        return;
      default:
        return;
    }
    if (frame.deadline <= now_) frame.expired = Tri::kMaybe;
  }

  void end_scope(Frame& frame) {
    ModelFiber& fiber = at(frame.fiber);
    Outcome outcome = fiber.flying.value_or(Outcome{});
    if (outcome.kind == Outcome::kCancelled && frame.expired != Tri::kNo) {
      const Tri outer = cancelled(fiber, fiber.frames.size() - 1);
      const bool open = frame.expired == Tri::kMaybe || outer == Tri::kMaybe;
      const bool caused = open && outer != Tri::kYes ? frame.final.kind == Outcome::kTimeoutError
                                                     : outer == Tri::kNo;
      if (caused) outcome = {Outcome::kTimeoutError};
    }
    if (frame.step.what == Do::kTry && !fiber.flying && frame.kept && frame.step.rethrow) {
      outcome = *frame.kept;
    }
    decide(frame, outcome);
  }

  std::optional<int> direct_;  // does not wait in its step
  bool all_ended_ = false;
};

}  // namespace

std::optional<Violation> check(const Program& program, const Record& record) {
  return Model(program, record).check();
}

}  // namespace weft::test
