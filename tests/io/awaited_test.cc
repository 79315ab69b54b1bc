// SchedulerStats::awaited_descriptors: which fibers wait for descriptors.

#include <csignal>
#include <cstddef>
#include <string>
#include <system_error>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/pipe.h"
#include "tests/support/tcp_pair.h"

BOOST_AUTO_TEST_SUITE(awaited)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

std::size_t awaited() { return Scheduler::current().stats().awaited_descriptors; }

// Runs f as a fiber until it waits, and cancels it. Returns how many descriptors were awaited.
template <class F>
std::size_t awaited_in(F f) {
  auto task = spawn(f);
  yield();
  const std::size_t count = awaited();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(awaited() == 0u);
  return count;
}

}  // namespace

WEFT_TEST_CASE(nothing_waits_for_a_descriptor_at_first) { BOOST_TEST(awaited() == 0u); }

WEFT_TEST_CASE(a_fiber_that_reads_or_accepts_counts) {
  TcpPair pair;
  TcpListener listener("127.0.0.1:0");
  char bytes[8];
  BOOST_TEST(awaited_in([&] { pair.client.read_some(bytes); }) == 1u);
  BOOST_TEST(awaited_in([&] { with_timeout(1h, [&] { pair.client.read_some(bytes); }); }) == 1u);
  BOOST_TEST(awaited_in([&] { listener.accept(); }) == 1u);
}

WEFT_TEST_CASE(a_fiber_that_writes_counts) {
  TcpPair pair;
  const std::string much(64 << 20, 'x');
  auto task = spawn([&] { pair.client.write_all(much); });
  run_until_blocked();
  BOOST_TEST(awaited() == 1u);
  pair.client.close();
  BOOST_CHECK_THROW(task.get(), std::system_error);
  BOOST_TEST(awaited() == 0u);
}

WEFT_TEST_CASE(each_fiber_that_waits_for_a_foreign_descriptor_counts) {
  const BarePipe pipe;
  TaskGroup group;
  for (int i = 0; i < 3; ++i) group.spawn([&] { wait_readable(pipe.in()); });
  yield();
  BOOST_TEST(awaited() == 3u);
  pipe.put("x");
  group.join();
  BOOST_TEST(awaited() == 0u);
  BOOST_TEST(awaited_in([&] { wait_ready(pipe.in(), Events::kRead); }) == 1u);
}

WEFT_TEST_CASE(a_fiber_that_waits_for_a_signal_counts) {
  SignalSet set{SIGUSR1};
  BOOST_TEST(awaited_in([&] { set.wait(); }) == 1u);
}

WEFT_TEST_CASE(what_does_not_wait_does_not_count) {
  TcpPair pair;
  const BarePipe pipe;
  char bytes[8];
  auto client = spawn([&] {
    for (int i = 0; i < 100; ++i) pair.client.write_all("x"), pair.server.read_some(bytes);
    wait_writable(pipe.out());
    BOOST_CHECK_THROW(wait_readable(pair.client.native_handle()), std::system_error);
    BOOST_CHECK_THROW(wait_readable(-1), std::system_error);
  });
  client.get();
  BOOST_TEST(awaited() == 0u);
}

WEFT_TEST_CASE(a_wait_that_is_over_no_longer_counts) {
  TcpPair pair;
  char bytes[8];
  BOOST_CHECK_THROW(with_timeout(1s, [&] { pair.client.read_some(bytes); }), TimeoutError);
  BOOST_TEST(awaited() == 0u);
  auto reader = spawn([&] { pair.client.read_some(bytes); });
  auto closed = spawn([&] { pair.server.read_some(bytes); });
  yield();
  BOOST_TEST(awaited() == 2u);
  pair.server.write_all("x");
  reader.get();
  BOOST_TEST(awaited() == 1u);
  pair.server.close();
  BOOST_CHECK_THROW(closed.get(), std::system_error);
  BOOST_TEST(awaited() == 0u);
}

WEFT_TEST_CASE(a_sleep_and_an_event_are_no_descriptors) {
  Event event;
  BOOST_TEST(awaited_in([&] { event.wait(); }) == 0u);
  BOOST_TEST(awaited_in([] { sleep_for(1h); }) == 0u);
}

WEFT_CORES_TEST_CASE(each_scheduler_counts_its_own) {
  TcpPair pair;
  auto reader = spawn(
      [&] {
        char bytes[8];
        pair.client.read_some(bytes);
      },
      on(1));
  run_until_blocked();
  const std::vector<std::size_t> all = spread(&awaited);
  BOOST_TEST(all == (std::vector<std::size_t>{0, 1, 0}));
  pair.server.write_all("x");
  reader.get();
  BOOST_TEST(spread(&awaited) == (std::vector<std::size_t>{0, 0, 0}));
}

BOOST_AUTO_TEST_SUITE_END()
