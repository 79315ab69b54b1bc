#include "weft/io/spread.h"

#include <span>

namespace weft {

Scheduler* round_robin() {
  thread_local std::size_t turn = 0;
  const auto schedulers = Runtime::current().schedulers();
  return schedulers[turn++ % schedulers.size()];
}

}  // namespace weft
