// Sockets of several runtimes, each on a thread of its own.

#include <atomic>
#include <string>
#include <thread>

#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(udp_runtimes)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

std::string receive(UdpSocket& socket) {
  std::string text(100, '?');
  text.resize(socket.receive_from(text).size);
  return text;
}

}  // namespace

WEFT_REAL_TIME_TEST_CASE(two_sockets_of_two_may_talk) {
  UdpSocket first("127.0.0.1:0"), second("127.0.0.1:0");
  std::atomic<int> caught{0};
  const auto play = [&](UdpSocket& from, UdpSocket& to) {
    for (int i = 0; i < 500; ++i) {
      from.send_to("ball", to.local_address());
      caught += receive(from) == "ball";
    }
  };
  std::thread thread([&] { run([&] { play(first, second); }); });
  play(second, first);
  run_in_executor([&] { thread.join(); });
  BOOST_TEST(caught == 2 * 500);
}

WEFT_REAL_TIME_TEST_CASE(a_socket_may_be_handed_over) {
  UdpSocket sender("127.0.0.1:0"), receiver("127.0.0.1:0");
  Event registered, may_end;
  std::thread thread([&] {
    run([&] {
      try {
        with_timeout(1ms, [&] { receive(receiver); });
      } catch (const TimeoutError&) {
      }
      registered.set();
      may_end.wait();
    });
  });
  // Nobody calls any more over there, though that runtime goes on for a while.
  registered.wait();
  auto waiter = spawn([&] { return receive(receiver); }, {.eager = true});
  may_end.set();
  run_in_executor([&] { thread.join(); });
  sender.send_to("text", receiver.local_address());
  BOOST_CHECK_NO_THROW(with_timeout(2s, [&] { waiter.get(); }));
}

BOOST_AUTO_TEST_SUITE_END()
