#include "weft/io/core/attempt.h"

#include <sys/socket.h>

#include "weft/fiber/core/running.h"
#include "weft/fiber/this_fiber.h"
#include "weft/io/core/error.h"
#include "weft/io/core/reactor.h"

namespace weft::internal {

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this == &other) return *this;
  close();
  fd_ = std::move(other.fd_);
  streak_ = other.streak_;
  readiness_ = std::exchange(other.readiness_, nullptr);
  return *this;
}

Fd Socket::release() noexcept {
  Fd fd = std::move(fd_);  // closed last: until then its number is not used again
  if (readiness_) std::exchange(readiness_, nullptr)->deregister(fd.get());
  note_owned(fd.get(), false);
  return fd;
}

int Socket::begin_slowly() {
  if (!is_open()) return unless_cancelled(-EBADF);
  if (streak_ < kLongestStreak) {
    let_loop_look();
  } else {
    streak_ = 0;
    yield();
  }
  return is_open() ? 0 : unless_cancelled(-ECANCELED);
}

int Socket::wait(Direction direction, TimePoint deadline, const char* what) {
  streak_ = 0;
  const Reactor* const here = current_reactor;
  if (!readiness_ || !here || &readiness_->registry() != &here->registry()) [[unlikely]] {
    if (const int error = prepare(direction, what)) return error;
  }
  int error = 0;
  {
    const Reactor::Awaiting awaiting(*current_reactor);
    error = readiness_->wait(direction, deadline, what);
  }
  if (error == -ETIMEDOUT) return error;
  // Closed, now or by another fiber that ran first.
  return error == 0 && is_open() ? 0 : unless_cancelled(-ECANCELED);
}

// For a socket that is not registered yet, or with another reactor: it was handed over, or has
// outlived a runtime.
[[gnu::noinline]] int Socket::prepare(Direction direction, const char* what) {
  Reactor& reactor = Reactor::require(what);
  if (!is_open()) return unless_cancelled(-ECANCELED);
  if (readiness_) std::exchange(readiness_, nullptr)->deregister(fd());
  return reactor.add(fd(), direction, readiness_);
}

Fd new_socket(int family, int type) {
  if (!current_reactor) fill_standard_descriptors();
  return Fd(socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

}  // namespace weft::internal
