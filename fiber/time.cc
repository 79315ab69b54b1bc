#include "weft/fiber/time.h"

#include <stdexcept>
#include <string>

namespace weft {

TimePoint deadline_after(TimePoint now, Duration wait, const char* caller) {
  if (wait < Duration::zero()) {
    throw std::invalid_argument(std::string(caller) + ": the duration is negative");
  }
  return wait < kForever - now ? now + wait : kForever;
}

}  // namespace weft
