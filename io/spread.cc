#include "weft/io/spread.h"

#include <algorithm>
#include <span>

namespace weft {

Scheduler* round_robin() {
  const auto schedulers = Runtime::current().schedulers();
  // Each thread begins with its own, lest many that place a few each all favour the first ones.
  thread_local std::size_t turn = static_cast<std::size_t>(
      std::find(schedulers.begin(), schedulers.end(), &Scheduler::current()) - schedulers.begin());
  return schedulers[turn++ % schedulers.size()];
}

}  // namespace weft
