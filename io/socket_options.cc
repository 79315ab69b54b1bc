#include "weft/io/socket_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <climits>
#include <string>

#include "weft/io/core/error.h"
#include "weft/io/core/socket.h"

namespace weft {
namespace {

// A time in whole units, rounded up.
std::optional<int> in_units(const std::optional<AnyDuration>& time, Duration unit) noexcept {
  if (!time) return {};
  const auto whole = *time / unit + (*time % unit > Duration::zero());
  return static_cast<int>(std::clamp<decltype(whole)>(whole, 0, INT_MAX));
}

}  // namespace

void set_options(int fd, const SocketOptions& options) {
  constexpr Duration kSecond = std::chrono::seconds(1), kMillisecond = kSecond / 1000;
  const auto name_of = [fd](const char* option) {
    return option + (" of descriptor " + internal::decimal(fd));
  };
  const auto set = [&](const char* name, int level, int option, std::optional<int> value) {
    if (value) internal::set_option(fd, level, option, *value, name_of(name));
  };
  set("reuse_address", SOL_SOCKET, SO_REUSEADDR, options.reuse_address);
  set("reuse_port", SOL_SOCKET, SO_REUSEPORT, options.reuse_port);
  set("receive_buffer", SOL_SOCKET, SO_RCVBUF, options.receive_buffer);
  set("send_buffer", SOL_SOCKET, SO_SNDBUF, options.send_buffer);
  if (options.linger) {
    const linger value{1, *in_units(options.linger, kSecond)};
    internal::checked(setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof(value)),
                      {"setsockopt for ", name_of("linger")});
  }
  set("nodelay", IPPROTO_TCP, TCP_NODELAY, options.nodelay);
  set("keepalive", SOL_SOCKET, SO_KEEPALIVE, options.keepalive);
  set("keepalive_idle", IPPROTO_TCP, TCP_KEEPIDLE, in_units(options.keepalive_idle, kSecond));
  set("keepalive_interval", IPPROTO_TCP, TCP_KEEPINTVL,
      in_units(options.keepalive_interval, kSecond));
  set("keepalive_count", IPPROTO_TCP, TCP_KEEPCNT, options.keepalive_count);
  set("user_timeout", IPPROTO_TCP, TCP_USER_TIMEOUT, in_units(options.user_timeout, kMillisecond));
  set("broadcast", SOL_SOCKET, SO_BROADCAST, options.broadcast);
  set("multicast_ttl", IPPROTO_IP, IP_MULTICAST_TTL, options.multicast_ttl);
  set("multicast_loop", IPPROTO_IP, IP_MULTICAST_LOOP, options.multicast_loop);
  if (!options.multicast_ttl && !options.multicast_loop) return;
  if (internal::get_option(fd, SO_DOMAIN, name_of("family")) != AF_INET6) return;
  // It sends to both families.
  set("multicast_ttl", IPPROTO_IPV6, IPV6_MULTICAST_HOPS, options.multicast_ttl);
  set("multicast_loop", IPPROTO_IPV6, IPV6_MULTICAST_LOOP, options.multicast_loop);
}

}  // namespace weft
