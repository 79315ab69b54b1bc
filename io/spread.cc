#include "weft/io/spread.h"

namespace weft {

Scheduler* round_robin() { return Runtime::current().next_in_turn(); }

}  // namespace weft
