#include "weft/io/fd.h"

#include <unistd.h>

namespace weft {

Fd::~Fd() {
  // Linux closes the descriptor whatever close() returns: a second try would hit a stranger's.
  if (fd_ >= 0) close(fd_);
}

}  // namespace weft
