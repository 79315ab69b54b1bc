#include "weft/io/poll.h"

#include "weft/io/reactor.h"

namespace weft {

void wait_readable(int fd) {
  Reactor::require("weft::wait_readable").wait_for_foreign(fd, Direction::kRead, "wait_readable");
}

void wait_writable(int fd) {
  Reactor::require("weft::wait_writable").wait_for_foreign(fd, Direction::kWrite, "wait_writable");
}

}  // namespace weft
