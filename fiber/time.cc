#include "weft/fiber/time.h"

#include "weft/fiber/unhandled.h"

namespace weft {

TimePoint deadline_after(TimePoint now, Duration wait, const char* caller) {
  if (wait < Duration::zero()) {
    throw_invalid_argument(caller, ": the duration is negative");
  }
  return wait < kForever - now ? now + wait : kForever;
}

}  // namespace weft
