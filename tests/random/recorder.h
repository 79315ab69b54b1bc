#ifndef WEFT_TESTS_RANDOM_RECORDER_H_
#define WEFT_TESTS_RANDOM_RECORDER_H_

#include <cstdint>
#include <map>
#include <utility>

#include "tests/random/interpreter.h"
#include "tests/random/record.h"
#include "tests/random/shared_objects.h"
#include "weft/fiber/core/home.h"
#include "weft/fiber/core/running.h"
#include "weft/weft.h"

namespace weft::test {

using namespace internal;

// Notes what happens, as it happens.
class Recorder {
 public:
  // In the first fiber: time counts from now on.
  void start() { start_ = now(); }
  TimePoint started_at() const { return start_; }

  void note(Entry entry) {
    note_parked();
    if (Home::here()) last_ = (now() - start_).count();
    entry.at = last_;
    record_.push_back(entry);
  }

  // Notes the fibers that have begun to wait since the last entry.
  void note_parked() {
    for (auto& [fiber, life] : lives_) {
      if (!life.looks || !life.self->waiter) continue;
      life.looks = false;
      record_.push_back({Entry::kParked, fiber, last_});
    }
  }

  // The calling fiber is this one, until it ends.
  void enter(int fiber) { lives_[fiber].self = current_fiber(); }
  void leave(int fiber) { lives_.erase(fiber); }

  // A step of this fiber: f() does it, and returns how it ended or throws.
  template <class F>
  void step(int fiber, const Step& step, F f) {
    if (before_step) before_step();
    note({Entry::kBegin, fiber, 0, step});
    lives_[fiber].looks = tells_that_it_waits(step.what);
    Outcome outcome;
    try {
      outcome = f();
    } catch (...) {
      outcome = caught_outcome();
      lives_[fiber].looks = false;
      note({Entry::kEnd, fiber, 0, step, outcome});
      if (!step.caught || outcome.kind == Outcome::kCancelled) throw;
      return;
    }
    lives_[fiber].looks = false;
    note({Entry::kEnd, fiber, 0, step, outcome});
  }

  Record take() { return std::move(record_); }

  // Called before each step of each fiber, if set. It may not change what they do.
  static inline void (*before_step)() = nullptr;

 private:
  struct Life {
    const Fiber* self = nullptr;
    bool looks = false;  // in a step that tells that it waits, and has not told yet
  };

  std::map<int, Life> lives_;
  Record record_;
  TimePoint start_{};
  std::int64_t last_ = 0;
};

// The callable of a fiber, which interpreter.live(fiber) does. Notes its begin, and its end when it
// is destroyed, begun or not.
template <class Interpreter>
class FiberBody {
 public:
  FiberBody(Recorder& recorder, Interpreter& interpreter, int fiber)
      : recorder_(&recorder), interpreter_(interpreter), fiber_(fiber) {}
  FiberBody(FiberBody&& other) noexcept
      : recorder_(std::exchange(other.recorder_, nullptr)),
        interpreter_(other.interpreter_),
        fiber_(other.fiber_) {}
  ~FiberBody() {
    if (recorder_) recorder_->note({Entry::kFiberEnd, fiber_, 0, {}, outcome_});
  }

  std::int64_t operator()() {
    recorder_->note({Entry::kFiberBegin, fiber_});
    recorder_->enter(fiber_);
    try {
      interpreter_.live(fiber_);
    } catch (...) {
      recorder_->leave(fiber_);
      outcome_ = caught_outcome();
      throw;
    }
    recorder_->leave(fiber_);
    outcome_ = {Outcome::kOk, result_of(fiber_)};
    return result_of(fiber_);
  }

 private:
  Recorder* recorder_;
  Interpreter& interpreter_;
  const int fiber_;
  Outcome outcome_{Outcome::kNeverBegan};
};

}  // namespace weft::test

#endif  // WEFT_TESTS_RANDOM_RECORDER_H_
