#include "weft/io/socket.h"

#include <string>
#include <utility>

#include "weft/fiber/this_fiber.h"
#include "weft/io/reactor.h"

namespace weft {

Socket::Socket(Socket&& other) noexcept
    : fd_(std::move(other.fd_)),
      streak_(other.streak_),
      readiness_(std::exchange(other.readiness_, nullptr)) {}

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this == &other) return *this;
  close();
  fd_ = std::move(other.fd_);
  streak_ = other.streak_;
  readiness_ = std::exchange(other.readiness_, nullptr);
  return *this;
}

void Socket::close() noexcept {
  if (!is_open()) return;
  const Fd fd = std::move(fd_);  // closed last: until then its number is nobody else's
  if (readiness_) std::exchange(readiness_, nullptr)->release(fd.get());
}

bool Socket::begin_slowly(std::error_code& error) {
  if (!is_open()) {
    error = std::make_error_code(std::errc::bad_file_descriptor);
    return false;
  }
  streak_ = 0;
  yield();
  if (is_open()) return true;
  error = std::make_error_code(std::errc::operation_canceled);
  return false;
}

bool Socket::wait(Direction direction, TimePoint deadline, const char* what,
                  std::error_code& error) {
  const auto closed = [&] {
    error = std::make_error_code(std::errc::operation_canceled);
    return false;
  };
  Reactor& reactor = Reactor::require(what);
  streak_ = 0;
  if (!is_open()) return closed();
  if (readiness_ && readiness_->abandoned()) {
    // It has outlived the runtime that it was used in first.
    std::exchange(readiness_, nullptr)->release(fd());
  }
  if (!readiness_) {
    readiness_ = reactor.add(fd(), direction, error);
    if (!readiness_) return false;
  }
  switch (readiness_->wait(direction, deadline, what)) {
    case Readiness::Wait::kReady:
      return is_open() || closed();  // by another fiber that ran first
    case Readiness::Wait::kTimedOut:
      error = std::make_error_code(std::errc::timed_out);
      return false;
    case Readiness::Wait::kClosed:
      break;
  }
  return closed();
}

}  // namespace weft
