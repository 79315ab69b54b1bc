// A socket that fibers of several runtimes use, each on a thread of its own.

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/fixture.h"

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

WEFT_REAL_TIME_TEST_CASE(fibers_of_two_may_receive_at_once) {
  UdpSocket sender("127.0.0.1:0"), receiver("127.0.0.1:0");
  std::atomic<int> received{0};
  const auto receive_until_told = [&] {
    while (receive(receiver) != "stop") ++received;
  };
  std::thread thread([&] { run(receive_until_told); });
  auto here = spawn(receive_until_told, {.eager = true});
  for (int i = 1; i <= 1000; ++i) {
    sender.send_to("text", receiver.local_address());
    if (i % 50 == 0) BOOST_TEST(eventually([&] { return received == i; }));
  }
  for (int i = 0; i < 2; ++i) sender.send_to("stop", receiver.local_address());
  here.get();
  run_in_executor([&] { thread.join(); });
}

WEFT_REAL_TIME_TEST_CASE(one_may_send_while_the_other_receives) {
  UdpSocket shared("127.0.0.1:0"), echo("127.0.0.1:0");
  std::thread thread([&] {
    run([&] {
      for (int i = 0; i < 100; ++i) shared.send_to("text", echo.local_address());
    });
  });
  auto answers = spawn([&] {
    std::string text(100, '?');
    for (int i = 0; i < 100; ++i) {
      const auto got = echo.receive_from(text);
      echo.send_to({text.data(), got.size}, got.from);
    }
  });
  for (int i = 0; i < 100; ++i) BOOST_TEST(receive(shared) == "text");
  answers.get();
  run_in_executor([&] { thread.join(); });
}

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

WEFT_REAL_TIME_TEST_CASE(who_waits_does_so_beyond_the_end_of_another_runtime) {
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
  registered.wait();
  auto waiter = spawn([&] { return receive(receiver); }, {.eager = true});
  may_end.set();
  run_in_executor([&] { thread.join(); });
  sender.send_to("text", receiver.local_address());
  BOOST_CHECK_NO_THROW(with_timeout(2s, [&] { waiter.get(); }));
}

BOOST_AUTO_TEST_SUITE_END()
