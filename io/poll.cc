#include "weft/io/poll.h"

#include <sys/epoll.h>

#include <cstdint>

#include "weft/fiber/core/error.h"
#include "weft/io/core/reactor.h"

namespace weft {
namespace {

// The events of epoll that make a descriptor ready. It reports errors without being asked.
constexpr std::uint32_t kErrors = EPOLLERR | EPOLLHUP;
constexpr std::uint32_t kRead = EPOLLIN | EPOLLRDHUP | kErrors;
constexpr std::uint32_t kWrite = EPOLLOUT | kErrors;

bool has(Events events, Events event) noexcept { return (events & event) != Events::kNone; }

Events wait_ready(int fd, Events events, const char* caller, const char* what) {
  const std::uint32_t wanted =
      (has(events, Events::kRead) ? kRead : 0) | (has(events, Events::kWrite) ? kWrite : 0);
  if (wanted == 0) internal::throw_invalid_argument(caller, ": no events to wait for");
  const std::uint32_t came = internal::Reactor::require(caller).wait_for_foreign(fd, wanted, what);
  return events & ((came & kRead ? Events::kRead : Events::kNone) |
                   (came & kWrite ? Events::kWrite : Events::kNone));
}

}  // namespace

Events wait_ready(int fd, Events events) {
  return wait_ready(fd, events, "weft::wait_ready", "wait_ready");
}

void wait_readable(int fd) {
  wait_ready(fd, Events::kRead, "weft::wait_readable", "wait_readable");
}

void wait_writable(int fd) {
  wait_ready(fd, Events::kWrite, "weft::wait_writable", "wait_writable");
}

}  // namespace weft
