#include "weft/io/wire.h"

#include <cerrno>

#include "weft/io/core/error.h"

namespace weft {

void WireReader::fail_short() { internal::fail(EBADMSG, {"read a message that is too short"}); }

}  // namespace weft
