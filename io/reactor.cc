#include "weft/io/reactor.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <system_error>

namespace weft {
namespace {

constexpr int kEvents = 64;
constexpr std::int64_t kLong = 50'000'000;  // nanoseconds; below, a thousandth is noise

Fd checked(int fd, const char* call) {
  if (fd < 0) throw std::system_error(errno, std::generic_category(), call);
  return Fd(fd);
}

// epoll_wait with a timeout in nanoseconds; null waits for ever.
int wait_for_events(int epoll, epoll_event* events, const timespec* timeout) noexcept {
  static std::atomic<bool> has_pwait2{true};
  // Relaxed: both ways are right.
  if (has_pwait2.load(std::memory_order_relaxed)) {
    const int count = epoll_pwait2(epoll, events, kEvents, timeout, nullptr);
    // Too old a kernel says ENOSYS, and sandboxes that are older than the call say EPERM.
    if (count >= 0 || errno == EINTR) return count;
    has_pwait2.store(false, std::memory_order_relaxed);
  }
  int milliseconds = -1;
  if (timeout) {
    constexpr std::int64_t kHour = 3'600'000;  // waking early is allowed, overflowing is not
    const std::int64_t seconds = std::min<std::int64_t>(timeout->tv_sec, kHour / 1000);
    milliseconds = static_cast<int>(seconds * 1000 + (timeout->tv_nsec + 999'999) / 1'000'000);
  }
  return epoll_wait(epoll, events, kEvents, milliseconds);
}

}  // namespace

Reactor::Reactor()
    : epoll_(checked(epoll_create1(EPOLL_CLOEXEC), "weft: epoll_create1")),
      wakeup_(checked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "weft: eventfd")) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wakeup_.get(), &event) != 0) {
    throw std::system_error(errno, std::generic_category(), "weft: epoll_ctl of the eventfd");
  }
}

bool Reactor::wait(TimePoint deadline) {
  timespec timeout{};
  if (deadline != kPast && deadline != kForever) {
    std::int64_t left = std::max<std::int64_t>((deadline - now()).count(), 0);
    // The kernel adds a thousandth to what epoll is asked for, up to 100 ms. So a long wait ends
    // early by that much, and the rest is waited for anew.
    if (left > kLong) left -= left / 1000;
    timeout.tv_sec = static_cast<time_t>(left / 1'000'000'000);
    timeout.tv_nsec = static_cast<long>(left % 1'000'000'000);
  }
  epoll_event events[kEvents];
  const int count =
      wait_for_events(epoll_.get(), events, deadline == kForever ? nullptr : &timeout);
  // EINTR is an early return, which callers expect; nothing else can happen to an own descriptor.
  return count > 0;
}

void Reactor::wake() noexcept {
  const int saved = errno;
  const std::uint64_t one = 1;
  // Fails only where the counter is full, and then the reactor has an event already.
  [[maybe_unused]] const ssize_t written = write(wakeup_.get(), &one, sizeof(one));
  errno = saved;
}

}  // namespace weft
