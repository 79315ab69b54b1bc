#include "weft/io/socket_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdint>

#include "weft/io/core/error.h"

namespace weft {
namespace {

// A time in whole units, rounded up.
int in_units(Duration time, Duration unit) noexcept {
  const std::int64_t whole = time / unit + (time % unit > Duration::zero());
  return static_cast<int>(std::clamp<std::int64_t>(whole, 0, INT_MAX));
}

// Sets one option after another, until one fails.
class Setter {
 public:
  explicit Setter(int fd) noexcept : fd_(fd) {}

  template <class T>
  void set(const char* name, int level, int option, const T& value) noexcept {
    if (error == 0 && setsockopt(fd_, level, option, &value, sizeof(value)) != 0) {
      error = -errno;
      failed = name;
    }
  }
  void number(const char* name, int level, int option, std::optional<int> value) noexcept {
    if (value) set(name, level, option, *value);
  }
  void time(const char* name, int option, const std::optional<AnyDuration>& value,
            Duration unit) noexcept {
    if (value) set(name, IPPROTO_TCP, option, in_units(*value, unit));
  }
  // What is an option of its own for each family. IPv6 sockets send to both.
  void multicast(const char* name, int v4, int v6, std::optional<int> value) noexcept {
    if (!value) return;
    int family = 0;
    socklen_t size = sizeof(family);
    getsockopt(fd_, SOL_SOCKET, SO_DOMAIN, &family, &size);
    set(name, IPPROTO_IP, v4, *value);
    if (family == AF_INET6) set(name, IPPROTO_IPV6, v6, *value);
  }

  int error = 0;
  const char* failed = "";

 private:
  const int fd_;
};

}  // namespace

void set_options(int fd, const SocketOptions& options) {
  const char* failed = "";
  const int error = internal::try_set_options(fd, options, &failed);
  if (error)
    internal::fail(-error, {"set_options ", failed, " of descriptor ", internal::decimal(fd)});
}

}  // namespace weft

namespace weft::internal {

int try_set_options(int fd, const SocketOptions& options, const char** failed) noexcept {
  constexpr Duration kSecond = std::chrono::seconds(1);
  Setter to(fd);
  to.number("reuse_address", SOL_SOCKET, SO_REUSEADDR, options.reuse_address);
  to.number("reuse_port", SOL_SOCKET, SO_REUSEPORT, options.reuse_port);
  to.number("receive_buffer", SOL_SOCKET, SO_RCVBUF, options.receive_buffer);
  to.number("send_buffer", SOL_SOCKET, SO_SNDBUF, options.send_buffer);
  if (const auto& time = options.linger) {
    to.set("linger", SOL_SOCKET, SO_LINGER, linger{1, in_units(*time, kSecond)});
  }
  to.number("nodelay", IPPROTO_TCP, TCP_NODELAY, options.nodelay);
  to.number("keepalive", SOL_SOCKET, SO_KEEPALIVE, options.keepalive);
  to.time("keepalive_idle", TCP_KEEPIDLE, options.keepalive_idle, kSecond);
  to.time("keepalive_interval", TCP_KEEPINTVL, options.keepalive_interval, kSecond);
  to.number("keepalive_count", IPPROTO_TCP, TCP_KEEPCNT, options.keepalive_count);
  to.time("user_timeout", TCP_USER_TIMEOUT, options.user_timeout, std::chrono::milliseconds(1));
  to.number("broadcast", SOL_SOCKET, SO_BROADCAST, options.broadcast);
  to.multicast("multicast_ttl", IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS, options.multicast_ttl);
  to.multicast("multicast_loop", IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP, options.multicast_loop);
  if (failed) *failed = to.failed;
  return to.error;
}

}  // namespace weft::internal
