// TcpListener::one_per_scheduler().

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <numeric>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "tests/support/cores.h"
#include "tests/support/error_names.h"
#include "weft/io/tcp.h"

BOOST_AUTO_TEST_SUITE(listen_cores)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

using Listeners = std::vector<TcpListener>;

int option_of(int fd, int level, int option) {
  int value = -1;
  socklen_t size = sizeof(value);
  BOOST_REQUIRE(getsockopt(fd, level, option, &value, &size) == 0);
  return value;
}

bool shares_port(const TcpListener& listener) {
  return option_of(listener.native_handle(), SOL_SOCKET, SO_REUSEPORT) != 0;
}

// Answers each connection with the number of the scheduler, until the listener is closed.
void serve(Listeners& listeners) {
  spread([&](std::size_t i) {
    std::error_code error;
    for (;;) {
      TcpStream stream = listeners[i].accept(error);
      if (error) return;
      stream.write_all(std::to_string(i));
    }
  });
}

void close_all(Listeners& listeners) {
  spread([&](std::size_t i) { listeners[i].close(); });
}

std::size_t ask(const Address& server) {
  TcpStream stream = TcpStream::connect(server);
  char answer[1];
  stream.read_exactly(answer);
  return static_cast<std::size_t>(answer[0] - '0');
}

// How often each scheduler answered.
std::vector<int> ask_often(const Address& server, int times) {
  std::vector<int> answers(3);
  for (int i = 0; i < times; ++i) ++answers.at(ask(server));
  return answers;
}

std::string local(std::uint16_t port) { return "127.0.0.1:" + std::to_string(port); }

}  // namespace

// ---- Listening ----------------------------------------------------------------------------------

WEFT_REAL_TIME_CORES_TEST_CASE(there_is_one_for_each_scheduler_and_all_have_one_port) {
  for (const char* address : {"127.0.0.1:0", "[::1]:0", ":0", "localhost:0"}) {
    const Listeners listeners = TcpListener::one_per_scheduler(address);
    BOOST_TEST(listeners.size() == 3u);
    const Address first = listeners.front().local_address();
    BOOST_TEST(first.port() != 0, address);
    for (const TcpListener& listener : listeners) {
      BOOST_TEST((listener.local_address() == first), address);
      BOOST_TEST(shares_port(listener), address);
    }
  }
}

WEFT_REAL_TIME_CORES_TEST_CASE(any_scheduler_may_make_them) {
  auto task = spawn([] { return TcpListener::one_per_scheduler("127.0.0.1:0").size(); }, on(2));
  BOOST_TEST(task.get() == 3u);
}

WEFT_REAL_TIME_CORES_TEST_CASE(connections_arrive_on_all_schedulers) {
  Listeners listeners = TcpListener::one_per_scheduler("127.0.0.1:0");
  auto server = spawn([&] { serve(listeners); });
  const Address address = listeners.front().local_address();
  std::vector<int> answers(3);
  for (const auto& here : spread([&] { return ask_often(address, 40); })) {
    for (std::size_t i = 0; i < 3; ++i) answers[i] += here[i];
  }
  for (const int count : answers) BOOST_TEST(count > 0);
  BOOST_TEST(std::accumulate(answers.begin(), answers.end(), 0) == 120);
  close_all(listeners);
  server.get();
}

WEFT_REAL_TIME_CORES_TEST_CASE(every_address_of_the_machine_means_both_families) {
  Listeners listeners = TcpListener::one_per_scheduler(":0");
  auto server = spawn([&] { serve(listeners); });
  const std::uint16_t port = listeners.front().local_address().port();
  for (const char* host : {"127.0.0.1", "::1"}) {
    for (const int count : ask_often(Address::parse(host, port), 60)) {
      BOOST_TEST(count > 0, host);
    }
  }
  close_all(listeners);
  server.get();
}

WEFT_REAL_TIME_CORES_TEST_CASE(the_options_hold_for_each_of_them) {
  for (const bool nodelay : {true, false}) {
    Listeners listeners = TcpListener::one_per_scheduler("127.0.0.1:0", {.nodelay = nodelay});
    for (const TcpListener& listener : listeners) {
      BOOST_TEST(option_of(listener.native_handle(), IPPROTO_TCP, TCP_NODELAY) == nodelay);
    }
  }
}

// The connections of the first round are in TIME_WAIT.
WEFT_REAL_TIME_CORES_TEST_CASE(a_server_may_be_started_again_at_once_on_its_port) {
  std::string place = "127.0.0.1:0";
  for (int round = 0; round < 3; ++round) {
    Listeners listeners = TcpListener::one_per_scheduler(place);
    auto server = spawn([&] { serve(listeners); });
    const Address address = listeners.front().local_address();
    place = address.to_string();
    ask_often(address, 10);
    close_all(listeners);
    server.get();
  }
}

BOOST_AUTO_TEST_CASE(a_single_scheduler_has_one_listener_which_does_not_share_its_port) {
  run_real_time_case([] {
    for (const bool reuse_port : {false, true}) {
      Listeners listeners =
          TcpListener::one_per_scheduler("127.0.0.1:0", {.reuse_port = reuse_port});
      BOOST_REQUIRE(listeners.size() == 1u);
      BOOST_TEST(shares_port(listeners.front()) == reuse_port);
      auto server = spawn([&] { serve(listeners); });
      BOOST_TEST(ask(listeners.front().local_address()) == 0u);
      listeners.front().close();
      server.get();
    }
  });
}

BOOST_AUTO_TEST_CASE(outside_of_a_fiber_they_are_refused) {
  BOOST_CHECK_THROW(TcpListener::one_per_scheduler("127.0.0.1:0"), std::logic_error);
}

WEFT_REAL_TIME_CORES_TEST_CASE(what_is_no_address_is_refused_and_leaves_nothing) {
  using enum std::errc;
  BOOST_CHECK_EXCEPTION(TcpListener::one_per_scheduler("nowhere"), std::system_error,
                        is(invalid_argument, "nowhere"));
  // Of a network that is for documentation.
  BOOST_CHECK_EXCEPTION(TcpListener::one_per_scheduler("192.0.2.1:0"), std::system_error,
                        is(address_not_available, "192.0.2.1"));
}

// ---- Others who want the port -------------------------------------------------------------------

WEFT_REAL_TIME_CORES_TEST_CASE(a_second_server_on_the_port_is_refused) {
  for (const char* address : {"127.0.0.1:0", ":0"}) {
    const Listeners first = TcpListener::one_per_scheduler(address);
    const std::string place = first.front().local_address().to_string();
    const auto in_use = is(std::errc::address_in_use, place);
    BOOST_CHECK_EXCEPTION(TcpListener::one_per_scheduler(place), std::system_error, in_use);
    BOOST_CHECK_EXCEPTION(TcpListener{place}, std::system_error, in_use);
    std::atomic<bool> elsewhere{false};
    std::thread([&] {
      run(
          [&] {
            try {
              TcpListener::one_per_scheduler(place);
            } catch (const std::system_error& error) {
              elsewhere = in_use(error);
            }
          },
          {.threads = 2});
    }).join();
    BOOST_TEST(elsewhere);
  }
}

WEFT_REAL_TIME_CORES_TEST_CASE(where_a_single_listener_has_the_port_they_are_refused) {
  const TcpListener first("127.0.0.1:0");
  const std::string place = first.local_address().to_string();
  for (const bool reuse_port : {false, true}) {
    BOOST_CHECK_EXCEPTION(TcpListener::one_per_scheduler(place, {.reuse_port = reuse_port}),
                          std::system_error, is(std::errc::address_in_use, place));
  }
}

WEFT_REAL_TIME_CORES_TEST_CASE(a_listener_that_would_share_the_port_does_not_without_being_asked) {
  const TcpListener first("127.0.0.1:0", {.reuse_port = true});
  const std::string place = first.local_address().to_string();
  BOOST_CHECK_EXCEPTION(TcpListener::one_per_scheduler(place), std::system_error,
                        is(std::errc::address_in_use, place));
  BOOST_TEST(TcpListener::one_per_scheduler(place, {.reuse_port = true}).size() == 3u);
}

WEFT_REAL_TIME_CORES_TEST_CASE(two_servers_that_both_say_so_share_the_port) {
  Listeners first = TcpListener::one_per_scheduler("127.0.0.1:0", {.reuse_port = true});
  const Address address = first.front().local_address();
  Listeners second = TcpListener::one_per_scheduler(address.to_string(), {.reuse_port = true});
  std::atomic<int> answers[2] = {};
  const auto count = [](Listeners& listeners, std::atomic<int>& answered) {
    spread([&](std::size_t i) {
      std::error_code error;
      for (;;) {
        TcpStream stream = listeners[i].accept(error);
        if (error) return;
        ++answered;
        stream.write_all("0");
      }
    });
  };
  auto one = spawn([&] { count(first, answers[0]); });
  auto two = spawn([&] { count(second, answers[1]); });
  ask_often(address, 60);
  BOOST_TEST(answers[0] > 0);
  BOOST_TEST(answers[1] > 0);
  BOOST_TEST(answers[0] + answers[1] == 60);
  close_all(first);
  close_all(second);
  one.get();
  two.get();
}

// ---- The end ------------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(closing_one_of_them_wakes_its_acceptors_only) {
  Listeners listeners = TcpListener::one_per_scheduler("127.0.0.1:0");
  std::array<std::atomic<int>, 3> ended{};
  const auto accept_until_closed = [&](std::size_t i) {
    std::error_code error;
    listeners[i].accept(error);
    ended[i] += error == std::errc::operation_canceled;
  };
  TaskGroup acceptors;
  for (std::size_t i = 0; i < 6; ++i) {
    acceptors.spawn([&, i] { accept_until_closed(i % 3); }, on(i % 3));
  }
  run_until_blocked();
  for (const std::size_t i : {1, 2, 0}) {
    BOOST_TEST(ended[i] == 0);
    spawn([&] { listeners[i].close(); }, on(i)).get();
    run_until_blocked();
    BOOST_TEST(ended[i] == 2);
  }
  acceptors.join();
}

WEFT_REAL_TIME_CORES_TEST_CASE(those_that_are_left_get_all_connections) {
  Listeners listeners = TcpListener::one_per_scheduler("127.0.0.1:0");
  auto server = spawn([&] { serve(listeners); });
  const Address address = listeners.front().local_address();
  spawn([&] { listeners[1].close(); }, on(1)).get();
  const std::vector<int> answers = ask_often(address, 60);
  BOOST_TEST((answers[0] > 0 && answers[1] == 0 && answers[2] > 0));
  close_all(listeners);
  server.get();
  BOOST_CHECK_EXCEPTION(TcpStream::connect(address), std::system_error,
                        is(std::errc::connection_refused, address.to_string()));
  const TcpListener next(local(address.port()));  // the port is free
  BOOST_TEST(next.is_open());
}

WEFT_REAL_TIME_CORES_TEST_CASE(a_cancelled_server_leaves_nothing) {
  for (int round = 0; round < 10; ++round) {
    Listeners listeners = TcpListener::one_per_scheduler("127.0.0.1:0");
    auto server = spawn([&] { serve(listeners); });
    BOOST_TEST(ask(listeners.front().local_address()) < 3u);
    server.cancel();
    BOOST_CHECK_THROW(server.get(), TaskCancelled);
  }
}

BOOST_AUTO_TEST_SUITE_END()
