#include "weft/fiber/core/thread_port.h"

#include <thread>

#include "tests/support/check.h"

BOOST_AUTO_TEST_SUITE(thread_port)

using namespace weft;
using namespace weft::internal;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_CASE(its_clock_is_the_machines) {
  const ThreadPort port;
  const TimePoint before = Clock::now();
  const TimePoint now = port.now();
  BOOST_TEST((before <= now));
  BOOST_TEST((now <= Clock::now()));
}

BOOST_AUTO_TEST_CASE(a_past_deadline_only_polls) {
  ThreadPort port;
  BOOST_TEST(!port.wait(kPast));
  BOOST_TEST(!port.wait(TimePoint()));
  BOOST_TEST(!port.wait(port.now()));
}

BOOST_AUTO_TEST_CASE(a_wait_ends_at_its_deadline_and_not_before) {
  ThreadPort port;
  for (const Duration time : {Duration(1us), Duration(100us), Duration(2ms)}) {
    const TimePoint deadline = port.now() + time;
    BOOST_TEST(!port.wait(deadline));
    BOOST_TEST((port.now() >= deadline));
  }
}

BOOST_AUTO_TEST_CASE(wakes_end_the_next_wait_and_only_that_one) {
  ThreadPort port;
  port.wake();
  port.wake();
  BOOST_TEST(port.wait(kForever));
  BOOST_TEST(!port.wait(kPast));
}

BOOST_AUTO_TEST_CASE(a_poll_takes_a_wake) {
  ThreadPort port;
  port.wake();
  BOOST_TEST(port.wait(kPast));
  BOOST_TEST(!port.wait(kPast));
}

BOOST_AUTO_TEST_CASE(another_thread_ends_a_wait) {
  for (const Duration time : {Duration::max(), Duration(1h)}) {
    ThreadPort port;
    std::thread waker([&] {
      std::this_thread::sleep_for(2ms);
      port.wake();
    });
    BOOST_TEST(port.wait(deadline_after(port.now(), time)));
    waker.join();
  }
}

BOOST_AUTO_TEST_SUITE_END()
