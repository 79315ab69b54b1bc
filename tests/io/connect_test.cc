// TcpStream::connect() where a host has several addresses. A host "[::1+127.0.0.2]" has these, in
// this order: this program's getaddrinfo() says so. On virtual time an attempt that is not answered
// takes no time, and the clock shows exactly what was waited for.

#include <dlfcn.h>
#include <netdb.h>
#include <sys/socket.h>

#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/support/error_names.h"
#include "tests/support/fixture.h"
#include "weft/io/core/socket.h"

BOOST_AUTO_TEST_SUITE(connect)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

using GetAddrInfo = int(const char*, const char*, const addrinfo*, addrinfo**);

int answer(const char* host, const char* service, const addrinfo* hints, addrinfo** list) {
  static auto* const real = reinterpret_cast<GetAddrInfo*>(dlsym(RTLD_NEXT, "getaddrinfo"));
  const std::string_view all(host ? host : "");
  const std::size_t plus = all.find('+');
  if (plus == std::string_view::npos) return real(host, service, hints, list);
  if (const int error = real(std::string(all.substr(0, plus)).c_str(), service, hints, list)) {
    return error;
  }
  addrinfo** end = list;
  while (*end) end = &(*end)->ai_next;
  return answer(std::string(all.substr(plus + 1)).c_str(), service, hints, end);
}

// The addresses that were tried, without their port.
std::vector<std::string> tried;

int note_and_connect(int fd, const sockaddr* to, socklen_t size) {
  static auto* const real = reinterpret_cast<decltype(&::connect)>(dlsym(RTLD_NEXT, "connect"));
  if (to->sa_family == AF_INET) {
    tried.push_back(Address(*reinterpret_cast<const sockaddr_in*>(to)).host());
  } else if (to->sa_family == AF_INET6) {
    tried.push_back(Address(*reinterpret_cast<const sockaddr_in6*>(to)).host());
  }
  return real(fd, to, size);
}

}  // namespace

BOOST_AUTO_TEST_SUITE_END()

// These come before libc's.
extern "C" int getaddrinfo(const char* host, const char* service, const addrinfo* hints,
                           addrinfo** list) {
  return connect_suite::answer(host, service, hints, list);
}
extern "C" int connect(int fd, const sockaddr* to, socklen_t size) {
  return connect_suite::note_and_connect(fd, to, size);
}

BOOST_AUTO_TEST_SUITE(connect)

namespace {

// A port of which 127.0.0.1 and 127.0.0.4 accept, and ::1 and 127.0.0.2 do not answer: their
// backlogs are full. 127.0.0.3 and others refuse.
class Port {
 public:
  Port() {
    int tries = 0;
    while (!take_number()) BOOST_REQUIRE(++tries < 100);
    for (std::size_t dead = 0; dead < 2; ++dead) {
      const Address place = at(kDead[dead]);
      BOOST_REQUIRE(listen(kept_[dead].get(), 0) == 0);
      // The kernel takes one more than it was asked for, and one that is not complete.
      for (int i = 0; i < 3; ++i) ::connect(keep(place).get(), place.data(), place.size());
    }
    tried.clear();
  }

  Address at(const char* host) const { return Address::parse(host, number_); }
  std::string operator()(const std::string& hosts) const {
    return "[" + hosts + "]:" + std::to_string(number_);
  }
  TcpListener& live() { return live_; }

 private:
  // False if another program has the number somewhere.
  bool take_number() {
    live_ = TcpListener("127.0.0.1:0");
    number_ = live_.local_address().port();
    kept_.clear();
    for (const char* host : kDead) {
      const Address place = at(host);
      if (bind(keep(place).get(), place.data(), place.size()) != 0) return false;
    }
    try {
      other_live_ = TcpListener(at("127.0.0.4"));
    } catch (const std::system_error&) {
      return false;
    }
    return true;
  }

  Fd& keep(const Address& place) {
    return kept_.emplace_back(
        socket(place.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  }

  static constexpr const char* kDead[] = {"::1", "127.0.0.2"};

  TcpListener live_, other_live_;
  std::uint16_t number_ = 0;
  std::vector<Fd> kept_;
};

Duration time_of(const std::function<void()>& f) {
  const TimePoint begin = now();
  f();
  return now() - begin;
}

using Hosts = std::vector<std::string>;

}  // namespace

// ---- When attempts begin ------------------------------------------------------------------------

WEFT_TEST_CASE(with_one_family_dead_the_other_one_is_connected_after_the_stagger) {
  Port port;
  for (const Duration stagger : {250ms, 40ms}) {
    TcpStream stream;
    const Duration took =
        time_of([&] { stream = TcpStream::connect(port("::1+127.0.0.1"), {.stagger = stagger}); });
    BOOST_TEST((took == stagger), took.count());
    BOOST_TEST((stream.peer_address() == port.at("127.0.0.1")));
    BOOST_TEST(count_fibers() == 1u);  // the other attempt is gone
  }
  BOOST_TEST((time_of([&] { TcpStream::connect(port("::1+127.0.0.1")); }) == 250ms));
}

// The same on the machine's clock: the stagger and a round trip. It prints the figure.
WEFT_REAL_TIME_TEST_CASE(with_one_family_dead_a_connection_takes_the_stagger_and_a_round_trip) {
  Port port;
  const auto took = [&](const std::string& hosts) {
    const Duration time = time_of([&] { TcpStream::connect(hosts, {.stagger = 40ms}); });
    return std::chrono::duration<double, std::milli>(time).count();
  };
  const double alive = took(port("127.0.0.1+127.0.0.4")), dead = took(port("::1+127.0.0.1"));
  BOOST_TEST_MESSAGE("connect: " << alive << " ms; with one family dead and a stagger of 40 ms: "
                                 << dead << " ms");
  BOOST_TEST(dead >= 40);
}

WEFT_TEST_CASE(without_a_stagger_all_are_tried_at_once) {
  Port port;
  for (const Duration stagger : {0ms, -1ms}) {
    tried.clear();
    BOOST_TEST((time_of([&] {
                  TcpStream::connect(port("::1+127.0.0.2+127.0.0.1"), {.stagger = stagger});
                }) == 0ms));
    BOOST_TEST((tried == Hosts{"::1", "127.0.0.2", "127.0.0.1"}));
  }
}

WEFT_TEST_CASE(a_failure_begins_the_next_attempt_at_once) {
  Port port;
  BOOST_TEST((time_of([&] { TcpStream::connect(port("127.0.0.3+127.0.0.5+127.0.0.1")); }) == 0ms));
  // While the first is still waited for.
  tried.clear();
  BOOST_TEST(
      (time_of([&] { TcpStream::connect(port("127.0.0.2+127.0.0.3+127.0.0.1")); }) == 250ms));
  BOOST_TEST((tried == Hosts{"127.0.0.2", "127.0.0.3", "127.0.0.1"}));
}

WEFT_TEST_CASE(a_success_leaves_the_rest_untried) {
  Port port;
  TcpStream::connect(port("127.0.0.1+::1+127.0.0.3"));
  BOOST_TEST((tried == Hosts{"127.0.0.1"}));
}

WEFT_TEST_CASE(families_take_turns_beginning_with_the_first) {
  Port port;
  std::error_code error;
  TcpStream::connect(port("127.0.0.3+127.0.0.5+127.0.0.6+::1+::1"), {.timeout = 1s}, error);
  BOOST_TEST((tried == Hosts{"127.0.0.3", "::1", "127.0.0.5", "::1", "127.0.0.6"}));
  tried.clear();
  TcpStream::connect(port("::1+127.0.0.3+127.0.0.5"), {.timeout = 1s}, error);
  BOOST_TEST((tried == Hosts{"::1", "127.0.0.3", "127.0.0.5"}));
}

WEFT_SHUFFLED_TEST_CASE(of_several_that_answer_at_once_one_is_returned_and_the_rest_closed) {
  Port port;
  const auto before = open_descriptors();
  TcpStream client = TcpStream::connect(port("127.0.0.4+127.0.0.1+127.0.0.4"), {.stagger = 0s});
  BOOST_TEST(client.is_open());
  BOOST_TEST(count_fibers() == 1u);
  BOOST_TEST(open_descriptors() == before + 1);
  client.write_all("x");
}

WEFT_SHUFFLED_TEST_CASE(what_a_lost_attempt_fails_with_reaches_no_handler) {
  Port port;
  int handled = 0;
  Scheduler::current().set_exception_handler([&](std::exception_ptr) { ++handled; });
  const auto before = open_descriptors();
  const TcpStream client =
      TcpStream::connect(port("127.0.0.3+::1+127.0.0.1+127.0.0.5"), {.stagger = 0s});
  BOOST_TEST(open_descriptors() == before + 1);
  BOOST_TEST(count_fibers() == 1u);
  BOOST_TEST(handled == 0);
}

// ---- How it ends --------------------------------------------------------------------------------

WEFT_TEST_CASE(where_all_fail_the_first_error_is_thrown_with_what_was_tried) {
  Port port;
  const std::string refused = port("127.0.0.3+127.0.0.2"), dead = port("127.0.0.2+::1");
  const std::string tried_first =
      "(tried " + port.at("127.0.0.3").to_string() + ", " + port.at("127.0.0.2").to_string() + ")";
  BOOST_TEST((time_of([&] {
                BOOST_CHECK_EXCEPTION(
                    TcpStream::connect(refused, {.timeout = 1s}), std::system_error,
                    is(std::errc::connection_refused, "connect to " + refused, tried_first));
              }) == 1s));
  BOOST_CHECK_EXCEPTION(TcpStream::connect(dead, {.timeout = 1s}), std::system_error,
                        is(std::errc::timed_out, "connect to " + dead));
  // That of the first address, though the second one has failed first.
  std::error_code error;
  TcpStream::connect(port("127.0.0.2+127.0.0.3"), {.timeout = 1s}, error);
  BOOST_TEST((error == std::errc::timed_out));
  TcpStream stream = TcpStream::connect(refused, {.timeout = 1s}, error);
  BOOST_TEST(!stream.is_open());
  BOOST_TEST((error == std::errc::connection_refused));
  BOOST_TEST(count_fibers() == 1u);
}

WEFT_TEST_CASE(the_timeout_is_that_of_all_together) {
  Port port;
  BOOST_TEST((time_of([&] {
                BOOST_CHECK_THROW(TcpStream::connect(port("::1+127.0.0.2"), {.timeout = 100ms}),
                                  std::system_error);
              }) == 100ms));
}

WEFT_TEST_CASE(a_cancellation_ends_all_attempts) {
  Port port;
  const auto before = open_descriptors();
  auto task = spawn([&] { TcpStream::connect(port("::1+127.0.0.2"), {.stagger = 0s}); });
  sleep_for(10ms);
  BOOST_TEST(open_descriptors() == before + 2);
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(open_descriptors() == before);
  BOOST_TEST(count_fibers() == 1u);
}

// ---- The local address --------------------------------------------------------------------------

WEFT_TEST_CASE(a_connection_comes_from_the_address_that_was_asked_for) {
  Port port;
  const Address from = Address::parse("127.0.0.9:0");
  for (const std::string& place : {port.at("127.0.0.1").to_string(), port("::1+127.0.0.1")}) {
    TcpStream client;
    BOOST_TEST((time_of([&] { client = TcpStream::connect(place, {.from = from}); }) == 0ms));
    BOOST_TEST(client.local_address().host() == "127.0.0.9");
    BOOST_TEST((port.live().accept().peer_address() == client.local_address()));
  }
  BOOST_TEST((tried == Hosts{"127.0.0.1", "127.0.0.1"}));  // only those of its family
}

WEFT_TEST_CASE(a_local_address_that_does_not_fit_is_an_error) {
  Port port;
  const std::string place = port.at("127.0.0.1").to_string();
  const Address v6 = Address::parse("[::1]:0"), foreign = Address::parse("192.0.2.1:0");
  BOOST_CHECK_EXCEPTION(TcpStream::connect(place, {.from = v6}), std::system_error,
                        is(std::errc::address_family_not_supported, place));
  BOOST_CHECK_EXCEPTION(
      TcpStream::connect(port.at("127.0.0.1"), {.from = v6}), std::system_error,
      is(std::errc::address_family_not_supported, "bind for connect to " + place));
  BOOST_CHECK_EXCEPTION(TcpStream::connect(place, {.from = foreign}), std::system_error,
                        is(std::errc::address_not_available, "bind for connect to " + place));
  std::error_code error;
  TcpStream::connect(port("127.0.0.1+127.0.0.4"), {.from = v6}, error);
  BOOST_TEST((error == std::errc::address_family_not_supported));
}

BOOST_AUTO_TEST_SUITE_END()
