#include "weft/fiber/time.h"

#include <algorithm>

#include "weft/fiber/scheduler.h"
#include "weft/fiber/core/unhandled.h"

namespace weft {

TimePoint now() noexcept {
  const Scheduler* scheduler = Scheduler::current_or_null();
  return scheduler ? scheduler->now() : Clock::now();
}

TimePoint when_due(Duration time, Duration now_there) noexcept {
  if (time == Duration::max()) return kForever;
  if (time == Duration::min()) return kPast;
  std::int64_t left, due;
  if (__builtin_sub_overflow(time.count(), now_there.count(), &left)) {
    return time < Duration::zero() ? kPast : kForever;
  }
  if (__builtin_add_overflow(left, now().time_since_epoch().count(), &due)) return kForever;
  return TimePoint(Duration(due));
}

void fail_negative(const char* caller) {
  throw_invalid_argument(caller, ": the duration is negative");
}

TimePoint deadline_within(AnyDuration time) noexcept {
  return deadline_after(now(), std::max<Duration>(time, Duration::zero()), "");
}

}  // namespace weft
