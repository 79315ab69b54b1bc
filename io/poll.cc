#include "weft/io/poll.h"

#include "weft/fiber/core/error.h"
#include "weft/io/core/reactor.h"

namespace weft {

Events wait_ready(int fd, Events events) {
  events = events & (Events::kRead | Events::kWrite);
  if (events == Events::kNone) throw_invalid_argument("weft::wait_ready: no events to wait for");
  return Reactor::require("weft::wait_ready").wait_for_foreign(fd, events, "wait_ready");
}

void wait_readable(int fd) {
  Reactor::require("weft::wait_readable").wait_for_foreign(fd, Events::kRead, "wait_readable");
}

void wait_writable(int fd) {
  Reactor::require("weft::wait_writable").wait_for_foreign(fd, Events::kWrite, "wait_writable");
}

}  // namespace weft
