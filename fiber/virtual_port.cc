#include "weft/fiber/virtual_port.h"

#include <utility>

namespace weft {

bool VirtualPort::wait(TimePoint deadline) {
  if (deadline == kForever) return outside_.wait(kForever);
  const bool jumps = deadline > now_;
  const bool waits = jumps && expected_ > 0 && std::exchange(patient_, false);
  if (outside_.wait(waits ? outside_.now() + kGrace : kPast)) {
    patient_ |= waits;
    return true;
  }
  if (jumps) now_ = deadline;
  return false;
}

}  // namespace weft
