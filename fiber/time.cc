#include "weft/fiber/time.h"

namespace weft::internal {

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

}  // namespace weft::internal
