#ifndef WEFT_IO_CORE_ACCEPT_H_
#define WEFT_IO_CORE_ACCEPT_H_

#include <sys/socket.h>

#include <string>

#include "weft/io/core/socket.h"

namespace weft::internal {

// Returns the next connection of a socket that listens, non-blocking, and writes as much of its
// address as fits `size`. If it fails, sets `error` and returns an empty Fd, or throws. Out of
// descriptors or memory it tries again until there is room. `name` is the listener's, for messages.
// A cancellation point where it waits, and now and then where it does not.
Fd accept(Socket& listener, const std::string& name, sockaddr* address, socklen_t size,
          ErrorTo error);

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_ACCEPT_H_
