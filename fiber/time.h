#ifndef WEFT_FIBER_TIME_H_
#define WEFT_FIBER_TIME_H_

#include <chrono>
#include <concepts>
#include <cstdint>
#include <limits>
#include <numeric>
#include <type_traits>

namespace weft {

// The monotonic clock. Under virtual time its readings come from a Port, not from the machine.
using Clock = std::chrono::steady_clock;

// Nanoseconds, signed: some 292 years either way.
using Duration = std::chrono::nanoseconds;

using TimePoint = std::chrono::time_point<Clock, Duration>;

// Deadlines: never, and at once.
inline constexpr TimePoint kForever = TimePoint::max();
inline constexpr TimePoint kPast = TimePoint::min();

// Monotonic time: the scheduler's clock, which may be virtual; on a plain thread the machine's.
TimePoint now() noexcept;

namespace internal {

// `time` in nanoseconds. See AnyDuration.
template <class Rep, class Period>
constexpr Duration to_nanoseconds(const std::chrono::duration<Rep, Period>& time) noexcept;

// Converts a time of another clock, which now shows `now_there`: now() and the distance between the
// two. See AnyTimePoint.
TimePoint when_due(Duration time, Duration now_there) noexcept;

}  // namespace internal

// The durations that functions and options of weft take: a Duration to which any duration of
// <chrono> converts, whatever its unit, also one of a floating-point type.
//
//   weft::sleep_for(5s);
//   weft::sleep_for(std::chrono::duration<double>(0.25));
//   weft::sleep_for(std::chrono::hours::max());  // for ever
//
// What does not fit becomes Duration::max(), which as a wait means for ever, or Duration::min().
// Fractions of a nanosecond are rounded up, so that no wait ends early. Not-a-number counts as
// negative. Where the unit is a nanosecond this costs nothing. (A type of numbers that is not
// built in converts as <chrono> does it.)
class AnyDuration : public Duration {
 public:
  constexpr AnyDuration() noexcept : Duration(0) {}

  template <class Rep, class Period>
  requires std::is_arithmetic_v<Rep>
  constexpr AnyDuration(const std::chrono::duration<Rep, Period>& time) noexcept
      : Duration(internal::to_nanoseconds(time)) {}

  // From what converts to a Duration otherwise, such as a std::atomic of one.
  template <std::convertible_to<Duration> T>
  constexpr AnyDuration(const T& time) : Duration(static_cast<Duration>(time)) {}
};

// The same for points in time: a TimePoint to which any time point converts whose clock can be
// read.
//
// One of Clock is converted as a duration is: if it does not fit it becomes kForever or kPast. Any
// other clock, such as std::chrono::system_clock, is read once, at the call. The distance to the
// time is then waited for by weft's clock: setting the other clock does not change the wait.
//
//   weft::sleep_until(std::chrono::system_clock::now() + 1h);
class AnyTimePoint : public TimePoint {
 public:
  constexpr AnyTimePoint() = default;

  template <class Rep, class Period>
  requires std::is_arithmetic_v<Rep>
  constexpr AnyTimePoint(
      const std::chrono::time_point<Clock, std::chrono::duration<Rep, Period>>& time) noexcept
      : TimePoint(internal::to_nanoseconds(time.time_since_epoch())) {}

  template <class Other, class D>
  requires(!std::same_as<Other, Clock>) && requires { Other::now(); }
  AnyTimePoint(const std::chrono::time_point<Other, D>& time)
      : TimePoint(internal::when_due(AnyDuration(time.time_since_epoch()),
                                     AnyDuration(Other::now().time_since_epoch()))) {}

  // From what converts to a TimePoint otherwise, such as a std::atomic of one.
  template <std::convertible_to<TimePoint> T>
  constexpr AnyTimePoint(const T& time) : TimePoint(static_cast<TimePoint>(time)) {}
};

namespace internal {

// start + wait, or kForever if that does not fit. A negative duration counts as zero.
inline TimePoint deadline_after(TimePoint start, AnyDuration wait) noexcept {
  if (wait <= Duration::zero()) return start;
  return wait < kForever - start ? start + wait : kForever;
}
inline TimePoint deadline_within(AnyDuration wait) noexcept { return deadline_after(now(), wait); }

}  // namespace internal

// ---- Implementation -----------------------------------------------------------------------------

namespace internal {

template <class Rep, class Period>
constexpr Duration to_nanoseconds(const std::chrono::duration<Rep, Period>& time) noexcept {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t kSecond = 1'000'000'000;
  if constexpr (std::is_floating_point_v<Rep>) {
    using Real = std::conditional_t<std::is_same_v<Rep, long double>, long double, double>;
    constexpr Real kUnit = static_cast<Real>(Period::num) * kSecond / Period::den;
    const Real count = static_cast<Real>(time.count()) * kUnit;
    if (count >= static_cast<Real>(kMost)) return Duration::max();
    if (!(count >= static_cast<Real>(Duration::min().count()))) return Duration::min();
    const auto whole = static_cast<std::int64_t>(count);
    return Duration(static_cast<Real>(whole) < count ? whole + 1 : whole);
  } else {
    // A unit is kUp / kDown nanoseconds, without a common factor.
    __extension__ typedef __int128 Wide;
    constexpr std::int64_t kCommon = std::gcd(std::int64_t{Period::den}, kSecond);
    constexpr Wide kUp = Wide{Period::num} * (kSecond / kCommon);
    constexpr Wide kDown = Period::den / kCommon;
    constexpr bool kFits =
        kDown == 1 && kUp <= kMost && (std::is_signed_v<Rep> ? sizeof(Rep) <= 8 : sizeof(Rep) < 8);
    using Number = std::conditional_t<kFits, std::int64_t, Wide>;
    constexpr auto kLimit = static_cast<Number>(kMost * kDown / kUp);
    const auto count = static_cast<Number>(time.count());
    if (count > kLimit) return Duration::max();
    if (count < -kLimit) return Duration::min();
    const Number product = count * static_cast<Number>(kUp);
    if constexpr (kDown == 1) {
      return Duration(static_cast<std::int64_t>(product));
    } else {
      return Duration(static_cast<std::int64_t>(product / kDown + (product % kDown > 0)));
    }
  }
}

}  // namespace internal

}  // namespace weft

#endif  // WEFT_FIBER_TIME_H_
