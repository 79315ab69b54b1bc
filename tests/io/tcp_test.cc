#include "weft/io/tcp.h"

#include <dlfcn.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/tcp_pair.h"

BOOST_AUTO_TEST_SUITE(tcp)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

std::string read_to_end(TcpStream& stream) { return BufferedReader(stream).read_all(); }

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof(value);
  getsockopt(fd, level, name, &value, &size);
  return value;
}

// A port of this machine that nobody serves, and that is kept from being given to others.
class DeadPort {
 public:
  DeadPort() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    address_ = Address::parse("127.0.0.1:0");
    bind(fd_.get(), address_.data(), address_.size());
    socklen_t size = Address::kMaxSize;
    getsockname(fd_.get(), address_.data(), &size);
  }
  const Address& address() const { return address_; }

 private:
  Fd fd_;
  Address address_;
};

// A port that a connection to it, by whatever address of this machine, gets for its own end as
// well. The kernel does that by chance, where the port is one of those that it draws from.
class PortDrawnByItself {
 public:
  PortDrawnByItself() : port_(DeadPort().address().port()) { drawn = port_; }
  ~PortDrawnByItself() { drawn = 0; }
  std::uint16_t number() const { return port_; }

  static inline std::uint16_t drawn = 0;

 private:
  const std::uint16_t port_;
};

int draw_and_connect(int fd, const sockaddr* to, socklen_t size) {
  static auto* const real = reinterpret_cast<decltype(&connect)>(dlsym(RTLD_NEXT, "connect"));
  if (PortDrawnByItself::drawn != 0) {
    const linger at_once{1, 0};  // the port is to be free again
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    const bool v6 = to->sa_family == AF_INET6;
    const Address own = Address::parse(v6 ? "::" : "0.0.0.0", PortDrawnByItself::drawn);
    BOOST_REQUIRE(bind(fd, own.data(), own.size()) == 0);
  }
  return real(fd, to, size);
}

}  // namespace

BOOST_AUTO_TEST_SUITE_END()

// Comes before libc's.
extern "C" int connect(int fd, const sockaddr* to, socklen_t size) {
  return tcp_suite::draw_and_connect(fd, to, size);
}

BOOST_AUTO_TEST_SUITE(tcp)

// ---- Connecting ---------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(what_one_side_writes_the_other_reads) {
  for (const char* address : {"127.0.0.1:0", "[::1]:0"}) {
    TcpPair pair(address);
    pair.client.write_all("over there");
    pair.client.shutdown_write();
    BOOST_TEST(read_to_end(pair.server) == "over there");
    pair.server.write_all("and back");
    pair.server.close();
    BOOST_TEST(read_to_end(pair.client) == "and back");
  }
}

WEFT_REAL_TIME_TEST_CASE(both_sides_know_their_addresses) {
  for (const char* address : {"127.0.0.1:0", "[::1]:0"}) {
    TcpPair pair(address);
    BOOST_TEST((pair.client.peer_address() == pair.server.local_address()));
    BOOST_TEST((pair.server.peer_address() == pair.client.local_address()));
    BOOST_TEST(pair.client.peer_address().host() == Address::parse(address).host());
    BOOST_TEST(pair.client.peer_address().port() != 0);
  }
}

WEFT_REAL_TIME_TEST_CASE(a_name_is_tried_at_every_address) {
  // On most machines it is [::1], too, where nobody listens.
  TcpListener listener("127.0.0.1:0");
  const std::string port = std::to_string(listener.local_address().port());
  TcpStream client = TcpStream::connect("localhost:" + port);
  BOOST_TEST((client.peer_address() == listener.local_address()));
}

WEFT_REAL_TIME_TEST_CASE(a_port_that_nobody_serves_refuses) {
  const DeadPort dead;
  const std::string name = dead.address().to_string();
  BOOST_TEST((error_of([&] { TcpStream::connect(name); }, "connect to " + name) ==
              std::errc::connection_refused));
  BOOST_TEST((error_of([&] { TcpStream::connect(dead.address()); }, "connect to " + name) ==
              std::errc::connection_refused));
  const std::string by_name = "localhost:" + std::to_string(dead.address().port());
  BOOST_TEST((error_of([&] { TcpStream::connect(by_name); }, by_name + " (tried ") ==
              std::errc::connection_refused));
}

WEFT_REAL_TIME_TEST_CASE(a_connection_to_itself_is_refused_however_the_address_is_written) {
  const PortDrawnByItself port;
  const std::string number = ":" + std::to_string(port.number());
  for (const char* host : {"127.0.0.1", "127.0.0.2", "0.0.0.0", "[::1]", "[::]",
                           "[::ffff:127.0.0.1]", "[::ffff:0.0.0.0]"}) {
    const std::string name = host + number;
    BOOST_TEST((error_of([&] { TcpStream::connect(name); }, "connect to " + name) ==
                std::errc::connection_refused),
               name);
    BOOST_TEST((error_of([&] { TcpStream::connect(Address::parse(name)); }, name) ==
                std::errc::connection_refused),
               name);
  }
  for (const char* host : {"", "localhost"}) {
    const std::string name = host + number;
    BOOST_TEST((error_of([&] { TcpStream::connect(name); }, name + " (tried ") ==
                std::errc::connection_refused),
               name);
  }
}

WEFT_REAL_TIME_TEST_CASE(the_peer_is_the_address_that_was_reached) {
  TcpListener listener(":0");
  const std::string port = ":" + std::to_string(listener.local_address().port());
  for (const auto& [asked, reached] :
       {std::pair("", "[::1]"), std::pair("[::]", "[::1]"), std::pair("0.0.0.0", "127.0.0.1")}) {
    const TcpStream client = TcpStream::connect(asked + port);
    const TcpStream server = listener.accept();
    BOOST_TEST(client.peer_address().to_string() == reached + port);
    BOOST_TEST((client.peer_address() == server.local_address().unmapped()));
  }
}

WEFT_REAL_TIME_TEST_CASE(an_unreachable_network_is_an_error) {
  // No machine has a route to a broadcast address by TCP.
  const std::error_code error =
      error_of([] { TcpStream::connect("255.255.255.255:80"); }, "255.255.255.255:80");
  BOOST_TEST((error == std::errc::network_unreachable || error == std::errc::permission_denied));
}

// A listener whose backlog is full lets further connections wait.
struct FullListener {
  FullListener() : listener("127.0.0.1:0", {.backlog = 0}) {
    for (int i = 0; i < 2; ++i) {
      waiting.push_back(
          spawn([this]() -> TcpStream { return TcpStream::connect(listener.local_address()); }));
    }
    waiting.front().wait();
    // Let the kernel take what it takes.
    for (auto& task : waiting) task.wait_for(50ms);
  }
  TcpListener listener;
  std::vector<Task<TcpStream>> waiting;
};

WEFT_REAL_TIME_TEST_CASE(a_connect_that_is_not_answered_ends_at_its_deadline) {
  FullListener full;
  const TimePoint begin = now();
  BOOST_TEST(
      (error_of([&] { TcpStream::connect(full.listener.local_address(), {.timeout = 50ms}); },
                full.listener.local_address().to_string()) == std::errc::timed_out));
  BOOST_TEST((now() - begin >= 50ms));
  BOOST_TEST((
      error_of(
          [&] { TcpStream::connect(full.listener.local_address().to_string(), {.timeout = 50ms}); },
          full.listener.local_address().to_string()) == std::errc::timed_out));
}

WEFT_REAL_TIME_TEST_CASE(a_connect_can_be_cancelled) {
  FullListener full;
  BOOST_CHECK_THROW(with_timeout(20ms, [&] { TcpStream::connect(full.listener.local_address()); }),
                    TimeoutError);
}

WEFT_REAL_TIME_TEST_CASE(texts_that_are_no_address_are_refused) {
  for (const char* text : {"",
                           ":",
                           "localhost",
                           "127.0.0.1",
                           "127.0.0.1:",
                           "::1:80",
                           "[::1]",
                           "[::1]80",
                           "[:80",
                           "]:80",
                           "1:2:3",
                           "127.0.0.1:65536",
                           "127.0.0.1:-1",
                           "127.0.0.1:+80",
                           "127.0.0.1: 80",
                           "127.0.0.1:\n72816",
                           "[::1]:\v80",
                           "127.0.0.1:80\r",
                           ":\n80",
                           "localhost:\n80",
                           "127.0.0.1\n:80",
                           "local host:80",
                           "127.0.0.1:*",
                           "127.0.0.1:http\n"}) {
    BOOST_TEST((error_of([&] { TcpStream::connect(text); }, text) == std::errc::invalid_argument),
               text);
    BOOST_TEST((error_of([&] { TcpListener listener(text); }, text) == std::errc::invalid_argument),
               text);
    BOOST_TEST((error_of([&] { TcpListener::one_per_scheduler(text); }, text) ==
                std::errc::invalid_argument),
               text);
    BOOST_TEST((error_of([&] { UdpSocket socket(text); }, text) == std::errc::invalid_argument),
               text);
  }
}

BOOST_AUTO_TEST_CASE(a_wait_outside_of_fibers_is_a_misuse) {
  TcpListener listener("127.0.0.1:0");
  BOOST_CHECK_THROW(listener.accept(), std::logic_error);
}

WEFT_REAL_TIME_TEST_CASE(small_writes_are_not_held_back_unless_asked_for) {
  TcpPair pair;
  BOOST_TEST(option(pair.client.native_handle(), IPPROTO_TCP, TCP_NODELAY) != 0);
  BOOST_TEST(option(pair.server.native_handle(), IPPROTO_TCP, TCP_NODELAY) != 0);
  pair.client.set_nodelay(false);
  BOOST_TEST(option(pair.client.native_handle(), IPPROTO_TCP, TCP_NODELAY) == 0);

  TcpListener listener("127.0.0.1:0", {.nodelay = false});
  TcpStream client = TcpStream::connect(listener.local_address(), {.nodelay = false});
  TcpStream server = listener.accept();
  BOOST_TEST(option(client.native_handle(), IPPROTO_TCP, TCP_NODELAY) == 0);
  BOOST_TEST(option(server.native_handle(), IPPROTO_TCP, TCP_NODELAY) == 0);
}

// ---- Listening ----------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_port_in_use_is_an_error_that_names_it) {
  TcpListener first("127.0.0.1:0");
  const std::string name = first.local_address().to_string();
  BOOST_TEST((error_of([&] { TcpListener second(name); }, "bind to " + name) ==
              std::errc::address_in_use));
}

WEFT_REAL_TIME_TEST_CASE(a_foreign_address_is_an_error_that_names_it) {
  BOOST_TEST((error_of([] { TcpListener listener("192.0.2.1:0"); }, "192.0.2.1:0") ==
              std::errc::address_not_available));
}

WEFT_REAL_TIME_TEST_CASE(listeners_share_a_port_that_all_of_them_want_to_share) {
  TcpListener first("127.0.0.1:0", {.reuse_port = true});
  TcpListener second(first.local_address(), {.reuse_port = true});
  int accepted = 0;
  auto count = [&](TcpListener& listener) {
    std::error_code error;
    for (;;) {
      const TcpStream stream = listener.accept(error);
      if (error) return;
      ++accepted;
    }
  };
  auto one = spawn([&] { count(first); });
  auto other = spawn([&] { count(second); });
  std::vector<TcpStream> clients;
  for (int i = 0; i < 40; ++i) clients.push_back(TcpStream::connect(first.local_address()));
  BOOST_REQUIRE(eventually([&] { return accepted == 40; }));
  first.close();
  second.close();
}

WEFT_REAL_TIME_TEST_CASE(a_port_can_be_served_again_at_once) {
  Address address;
  {
    TcpListener listener("127.0.0.1:0");
    address = listener.local_address();
    TcpStream client = TcpStream::connect(address);
    TcpStream server = listener.accept();
    server.close();  // first, so that its end of it stays in TIME_WAIT
    BOOST_TEST(read_to_end(client).empty());
  }
  TcpListener again(address);
  BOOST_TEST((again.local_address() == address));
}

WEFT_REAL_TIME_TEST_CASE(without_a_host_it_listens_on_every_address_of_both_families) {
  TcpListener listener(":0");
  const std::string port = std::to_string(listener.local_address().port());
  TcpStream v4 = TcpStream::connect("127.0.0.1:" + port);
  TcpStream server = listener.accept();
  BOOST_TEST((server.peer_address() == v4.local_address()));  // and not ::ffff:127.0.0.1
  TcpStream v6 = TcpStream::connect("[::1]:" + port);
  server = listener.accept();
  BOOST_TEST((server.peer_address() == v6.local_address()));
}

BOOST_AUTO_TEST_CASE(a_listener_may_be_older_and_younger_than_a_runtime) {
  TcpListener listener("127.0.0.1:0");
  TcpStream client;
  TcpStream server;
  run([&] {
    auto accepted = spawn([&] { return listener.accept(); });
    yield();
    client = TcpStream::connect(listener.local_address());
    server = accepted.get();
    auto reader = spawn([&] {
      std::array<char, 1> byte;
      return server.read_some(byte);
    });
    wait_until_blocked(reader, "read_some");
    client.write_all("x");
    BOOST_TEST(reader.get() == 1u);
  });
  // In another runtime they are registered anew, and the first one is gone.
  for (int i = 0; i < 3; ++i) {
    run([&] {
      auto reader = spawn([&] {
        std::array<char, 1> byte;
        return server.read_some(byte);
      });
      wait_until_blocked(reader, "read_some");
      client.write_all("x");
      BOOST_TEST(reader.get() == 1u);
      auto accepted = spawn([&] { return listener.accept(); });
      wait_until_blocked(accepted, "accept");
      const TcpStream another = TcpStream::connect(listener.local_address());
      BOOST_TEST((accepted.get().peer_address() == another.local_address()));
    });
  }
}

WEFT_REAL_TIME_TEST_CASE(every_connection_goes_to_one_of_several_accepting_fibers) {
  TcpListener listener("127.0.0.1:0");
  int accepted = 0;
  TaskGroup group;
  for (int i = 0; i < 5; ++i) {
    group.spawn([&] {
      for (int j = 0; j < 10; ++j) {
        listener.accept();
        ++accepted;
      }
    });
  }
  std::vector<TcpStream> clients;
  for (int i = 0; i < 50; ++i) clients.push_back(TcpStream::connect(listener.local_address()));
  group.join();
  BOOST_TEST(accepted == 50);
}

WEFT_REAL_TIME_TEST_CASE(a_connection_that_is_gone_before_it_is_accepted_does_no_harm) {
  TcpListener listener("127.0.0.1:0");
  TcpStream gone = TcpStream::connect(listener.local_address());
  reset(gone);
  TcpStream client = TcpStream::connect(listener.local_address());
  TcpStream first = listener.accept();
  if (first.peer_address() != client.local_address()) first = listener.accept();
  BOOST_TEST((first.peer_address() == client.local_address()));
}

BOOST_AUTO_TEST_SUITE_END()
