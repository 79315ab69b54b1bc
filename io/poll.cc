#include "weft/io/poll.h"

#include <poll.h>
#include <sys/epoll.h>

#include <cerrno>
#include <cstdint>

#include "weft/fiber/core/error.h"
#include "weft/fiber/core/running.h"
#include "weft/io/core/error.h"
#include "weft/io/core/reactor.h"

namespace weft {
namespace {

// The events of epoll that make a descriptor ready. It reports errors without being asked.
constexpr std::uint32_t kErrors = EPOLLERR | EPOLLHUP;
constexpr std::uint32_t kRead = EPOLLIN | EPOLLRDHUP | kErrors;
constexpr std::uint32_t kWrite = EPOLLOUT | kErrors;

bool has(Events events, Events event) noexcept { return (events & event) != Events::kNone; }

// The events of epoll that mean one of these.
std::uint32_t epoll_events(Events events, const char* caller) {
  const std::uint32_t wanted =
      (has(events, Events::kRead) ? kRead : 0) | (has(events, Events::kWrite) ? kWrite : 0);
  if (wanted == 0) internal::throw_invalid_argument(caller, ": no events to wait for");
  return wanted;
}

Events wait_ready(int fd, Events events, const char* caller, const char* what) {
  const std::uint32_t wanted = epoll_events(events, caller);
  internal::Reactor& reactor = internal::Reactor::require(caller);
  internal::count_wait();
  internal::ForeignWait wait(reactor, fd, wanted, what);
  if (!wait.arm()) return events;
  internal::WaitQueue::Lock lock(wait.queue());
  wait.queue().wait(lock, wait.waiter, kForever);
  const std::uint32_t came = wait.waiter.came;
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

namespace internal {

ReadyCase::ReadyCase(int fd, Events events)
    : fd_(fd), events_(epoll_events(events, "weft::on_ready")) {}

ReadyCase::~ReadyCase() = default;

bool ReadyCase::attempt() {
  ForeignWait::refuse_own(fd_, "on_ready");
  // poll(2) has the same bits.
  pollfd poll{.fd = fd_, .events = static_cast<short>(events_), .revents = 0};
  if (::poll(&poll, 1, 0) < 0) fail(errno, {"on_ready of descriptor ", decimal(fd_)});
  if (fd_ < 0 || poll.revents & POLLNVAL) fail(EBADF, {"on_ready of descriptor ", decimal(fd_)});
  return poll.revents != 0;
}

bool ReadyCase::enlist(Selection& selection) {
  wait_ =
      std::make_unique<ForeignWait>(Reactor::require("weft::on_ready"), fd_, events_, "on_ready");
  if (!wait_->arm()) return false;
  const WaitQueue::Lock lock(wait_->queue());
  selection.wait_in(wait_->queue(), lock, *this, wait_->waiter);
  return true;
}

}  // namespace internal
}  // namespace weft
