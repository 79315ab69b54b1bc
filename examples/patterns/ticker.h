// A fixed rate without drift: Go's time.Ticker, tokio's interval.
#ifndef WEFT_EXAMPLES_PATTERNS_TICKER_H_
#define WEFT_EXAMPLES_PATTERNS_TICKER_H_

#include <algorithm>
#include <stdexcept>

#include "weft/weft.h"

namespace patterns {

// If the caller comes back late, the first tick that it has missed comes at once. What becomes of
// the further ones:
enum class Missed {
  kSkip,   // they are dropped: the next tick is the first of the old rhythm that is still to come
  kBurst,  // they come at once, one after another, until it has caught up
  kDelay   // they are dropped: the next tick is a period from now, and so on
};

// Ticks a period after it was made, two periods after that, and so on, however long the work in
// between takes.
//
//   patterns::Ticker ticker(1s);
//   for (;;) {
//     ticker.wait();
//     report(queue.size());
//   }
//
// There is no fiber behind it: a tick is a sleep of the caller. For one fiber or plain thread at a
// time.
class Ticker {
 public:
  // The first tick is a period from now. Throws std::invalid_argument if the period is not
  // positive.
  explicit Ticker(weft::AnyDuration period, Missed missed = Missed::kSkip)
      : period_(period), missed_(missed) {
    if (period <= weft::Duration::zero()) {
      throw std::invalid_argument("patterns::Ticker: the period is not positive");
    }
    next_ = after(weft::now());
  }

  // Waits for the next tick, and returns when it was due. A cancellation point also if that time
  // has passed. A call that is cancelled has not taken the tick.
  weft::TimePoint wait() {
    weft::sleep_until(next_);
    const weft::TimePoint due = next_;
    const weft::TimePoint now = weft::now();
    next_ = after(due);
    if (next_ > now || missed_ == Missed::kBurst) return due;
    next_ = after(missed_ == Missed::kDelay ? now : now - (now - due) % period_);
    return due;
  }

  // When the next tick is due. For one of several waits, take it with wait() afterwards:
  // weft::select(weft::on_pop(jobs, job), weft::after(ticker.next() - weft::now())).
  weft::TimePoint next() const noexcept { return next_; }

 private:
  // A period later, or never if that does not fit.
  weft::TimePoint after(weft::TimePoint time) const noexcept {
    return time + std::min(period_, weft::kForever - time);
  }

  const weft::Duration period_;
  const Missed missed_;
  weft::TimePoint next_;
};

}  // namespace patterns

#endif  // WEFT_EXAMPLES_PATTERNS_TICKER_H_
