#include "weft/fiber/virtual_port.h"

namespace weft {

bool VirtualPort::wait(TimePoint deadline) {
  if (deadline == kForever) return outside_.wait(kForever);
  if (outside_.wait(kPast)) return true;
  if (deadline > now_) now_ = deadline;
  return false;
}

}  // namespace weft
