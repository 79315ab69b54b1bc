#include "weft/io/fd_stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "weft/io/core/error.h"
#include "weft/io/core/reactor.h"

namespace weft {

FdStream FdStream::adopt(int fd) {
  std::string name = "descriptor " + internal::decimal(fd);
  if (internal::Socket::owns(fd)) internal::fail(EBUSY, {"adopt ", name, ", which weft owns"});
  const int flags = internal::checked(fcntl(fd, F_GETFL), {"adopt ", name});
  internal::checked(fcntl(fd, F_SETFL, flags | O_NONBLOCK), {"adopt ", name});
  return {internal::Fd(fd), std::move(name), false};
}

Pipe::Pipe() {
  int ends[2];
  if (!internal::current_reactor) internal::fill_standard_descriptors();
  internal::checked(pipe2(ends, O_CLOEXEC | O_NONBLOCK), {"pipe"});
  // A pipe of bytes: a read that fills less than its buffer has taken everything.
  reader = FdStream(internal::Fd(ends[0]), "pipe", true);
  writer = FdStream(internal::Fd(ends[1]), "pipe", true);
}

}  // namespace weft
