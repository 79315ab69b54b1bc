// A token bucket: at most `rate` a second on average, and at most `burst` at once.
#ifndef WEFT_EXAMPLES_PATTERNS_RATE_LIMITER_H_
#define WEFT_EXAMPLES_PATTERNS_RATE_LIMITER_H_

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <stdexcept>

#include "weft/weft.h"

namespace patterns {

// Holds back its callers so that they keep to a rate.
//
//   patterns::RateLimiter limiter(100, 20);  // 100 a second, 20 at once after a pause
//   for (const Url& url : urls) {
//     limiter.acquire();
//     group.spawn([&] { fetch(url); });
//   }
//
// Fair: first come, first served; a caller that wants many tokens is not overtaken by those that
// want few. The bucket is full at first.
//
// Threads: fibers of any scheduler and plain threads, at once; a thread that waits blocks.
class RateLimiter {
 public:
  // `rate` is per second. Throws std::invalid_argument if the burst is not positive, the rate not
  // positive or more than 1e9, or if the bucket would take more than 1e9 s to fill.
  RateLimiter(double rate, std::int64_t burst) : rate_(rate), burst_(burst) {
    if (burst <= 0) throw std::invalid_argument("patterns::RateLimiter: the burst is not positive");
    if (!(rate > 0 && rate <= 1e9 && static_cast<double>(burst) / rate <= 1e9)) {
      throw std::invalid_argument("patterns::RateLimiter: the rate is out of range");
    }
  }
  RateLimiter(const RateLimiter&) = delete;
  RateLimiter& operator=(const RateLimiter&) = delete;

  // Waits until there are n tokens, and takes them. A cancellation point if it has to wait: a
  // caller that is cancelled has taken none, and the next one moves up. Throws
  // std::invalid_argument if n is negative, or more than the bucket holds.
  void acquire(std::int64_t n = 1) {
    check(n);
    const std::lock_guard turn(turn_);
    const weft::TimePoint then = when(n);
    if (then > weft::now()) weft::sleep_until(then);
    take(n);
  }

  // Takes n tokens if they are there and no caller waits for some. Returns whether it has. Does not
  // wait. May overtake a caller whose turn has just come and that has not run since. Throws as
  // acquire().
  bool try_acquire(std::int64_t n = 1) {
    check(n);
    const std::unique_lock turn(turn_, std::try_to_lock);
    if (!turn || when(n) > weft::now()) return false;
    take(n);
    return true;
  }

 private:
  void check(std::int64_t n) const {
    if (n < 0 || n > burst_) {
      throw std::invalid_argument("patterns::RateLimiter: so many tokens never come together");
    }
  }

  // How long n tokens take to come. Rounded up to nanoseconds: not faster than the rate.
  weft::Duration time_for(std::int64_t n) const {
    return weft::AnyDuration(std::chrono::duration<double>(static_cast<double>(n) / rate_));
  }

  // When n tokens are there: when all but burst - n are.
  weft::TimePoint when(std::int64_t n) const { return full_at_ - time_for(burst_ - n); }
  void take(std::int64_t n) { full_at_ = std::max(full_at_, weft::now()) + time_for(n); }

  const double rate_;
  const std::int64_t burst_;
  // Its holder is the caller whose turn it is. It sleeps until there are enough tokens for it; the
  // others queue up for the mutex, which is fair, and may be cancelled there.
  weft::Mutex turn_;
  weft::TimePoint full_at_;  // when the bucket will be full; in the past if it is
};

}  // namespace patterns

#endif  // WEFT_EXAMPLES_PATTERNS_RATE_LIMITER_H_
