#include "weft/io/core/await_ready.h"

#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <ctime>

#include "weft/fiber/core/running.h"
#include "weft/io/core/error.h"
#include "weft/io/core/reactor.h"
#include "weft/sync/select.h"

namespace weft::internal {
namespace {

Duration left_until(TimePoint deadline) noexcept {
  const TimePoint start = now();
  return std::max(deadline, start) - start;
}

// poll(2) and epoll have the same bits. An error, or the end of the other side, counts as ready.
std::uint32_t bits(Events events) noexcept {
  return ((events & Events::kRead) != Events::kNone ? EPOLLIN : 0u) |
         ((events & Events::kWrite) != Events::kNone ? EPOLLOUT : 0u) | EPOLLERR | EPOLLHUP;
}

bool await_in_fiber(int fd, Events events, TimePoint deadline, const char* what) {
  ForeignWait wait(Reactor::require(what), fd, bits(events), what);
  if (!wait.arm()) return true;
  WaitQueue::Lock lock(wait.queue());
  return wait.queue().wait(lock, wait.waiter, deadline);
}

bool await_in_fiber(int fd, Events events, int other, TimePoint deadline) {
  if (deadline == kForever) {
    select(on_ready(fd, events), on_ready(other, Events::kRead));
    return true;
  }
  return select(on_ready(fd, events), on_ready(other, Events::kRead), after(left_until(deadline))) <
         2;
}

bool await_in_thread(int fd, Events events, int other, TimePoint deadline, const char* what) {
  pollfd both[] = {{fd, static_cast<short>(bits(events)), 0}, {other, POLLIN, 0}};
  for (;;) {
    const std::int64_t left = left_until(deadline).count();
    const timespec timeout{.tv_sec = static_cast<time_t>(left / 1'000'000'000),
                           .tv_nsec = static_cast<long>(left % 1'000'000'000)};
    const int ready = ppoll(both, 2, deadline == kForever ? nullptr : &timeout, nullptr);
    if (ready >= 0) return ready > 0;
    if (errno != EINTR) fail(errno, {what});
  }
}

}  // namespace

bool await_ready(int fd, Events events, int other, TimePoint deadline, const char* what) {
  if (!current_fiber()) return await_in_thread(fd, events, other, deadline, what);
  return other < 0 ? await_in_fiber(fd, events, deadline, what)
                   : await_in_fiber(fd, events, other, deadline);
}

}  // namespace weft::internal
