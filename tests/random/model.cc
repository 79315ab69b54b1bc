#include "tests/random/model.h"

#include <memory>
#include <utility>

#include "tests/random/model_groups.h"

namespace weft::test {
namespace {

// Scopes, and the run through the record.
class Model : public ModelGroups {
 public:
  using ModelGroups::ModelGroups;

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
    if (eager_ && entry.type != Entry::kParked) {
      if (entry.fiber != *eager_) fail(name(*eager_), " does not start at once");
      eager_.reset();
    }
    const bool aside = entry.type == Entry::kUnhandled || entry.type == Entry::kFiberEnd ||
                       entry.type == Entry::kParked;
    if (direct_ && !aside) {
      if (entry.fiber != *direct_) fail(name(*direct_), " lets others run, but need not wait");
      direct_.reset();
    }
    switch (entry.type) {
      case Entry::kBegin:
        return begin(entry);
      case Entry::kParked:
        return park(at(entry.fiber).top());
      case Entry::kEnd:
        return end(entry);
      case Entry::kFiberBegin:
        return begin_fiber(entry);
      case Entry::kFiberEnd:
        return end_fiber(entry.fiber, entry.outcome);
      case Entry::kUnhandled:
        direct_.reset();  // the handler runs in the fiber that failed, and others may before that
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
    check_locks();
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
    hold_future(*fiber.frames.back());
    set_deadline(*fiber.frames.back());
    if (may_look_later(entry.step.what) && ends_[index_] != index_ + 1) {
      fiber.frames.back()->state = Frame::kLooksLater;
      return;
    }
    begin(*fiber.frames.back());
    const Frame& begun = *fiber.frames.back();
    const Do what = begun.step.what;
    const bool others_first = what == Do::kYield || waits_for_condition(what) || begun.step.eager;
    // Whether a cancellation came before the wait or in it may be open.
    const bool cut = begun.expected.kind == Outcome::kCancelled;
    if (begun.state == Frame::kDecided && !others_first && !cut) direct_ = entry.fiber;
  }

  // It has looked, and waits. Where several do so after one event, their order is open.
  void park(Frame* waits) {
    if (!waits) fail("it waits in no step");
    Frame& frame = *waits;
    if (!may_look_later(frame.step.what)) return;
    if (frame.state != Frame::kLooksLater) fail("it waits, but should not");
    frame.state = Frame::kRuns;
    begin(frame);
    if (frame.state != Frame::kWaits && !frame.expected.thrown()) fail("it waits, but need not");
    frame.parked = index_;
    while (record_[frame.parked - 1].type == Entry::kParked) --frame.parked;
    for (const auto& part : frame.parts) part->parked = frame.parked;
  }

  // Without having waited, or not for long: it does what it does now.
  void look(Frame& frame) {
    if (frame.state != Frame::kLooksLater) return;
    frame.state = Frame::kRuns;
    const bool cut = frame.final.kind == Outcome::kCancelled && interrupted(frame) != Tri::kNo;
    const bool late = frame.final.kind == frame.late.kind && frame.deadline <= now_;
    // It may have had to wait before.
    cut || late ? decide(frame, frame.final) : begin(frame);
  }

  void look_all() override {
    for (ModelFiber& fiber : fibers_) {
      if (Frame* const frame = fiber.top()) look(*frame);
    }
  }

  void begin(Frame& frame) {
    const Do what = frame.step.what;
    if (what <= Do::kThrowSaved) return begin_simple(frame);
    if (what <= Do::kJoinQueue) return begin_queue(frame);
    if (what <= Do::kUnlockShared) return begin_lock(frame);
    if (what <= Do::kNotifyAll) return begin_condition(frame);
    if (what <= Do::kArrive) return begin_signal(frame);
    if (what == Do::kSelect) return begin_select(frame);
    if (what <= Do::kDropFuture) return begin_future(frame);
    if (what <= Do::kRemoveCallback) return begin_callback(frame);
    if (what <= Do::kDetach) return begin_task(frame);
    if (what <= Do::kCancelCall) return begin_call(frame);
    if (what <= Do::kStep) return begin_tasks(frame);
    if (what <= Do::kGatherAll) return begin_group(frame);
    begin_scope(frame);
  }

  void set_deadline(Frame& frame) {
    const Do what = frame.step.what;
    if (waits_for_a_time(frame.step)) frame.deadline = now_ + frame.step.time;
    const bool several = what >= Do::kWaitAll && what <= Do::kWaitFirstException;
    if (several || what == Do::kSleep) frame.late = {};
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
      case Do::kSelect:
        return step.time >= 0;
      default:
        return false;
    }
  }

  void begin_simple(Frame& frame) {
    if (frame.step.what == Do::kThrow) return decide(frame, {Outcome::kFailure, frame.step.number});
    if (frame.step.what == Do::kThrowSaved) return decide(frame, *saved_);
    if (frame.step.what == Do::kSave) {
      saved_ = handled(at(frame.fiber));
      return decide(frame, {});
    }
    // Cancellation points both, in any case.
    if (frame.step.what == Do::kYield) return decide(frame, {});
    wait(frame, nullptr);
  }

  // Others have run, and may have cancelled it. It looks at the clock, too.
  Outcome end_of_yield(const Frame& frame) {
    ModelFiber& fiber = at(frame.fiber);
    Tri cut = interrupted(frame);
    if (cut == Tri::kMaybe && fiber.requested != Tri::kMaybe) {
      cut = Tri::kYes;
      expire_those_due(fiber);
    }
    const bool open = cut == Tri::kMaybe && frame.final.kind == Outcome::kCancelled;
    return {cut == Tri::kYes || open ? Outcome::kCancelled : Outcome::kOk};
  }

  void end(const Entry& entry) {
    ModelFiber& fiber = at(entry.fiber);
    Frame* const frame = fiber.top();
    if (!frame || !(frame->step == entry.step)) fail("an end without a beginning");
    look(*frame);
    if (frame->state == Frame::kRuns) end_scope(*frame);
    settle(*frame);
    if (frame->state == Frame::kWaits && !gone(*frame)) {
      fail("it returns, though it has to wait");
    }
    if (frame->state != Frame::kDecided) fail("it returns too early");
    refine(*frame);
    if (entry.step.what == Do::kYield) frame->expected = end_of_yield(*frame);
    if (!(frame->expected == entry.outcome)) fail("it should be ", to_string(frame->expected));
    if (frame->decided_at != now_) fail("at the wrong time");
    end_object(*frame);
    end_task(*frame);
    end_group(*frame);
    const bool caught = frame->step.caught && entry.outcome.kind != Outcome::kCancelled;
    const bool flies = entry.outcome.thrown() && !caught;
    const bool destructor = frame->step.what == Do::kDestructor;
    const bool body = frame->step.what == Do::kGroupBody;
    fiber.flying =
        flies && !destructor && !body ? std::optional(entry.outcome) : frame->flying_before;
    if (body) {
      end_body(*frame);
      if (fiber.frames[fiber.frames.size() - 2]->state == Frame::kDecided) direct_ = entry.fiber;
    }
    const auto ended = std::move(fiber.frames.back());
    fiber.frames.pop_back();
    end_future(*ended);
  }

  // Up to the first shield.
  static void expire_those_due(ModelFiber& fiber) {
    for (std::size_t i = fiber.frames.size(); i > 0; --i) {
      Frame& scope = *fiber.frames[i - 1];
      if (scope.expired == Tri::kMaybe) scope.expired = Tri::kYes;
      if (scope.shielded) return;
    }
  }

  // What the innermost handler handles.
  static Outcome handled(const ModelFiber& fiber) {
    std::size_t handler = fiber.frames.size() - 1;
    while (handler > 0 && fiber.frames[handler]->step.what != Do::kHandler) --handler;
    if (handler == 0) fail("no exception is being handled");
    return *fiber.frames[handler - 1]->kept;
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
      case Do::kScope:
        if (frame.step.time >= 0) frame.deadline = now_ + frame.step.time;
        return;
      case Do::kMoveDeadline:
      case Do::kCancelScope:
      case Do::kShieldOn:
      case Do::kShieldOff:
        return change_scope(frame);
      case Do::kShield:
        frame.shielded = true;
        return;
      case Do::kHandler:
        fiber.frames[fiber.frames.size() - 2]->kept = std::exchange(fiber.flying, {});
        frame.flying_before = {};
        return;
      case Do::kDestructor:
        if (fiber.flying.has_value() != (frame.step.number > 0)) {
          fail("std::uncaught_exceptions() is that of somebody else");
        }
        fiber.flying = {};
        return;
      case Do::kGroupBody:
        return begin_body(frame);
      default:
        return;
    }
    if (frame.deadline <= now_) frame.expired = Tri::kMaybe;
  }

  // The kScope of this number, if a fiber is in it.
  Frame* scope_of(const Step& step) {
    for (ModelFiber& fiber : fibers_) {
      for (const auto& frame : fiber.frames) {
        if (frame->step.what == Do::kScope && frame->step.object == step.object) return frame.get();
      }
    }
    return nullptr;
  }

  void change_scope(Frame& frame) {
    const Step& step = frame.step;
    Frame* const scope = scope_of(step);
    decide(frame, {scope ? Outcome::kOk : Outcome::kNo});
    if (!scope) return;
    if (step.what == Do::kCancelScope) {
      scope->expired = Tri::kYes;
    } else if (step.what != Do::kMoveDeadline) {
      scope->shielded = step.what == Do::kShieldOn;
    } else if (scope->expired == Tri::kNo) {
      scope->deadline = step.time < 0 ? kNever : now_ + step.time;
      if (step.time == 0) scope->expired = Tri::kYes;
    }
    interrupt(at(scope->fiber));
  }

  void end_scope(Frame& frame) {
    ModelFiber& fiber = at(frame.fiber);
    if (frame.step.what == Do::kWithGroup) fail("it ends before its body");
    Outcome outcome = fiber.flying.value_or(Outcome{});
    if (frame.step.what == Do::kGroupBody) return decide(frame, outcome);  // see end_body()
    outcome = leave(fiber, &frame, outcome);
    if (outcome.kind == Outcome::kCancelled && frame.expired != Tri::kNo) {
      const Outcome own{frame.step.what == Do::kScope ? Outcome::kNo : Outcome::kTimeoutError};
      const Tri outer = frame.shielded ? Tri::kNo : cancelled(fiber, fiber.frames.size() - 1);
      const bool open = frame.expired == Tri::kMaybe || outer == Tri::kMaybe;
      const bool caused =
          open && outer != Tri::kYes ? frame.final.kind == own.kind : outer == Tri::kNo;
      if (caused) outcome = own;
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
