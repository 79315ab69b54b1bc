// Virtual time with several schedulers: what is on its way between them through the kernel comes
// before the clock jumps.

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/cores.h"
#include "tests/support/crowd.h"
#include "tests/support/pipe.h"
#include "tests/support/tcp_pair.h"

BOOST_AUTO_TEST_SUITE(virtual_io_cores)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

constexpr int kExchanges = 2 * kRounds;

// Fibers of all schedulers that would have the clock jump by an hour.
class Sleepers {
 public:
  Sleepers() {
    for (std::size_t i = 0; i < 3; ++i) group_.spawn([] { sleep_for(1h); }, on(i));
    run_until_blocked();
  }

 private:
  TaskGroup group_;
};

template <class Stream>
void echo(Stream& stream) {
  char buffer[100];
  while (const std::size_t size = stream.read_some(buffer)) {
    stream.write_all(std::span(buffer, size));
  }
}

// Exchanges something between all pairs of schedulers, and returns how much time that took.
template <class Stream>
Duration exchange(Stream& mine, Stream& its) {
  const TimePoint start = now();
  for (std::size_t here = 0; here < 3; ++here) {
    for (std::size_t there = 0; there < 3; ++there) {
      auto echoing = spawn(
          [&] {
            char byte[1];
            for (int i = 0; i < kExchanges / 9; ++i) {
              its.read_exactly(byte);
              its.write_all("x");
            }
          },
          on(there));
      auto asking = spawn(
          [&] {
            char byte[1];
            for (int i = 0; i < kExchanges / 9; ++i) {
              mine.write_all("x");
              mine.read_exactly(byte);
            }
          },
          on(here));
      asking.get();
      echoing.get();
    }
  }
  return now() - start;
}

}  // namespace

WEFT_CORES_TEST_CASE(what_comes_through_a_unix_socket_takes_no_time) {
  auto [mine, its] = UnixStream::pair();
  const Sleepers sleepers;
  BOOST_TEST(exchange(mine, its).count() == 0);
}

WEFT_CORES_TEST_CASE(what_comes_through_a_connection_takes_no_time) {
  TcpPair pair;
  const Sleepers sleepers;
  BOOST_TEST(exchange(pair.client, pair.server).count() == 0);
}

WEFT_CORES_TEST_CASE(what_comes_through_a_pipe_takes_no_time) {
  const BarePipe pipe(O_NONBLOCK);
  Queue<int> turns;
  const Sleepers sleepers;
  const TimePoint start = now();
  auto reader = spawn(
      [&] {
        for (int i = 0; i < kExchanges; ++i) {
          wait_readable(pipe.in());
          pipe.take(1);
          turns.push(i);
        }
      },
      on(1));
  auto writer = spawn(
      [&] {
        for (int i = 0; i < kExchanges; ++i) {
          pipe.put("x");
          turns.pop();
        }
      },
      on(2));
  writer.get();
  reader.get();
  BOOST_TEST((now() == start));
}

WEFT_CORES_TEST_CASE(a_new_connection_takes_no_time) {
  TcpListener listener("127.0.0.1:0");
  const Address address = listener.local_address();
  const Sleepers sleepers;
  const TimePoint start = now();
  auto server = spawn(
      [listener = std::move(listener)]() mutable {
        for (int i = 0; i < kExchanges / 4; ++i) {
          TcpStream stream = listener.accept();
          echo(stream);
        }
      },
      on(1));
  for (int i = 0; i < kExchanges / 4; ++i) {
    auto client = [&] {
      TcpStream stream = TcpStream::connect(address);
      char byte[1];
      stream.write_all("x");
      stream.read_exactly(byte);
    };
    spawn(client, on(i % 3)).get();
  }
  server.get();
  BOOST_TEST((now() == start));
}

// Each scheduler goes to sleep while another one writes, from moment to moment.
WEFT_CORES_TEST_CASE(a_time_out_never_comes_before_what_was_sent_earlier) {
  std::atomic<int> late{0}, in_time{0};
  std::vector<std::pair<UnixStream, UnixStream>> pairs;
  for (int i = 0; i < 3; ++i) pairs.push_back(UnixStream::pair());
  spread([&](std::size_t i) {
    UnixStream& in = pairs[i].first;
    UnixStream& out = pairs[(i + 1) % 3].second;
    for (int turn = 0; turn < kExchanges; ++turn) {
      char byte[1];
      out.write_all("x");
      try {
        with_timeout(1ms, [&] { in.read_exactly(byte); });
        ++in_time;
      } catch (const TimeoutError&) {
        ++late;
      }
      if (turn % 3 == static_cast<int>(i)) sleep_for(Duration(turn % 5));
    }
  });
  BOOST_TEST(late == 0);
  BOOST_TEST(in_time == 3 * kExchanges);
}

WEFT_CORES_TEST_CASE(a_signal_of_another_schedulers_thread_takes_no_time) {
  SignalSet signals({SIGUSR1});
  const Sleepers sleepers;
  const TimePoint start = now();
  for (int i = 0; i < kRounds; ++i) {
    auto waiter = spawn([&] { return signals.wait(); });
    spawn([] { kill(getpid(), SIGUSR1); }, on(i % 3)).get();
    BOOST_REQUIRE(waiter.get() == SIGUSR1);
  }
  BOOST_TEST((now() == start));
}

BOOST_AUTO_TEST_SUITE_END()
