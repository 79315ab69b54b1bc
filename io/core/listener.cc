#include "weft/io/core/listener.h"

#include <chrono>
#include <cstdio>
#include <cstring>

#include "weft/io/core/error.h"

namespace weft::internal {
namespace {

// After so long without it a shortage is a new one, to be reported.
constexpr Duration kEpisode = std::chrono::seconds(10);

// What accept(2) says of a connection that is gone already, or of the network on its way.
bool passes(int error) {
  for (const int passing : {ECONNABORTED, EPROTO, ENOPROTOOPT, ENETDOWN, ENETUNREACH, EHOSTDOWN,
                            EHOSTUNREACH, ENONET, EOPNOTSUPP, EPERM}) {
    if (error == passing) return true;
  }
  return false;
}

bool is_shortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

Fd Listener::accept(sockaddr* address, socklen_t size, std::error_code& error) {
  for (;;) {
    const ssize_t fd = socket_.attempt(Direction::kRead, "accept", [&] {
      socklen_t room = size;
      return ssize_t{accept4(socket_.fd(), address, &room, SOCK_NONBLOCK | SOCK_CLOEXEC)};
    });
    if (fd >= 0) {
      error.clear();
      return Fd(static_cast<int>(fd));
    }
    int reason = static_cast<int>(-fd);
    if (is_shortage(reason)) {
      report(reason);
      back_off_.wait();
      if (is_open()) continue;
      reason = unless_cancelled(ECANCELED);
    }
    if (!passes(reason)) {
      error.assign(reason, std::generic_category());
      return Fd();
    }
  }
}

void Listener::report(int shortage) {
  const TimePoint now = Clock::now();
  if (last_shortage_ == TimePoint() || now - last_shortage_ > kEpisode) {
    std::fprintf(stderr, "weft: accept on %s: %s; trying again until there is room\n",
                 name_.c_str(), std::strerror(shortage));
  }
  last_shortage_ = now;
}

}  // namespace weft::internal
