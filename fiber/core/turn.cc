#include "weft/fiber/core/turn.h"

#include <algorithm>
#include <ctime>

#include "weft/fiber/core/time_stamp.h"

namespace weft::internal {
namespace {

// At most this many resumptions between two looks at the time stamp, which bounds what fibers that
// suddenly run for long can delay. A look costs some 14 ns: less than 3 % of eight slices that take
// kBare each.
constexpr std::int64_t kMaxStride = 8;
// Where slices are shorter they do little but switch, and a look at each eighth would be 1.8 ns of
// a switch: then this many, for 0.4 ns.
constexpr std::int64_t kMaxBareStride = 32;
constexpr Duration kBare = std::chrono::nanoseconds(60);
// How far apart two readings of the clock are, at least, from which the time stamp's rate is taken.
constexpr Duration kBaseline = std::chrono::microseconds(5);
// More ticks than a time stamp counts in a nanosecond.
constexpr double kMaxRate = 10;

// The time of the last tick of the kernel's, up to 4 ms ago: a quarter of the price of the clock.
TimePoint coarse_now() noexcept {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
  return TimePoint(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
}

}  // namespace

inline std::uint64_t Turn::stamp() const noexcept {
  if (time_stamp_) [[unlikely]]
    return *time_stamp_;
  if constexpr (kHasTimeStamp) return time_stamp();
  return static_cast<std::uint64_t>(port_.now().time_since_epoch().count());
}

void Turn::begin() noexcept {
  cut_short_ = false;
  ++running.turns;
  running.turn_began = port_.is_virtual() ? port_.now() : coarse_now();
  if (counted_) {
    allow(kCounted - 1);
    return;
  }
  if (length_ == 0) [[unlikely]]
    began_clock_ = read_clock();
  began_ = stamped_ = stamp();
  allow(stride_ - 1);
}

void Turn::watch(bool watched) noexcept {
  const std::int64_t now = budget();
  watched_ = watched;
  budget_ = now;
  running.budget = watched ? 0 : now;
}

// How many resumptions the next look may be away, where this many ticks went by since the last one.
inline std::int64_t Turn::next_stride(std::uint64_t ticks) const noexcept {
  if (ticks >= length_ / 8) return 1;
  constexpr std::uint64_t kBareInTurn = kLength / kBare;
  const bool bare = ticks * kBareInTurn < length_ * static_cast<std::uint64_t>(stride_);
  return std::min(2 * stride_, bare ? kMaxBareStride : kMaxStride);
}

// A counter that goes back, on another core perhaps, makes for a huge difference, and the turn is
// over. Where slices have become long each is looked at, until they are short again.
bool Turn::has_to_end() noexcept {
  if (counted_ || cut_short_) return true;
  if (length_ == 0) [[unlikely]] {
    // The rate is not known yet, or the time stamp stands still.
    const TimePoint now = read_clock();
    if (now == began_clock_ || now - began_clock_ >= kLength) return true;
    allow(0);
    return false;
  }
  const std::uint64_t now = stamp();
  stride_ = next_stride(now - stamped_);
  stamped_ = now;
  if (now - began_ >= length_) return true;
  allow(stride_ - 1);
  return false;
}

// The ticks are counted from just after the first reading to just before the second. So if the
// thread is held up between the two instructions, or they take long, there are too few of them: the
// rate is never too high, and a turn never too long. Where cores differ it may be for once. So a
// turn lasts at most twice as long as the one before.
TimePoint Turn::read_clock() noexcept {
  if (counted_) return port_.now();
  const std::uint64_t before = stamp();
  const TimePoint now = port_.now();
  if (clock_read_ != kPast) {
    const Duration passed = now - clock_read_;
    if (passed < kBaseline) return now;
    const auto ticks = static_cast<std::int64_t>(before - clock_stamped_);
    const double fitting = static_cast<double>(kLength.count()) * static_cast<double>(ticks) /
                           static_cast<double>(passed.count());
    const double most = length_ != 0 ? 2 * static_cast<double>(length_)
                                     : kMaxRate * static_cast<double>(kLength.count());
    length_ = static_cast<std::uint64_t>(std::clamp(fitting, 0.0, most));
  }
  clock_read_ = now;
  clock_stamped_ = stamp();
  return now;
}

}  // namespace weft::internal
