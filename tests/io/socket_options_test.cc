#include "weft/io/socket_options.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <limits>
#include <string>
#include <system_error>

#include "tests/support/error_names.h"
#include "tests/support/fixture.h"
#include "tests/support/tcp_pair.h"
#include "weft/io/core/socket.h"

BOOST_AUTO_TEST_SUITE(socket_options)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof(value);
  getsockopt(fd, level, name, &value, &size);
  return value;
}

linger linger_of(int fd) {
  linger value{};
  socklen_t size = sizeof(value);
  getsockopt(fd, SOL_SOCKET, SO_LINGER, &value, &size);
  return value;
}

Fd tcp() { return Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }
Fd udp(int family) { return Fd(socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0)); }

}  // namespace

BOOST_AUTO_TEST_CASE(each_option_reaches_the_kernel) {
  const Fd fd = tcp();
  set_options(fd.get(), {.reuse_address = true,
                         .reuse_port = true,
                         .receive_buffer = 20'000,
                         .send_buffer = 30'000,
                         .linger = 7s,
                         .nodelay = true,
                         .keepalive = true,
                         .keepalive_idle = 61s,
                         .keepalive_interval = 11s,
                         .keepalive_count = 4,
                         .user_timeout = 1234ms,
                         .broadcast = true});
  BOOST_TEST(option(fd.get(), SOL_SOCKET, SO_REUSEADDR) == 1);
  BOOST_TEST(option(fd.get(), SOL_SOCKET, SO_REUSEPORT) == 1);
  BOOST_TEST(option(fd.get(), SOL_SOCKET, SO_RCVBUF) == 40'000);
  BOOST_TEST(option(fd.get(), SOL_SOCKET, SO_SNDBUF) == 60'000);
  BOOST_TEST(linger_of(fd.get()).l_onoff == 1);
  BOOST_TEST(linger_of(fd.get()).l_linger == 7);
  BOOST_TEST(option(fd.get(), IPPROTO_TCP, TCP_NODELAY) != 0);
  BOOST_TEST(option(fd.get(), SOL_SOCKET, SO_KEEPALIVE) == 1);
  BOOST_TEST(option(fd.get(), IPPROTO_TCP, TCP_KEEPIDLE) == 61);
  BOOST_TEST(option(fd.get(), IPPROTO_TCP, TCP_KEEPINTVL) == 11);
  BOOST_TEST(option(fd.get(), IPPROTO_TCP, TCP_KEEPCNT) == 4);
  BOOST_TEST(option(fd.get(), IPPROTO_TCP, TCP_USER_TIMEOUT) == 1234);
  BOOST_TEST(option(fd.get(), SOL_SOCKET, SO_BROADCAST) == 1);
}

BOOST_AUTO_TEST_CASE(what_is_not_set_stays_as_it_is) {
  const Fd fd = tcp();
  set_options(fd.get(), {.keepalive = true});
  set_options(fd.get(), {.nodelay = true});
  set_options(fd.get(), {});
  BOOST_TEST(option(fd.get(), SOL_SOCKET, SO_KEEPALIVE) == 1);
  set_options(fd.get(), {.keepalive = false});
  BOOST_TEST(option(fd.get(), SOL_SOCKET, SO_KEEPALIVE) == 0);
  BOOST_TEST(option(fd.get(), IPPROTO_TCP, TCP_NODELAY) != 0);
}

BOOST_AUTO_TEST_CASE(times_are_rounded_up_and_limited) {
  const Fd fd = tcp();
  set_options(fd.get(), {.linger = 1ns, .keepalive_idle = 1001ms, .user_timeout = 1us});
  BOOST_TEST(linger_of(fd.get()).l_linger == 1);
  BOOST_TEST(option(fd.get(), IPPROTO_TCP, TCP_KEEPIDLE) == 2);
  BOOST_TEST(option(fd.get(), IPPROTO_TCP, TCP_USER_TIMEOUT) == 1);
  set_options(fd.get(), {.linger = -3s, .user_timeout = -1ms});
  BOOST_TEST(linger_of(fd.get()).l_onoff == 1);
  BOOST_TEST(linger_of(fd.get()).l_linger == 0);
  BOOST_TEST(option(fd.get(), IPPROTO_TCP, TCP_USER_TIMEOUT) == 0);
  set_options(fd.get(), {.user_timeout = std::chrono::hours::max()});
  BOOST_TEST(option(fd.get(), IPPROTO_TCP, TCP_USER_TIMEOUT) == std::numeric_limits<int>::max());
}

BOOST_AUTO_TEST_CASE(multicast_options_are_those_of_the_family_and_of_both_for_ipv6) {
  for (const int family : {AF_INET, AF_INET6}) {
    const Fd fd = udp(family);
    set_options(fd.get(), {.multicast_ttl = 5, .multicast_loop = false});
    BOOST_TEST(option(fd.get(), IPPROTO_IP, IP_MULTICAST_TTL) == 5);
    BOOST_TEST(option(fd.get(), IPPROTO_IP, IP_MULTICAST_LOOP) == 0);
    if (family == AF_INET) continue;
    BOOST_TEST(option(fd.get(), IPPROTO_IPV6, IPV6_MULTICAST_HOPS) == 5);
    BOOST_TEST(option(fd.get(), IPPROTO_IPV6, IPV6_MULTICAST_LOOP) == 0);
  }
}

BOOST_AUTO_TEST_CASE(a_refused_option_is_named) {
  const Fd fd = tcp();
  const std::string name = " of descriptor " + std::to_string(fd.get());
  BOOST_CHECK_EXCEPTION(set_options(fd.get(), {.keepalive_idle = 0s}), std::system_error,
                        is(std::errc::invalid_argument, "keepalive_idle" + name));
  const Fd datagrams = udp(AF_INET);
  BOOST_CHECK_THROW(set_options(datagrams.get(), {.nodelay = true}), std::system_error);
  BOOST_CHECK_EXCEPTION(set_options(-1, {.linger = 1s}), std::system_error,
                        is(std::errc::bad_file_descriptor, "linger of descriptor -1"));
  BOOST_CHECK_EXCEPTION(set_options(TcpStream().native_handle(), {.keepalive = true}),
                        std::system_error, is(std::errc::bad_file_descriptor, "keepalive"));
}

WEFT_REAL_TIME_TEST_CASE(options_can_be_given_where_a_socket_is_made) {
  TcpListener listener("127.0.0.1:0", {.socket = {.receive_buffer = 20'000, .keepalive = true}});
  TcpStream client =
      TcpStream::connect(listener.local_address(), {.socket = {.send_buffer = 30'000}});
  TcpStream server = listener.accept();
  BOOST_TEST(option(listener.native_handle(), SOL_SOCKET, SO_RCVBUF) == 40'000);
  BOOST_TEST(option(server.native_handle(), SOL_SOCKET, SO_KEEPALIVE) == 1);  // inherited
  BOOST_TEST(option(client.native_handle(), SOL_SOCKET, SO_SNDBUF) == 60'000);
  const UdpSocket socket("127.0.0.1:0", {.socket = {.broadcast = true}});
  BOOST_TEST(option(socket.native_handle(), SOL_SOCKET, SO_BROADCAST) == 1);
  BOOST_CHECK_EXCEPTION(
      TcpStream::connect(listener.local_address(), {.socket = {.keepalive_count = 0}}),
      std::system_error, is(std::errc::invalid_argument, "keepalive_count"));
}

WEFT_REAL_TIME_TEST_CASE(a_close_without_lingering_resets) {
  TcpPair pair;
  set_options(pair.client.native_handle(), {.linger = 0s});
  pair.client.close();
  char byte;
  BOOST_CHECK_EXCEPTION(pair.server.read_some(MutableBuffer(&byte, 1)), std::system_error,
                        is(std::errc::connection_reset, "read"));
}

WEFT_REAL_TIME_TEST_CASE(an_option_of_the_socket_overrides_one_of_the_listener) {
  const TcpListener listener("127.0.0.1:0", {.nodelay = true, .socket = {.nodelay = false}});
  int nodelay = -1;
  socklen_t size = sizeof(nodelay);
  getsockopt(listener.native_handle(), IPPROTO_TCP, TCP_NODELAY, &nodelay, &size);
  BOOST_TEST(nodelay == 0);
}

BOOST_AUTO_TEST_SUITE_END()
