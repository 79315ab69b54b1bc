#ifndef WEFT_TESTS_RANDOM_RECORDER_H_
#define WEFT_TESTS_RANDOM_RECORDER_H_

#include <cstdint>
#include <utility>

#include "tests/random/interpreter.h"
#include "tests/random/record.h"
#include "tests/random/shared_objects.h"
#include "weft/weft.h"

namespace weft::test {

// Notes what happens, as it happens.
class Recorder {
 public:
  // In the first fiber: time counts from now on.
  void start() { start_ = now(); }
  TimePoint started_at() const { return start_; }

  void note(Entry entry) {
    if (Scheduler::current_or_null()) last_ = (now() - start_).count();
    entry.at = last_;
    record_.push_back(entry);
  }

  // A step of this fiber: f() does it, and returns how it ended or throws.
  template <class F>
  void step(int fiber, const Step& step, F f) {
    note({Entry::kBegin, fiber, 0, step});
    Outcome outcome;
    try {
      outcome = f();
    } catch (...) {
      outcome = caught_outcome();
      note({Entry::kEnd, fiber, 0, step, outcome});
      if (!step.caught || outcome.kind == Outcome::kCancelled) throw;
      return;
    }
    note({Entry::kEnd, fiber, 0, step, outcome});
  }

  Record take() { return std::move(record_); }

 private:
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
    try {
      interpreter_.live(fiber_);
    } catch (...) {
      outcome_ = caught_outcome();
      throw;
    }
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
