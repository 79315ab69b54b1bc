#ifndef WEFT_FIBER_TIME_H_
#define WEFT_FIBER_TIME_H_

#include <chrono>

namespace weft {

// The monotonic clock. Under virtual time its readings come from a Port, not from the machine.
using Clock = std::chrono::steady_clock;

// Nanoseconds, signed. Every duration of weft's interface is one of these: coarser units convert.
using Duration = std::chrono::nanoseconds;

using TimePoint = std::chrono::time_point<Clock, Duration>;

// Deadlines: never, and at once.
inline constexpr TimePoint kForever = TimePoint::max();
inline constexpr TimePoint kPast = TimePoint::min();

// `now + wait`, or kForever where that does not fit.
// Throws std::invalid_argument, naming `caller`, if `wait` is negative.
TimePoint deadline_after(TimePoint now, Duration wait, const char* caller);

}  // namespace weft

#endif  // WEFT_FIBER_TIME_H_
