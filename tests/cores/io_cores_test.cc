// Sockets, files, names, signals and descriptors of others with several schedulers.

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/cores.h"
#include "tests/support/pipe.h"
#include "tests/support/tcp_pair.h"
#include "tests/support/temporary_directory.h"

BOOST_AUTO_TEST_SUITE(io_cores)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

template <class Stream>
void echo(Stream& stream) {
  char buffer[16 * 1024];
  while (const std::size_t size = stream.read_some(buffer)) {
    stream.write_all(std::span(buffer, size));
  }
}

template <class Stream>
bool echoes(Stream& stream, const std::string& text) {
  stream.write_all(text);
  std::string answer(text.size(), '?');
  stream.read_exactly(answer);
  return answer == text;
}

// The i-th megabyte of what is moved.
std::string megabyte(std::size_t i) {
  std::string bytes(std::size_t{1} << 20, '\0');
  std::uint32_t state = static_cast<std::uint32_t>(i) + 1;
  for (char& byte : bytes) byte = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return bytes;
}

// From a fiber of the second scheduler to one of the third.
template <class Stream>
void move_megabytes(Stream from, Stream to) {
  constexpr std::size_t kMegabytes = 8;
  auto writer = spawn(
      [from = std::move(from)]() mutable {
        for (std::size_t i = 0; i < kMegabytes; ++i) from.write_all(megabyte(i));
        from.shutdown_write();
      },
      on(1));
  auto reader = spawn(
      [to = std::move(to)]() mutable {
        std::size_t right = 0;
        std::string bytes(std::size_t{1} << 20, '\0');
        for (std::size_t i = 0; i < kMegabytes; ++i) {
          to.read_exactly(bytes);
          right += bytes == megabyte(i);
        }
        char more[1];
        return to.read_some(more) == 0 ? right : 0;
      },
      on(2));
  writer.get();
  BOOST_TEST(reader.get() == kMegabytes);
}

// Waits for something that does not come, so that the stream is registered here.
template <class Stream>
void read_in_vain(Stream& stream) {
  char buffer[1];
  try {
    with_timeout(1ns, [&] { stream.read_some(buffer); });
  } catch (const TimeoutError&) {
  }
}

std::string receive(UdpSocket& socket) {
  std::string text(100, '?');
  text.resize(socket.receive_from(text).size);
  return text;
}

}  // namespace

// ---- Streams that are handed over ---------------------------------------------------------------

WEFT_REAL_TIME_CORES_TEST_CASE(what_one_scheduler_accepts_others_may_serve) {
  TcpListener listener("127.0.0.1:0");
  Queue<TcpStream> accepted(2);
  std::array<std::atomic<int>, 3> served{};
  auto acceptor = spawn([&] {
    for (int i = 0; i < 60; ++i) accepted.push(listener.accept());
    accepted.close();
  });
  auto servers = spawn([&] {
    spread([&](std::size_t i) {
      for (TcpStream&& next : accepted) {
        TcpStream stream = std::move(next);
        echo(stream);
        ++served[i];
      }
    });
  });
  const Address address = listener.local_address();
  std::atomic<int> right{0};
  spread([&](std::size_t i) {
    for (int call = 0; call < 20; ++call) {
      TcpStream stream = TcpStream::connect(address);
      for (int turn = 0; turn < 5; ++turn) {
        right += echoes(stream, std::to_string(i) + "." + std::to_string(call));
      }
    }
  });
  acceptor.get();
  servers.get();
  BOOST_TEST(right == 300);
  BOOST_TEST(served[0] + served[1] + served[2] == 60);
}

WEFT_REAL_TIME_CORES_TEST_CASE(a_stream_may_go_from_scheduler_to_scheduler) {
  TcpPair pair;
  auto server = spawn([&] { echo(pair.server); }, on(1));
  int right = 0;
  for (int round = 0; round < 300; ++round) {
    // It is registered with one after the other, and keeps what came in between.
    right += spawn(
                 [stream = std::move(pair.client), &pair, round]() mutable {
                   const bool same = echoes(stream, std::string(1 + round % 7, 'x'));
                   if (round % 2) read_in_vain(stream);
                   pair.client = std::move(stream);
                   return same;
                 },
                 on(round % 3))
                 .get();
  }
  pair.client.close();
  server.get();
  BOOST_TEST(right == 300);
}

WEFT_REAL_TIME_CORES_TEST_CASE(a_stream_that_went_elsewhere_needs_its_former_scheduler_no_more) {
  for (int round = 0; round < 20; ++round) {
    auto [ours, theirs] = UnixStream::pair();
    const int number = ours.native_handle();
    spawn([&ours = ours] { read_in_vain(ours); }, on(1)).get();
    BOOST_TEST(registrations(number) == 1);
    const Stopped stopped(1);
    auto reader = spawn(
        [stream = std::move(ours), number]() mutable {
          read_in_vain(stream);
          char byte[1];
          stream.read_exactly(byte);
          return registrations(number);
        },
        on(2));
    if (round % 2) sleep_for(100us);
    theirs.write_all("x");
    BOOST_REQUIRE(reader.wait_for(20s));
    BOOST_TEST(reader.get() == 1);
  }
}

WEFT_REAL_TIME_CORES_TEST_CASE(what_came_before_a_hand_over_is_read_after_it) {
  for (int round = 0; round < 100; ++round) {
    auto [ours, theirs] = UnixStream::pair();
    read_in_vain(ours);
    theirs.write_all("text");
    if (round % 2) sleep_for(1us);  // this scheduler may see it come, or not
    if (round % 4 == 0) theirs.close();
    auto reader = spawn(
        [stream = std::move(ours), at_end = round % 4 == 0]() mutable {
          std::string text(4, '?');
          stream.read_exactly(text);
          char more[1];
          return text == "text" && (!at_end || stream.read_some(more) == 0);
        },
        on(1 + round % 2));
    BOOST_REQUIRE(reader.get());
  }
}

WEFT_REAL_TIME_CORES_TEST_CASE(an_idle_socket_may_be_closed_on_another_scheduler) {
  std::atomic<int> wrong{0};
  for (int round = 0; round < 100; ++round) {
    auto [idle, other] = UnixStream::pair();
    read_in_vain(idle);
    const int number = idle.native_handle();
    auto closer = spawn([stream = std::move(idle)] {}, on(1 + round % 2));
    // The number is soon used again, here and there, and gets no event of the one before.
    spread([&, number] {
      auto [mine, its] = UnixStream::pair();
      auto echoing = spawn([&its = its] { echo(its); });
      wrong += !echoes(mine, std::to_string(number));
      mine.close();
      echoing.get();
    });
    closer.get();
    char end[1];
    BOOST_REQUIRE(other.read_some(end) == 0u);
  }
  BOOST_TEST(wrong == 0);
}

WEFT_REAL_TIME_CORES_TEST_CASE(megabytes_go_from_scheduler_to_scheduler) {
  TcpPair tcp;
  move_megabytes(std::move(tcp.client), std::move(tcp.server));
  auto [one, other] = UnixStream::pair();
  move_megabytes(std::move(one), std::move(other));
}

WEFT_REAL_TIME_CORES_TEST_CASE(a_unix_listener_serves_clients_of_all_schedulers) {
  const TemporaryDirectory directory;
  UnixListener listener(directory / "socket");
  auto server = spawn([&] {
    TaskGroup connections;
    for (int i = 0; i < 30; ++i) {
      auto serve = [stream = listener.accept()]() mutable { echo(stream); };
      connections.spawn(std::move(serve), {.on = round_robin()});
    }
    connections.join();
  });
  std::atomic<int> right{0};
  spread([&] {
    for (int call = 0; call < 10; ++call) {
      UnixStream stream = UnixStream::connect(listener.path());
      right += echoes(stream, std::string(100'000, 'x'));
    }
  });
  server.get();
  BOOST_TEST(right == 30);
}

// ---- Datagrams ----------------------------------------------------------------------------------

WEFT_REAL_TIME_CORES_TEST_CASE(datagrams_go_from_scheduler_to_scheduler) {
  UdpSocket first("127.0.0.1:0"), second("127.0.0.1:0");
  const auto play = [](UdpSocket& from, const UdpSocket& to) {
    int caught = 0;
    for (int i = 0; i < 300; ++i) {
      from.send_to("ball", to.local_address());
      caught += receive(from) == "ball";
    }
    return caught;
  };
  auto one = spawn([&] { return play(first, second); }, on(1));
  auto two = spawn([&] { return play(second, first); }, on(2));
  BOOST_TEST(one.get() == 300);
  BOOST_TEST(two.get() == 300);
}

WEFT_REAL_TIME_CORES_TEST_CASE(a_udp_socket_may_go_from_scheduler_to_scheduler) {
  UdpSocket sender("127.0.0.1:0"), receiver("127.0.0.1:0");
  for (int round = 0; round < 100; ++round) {
    auto waiter = spawn([&] { return receive(receiver); }, on(round % 3));
    if (round % 2) yield();
    sender.send_to(std::to_string(round), receiver.local_address());
    BOOST_REQUIRE(waiter.get() == std::to_string(round));
  }
}

// ---- Signals ------------------------------------------------------------------------------------

WEFT_REAL_TIME_CORES_TEST_CASE(signals_from_any_thread_come_to_the_set_of_the_first_scheduler) {
  SignalSet signals({SIGUSR1, SIGUSR2});
  const auto send = [] { kill(getpid(), SIGUSR1); };
  for (int round = 0; round < 60; ++round) {
    auto waiter = spawn([&] { return signals.wait(); });
    if (round % 2) yield();
    if (round % 4 == 3) {
      run_in_executor(send);
    } else {
      spawn(send, on(round % 3)).get();
    }
    BOOST_REQUIRE(waiter.get() == SIGUSR1);
  }
}

// ---- Files and names ----------------------------------------------------------------------------

WEFT_REAL_TIME_CORES_TEST_CASE(all_schedulers_may_use_files_at_once) {
  const TemporaryDirectory directory;
  File shared = File::open(directory / "shared", O_RDWR | O_CREAT);
  const std::vector<bool> right = spread([&](std::size_t i) {
    const std::string text(10'000, static_cast<char>('a' + i));
    File own = File::open(directory / std::to_string(i), O_RDWR | O_CREAT);
    for (int part = 0; part < 5; ++part) {
      own.write(text);
      shared.pwrite(text, (part * 3 + i) * text.size());
    }
    own.close();
    return File::open(directory / std::to_string(i)).read_all().size() == 5 * text.size();
  });
  for (const bool all : right) BOOST_TEST(all);
  std::string expected;
  for (int part = 0; part < 5; ++part) {
    for (const char c : {'a', 'b', 'c'}) expected += std::string(10'000, c);
  }
  BOOST_TEST((shared.read_all() == expected));
}

WEFT_REAL_TIME_CORES_TEST_CASE(all_schedulers_may_look_up_names_at_once) {
  const auto found = spread([] {
    std::size_t addresses = 0;
    for (int i = 0; i < 10; ++i) addresses += resolve("localhost", "80").size();
    return addresses;
  });
  for (const std::size_t addresses : found) BOOST_TEST(addresses >= 10u);
}

// ---- Descriptors of others ----------------------------------------------------------------------

WEFT_REAL_TIME_CORES_TEST_CASE(a_pipe_may_lead_to_another_scheduler) {
  const BarePipe there(O_NONBLOCK), back(O_NONBLOCK);
  auto echoing = spawn(
      [&] {
        for (int i = 0; i < 300; ++i) {
          wait_readable(there.in());
          back.put(there.take());
        }
      },
      on(1));
  auto asking = spawn(
      [&] {
        int right = 0;
        for (int i = 0; i < 300; ++i) {
          there.put("text");
          wait_readable(back.in());
          right += back.take() == "text";
        }
        return right;
      },
      on(2));
  BOOST_TEST(asking.get() == 300);
  echoing.get();
}

WEFT_CORES_TEST_CASE(who_waits_for_room_is_told_when_another_scheduler_reads) {
  const BarePipe pipe(O_NONBLOCK);
  for (int round = 0; round < 20; ++round) {
    pipe.fill();
    auto writer = spawn_in_turn(round % 3, [&] { wait_writable(pipe.out()); });
    BOOST_TEST(!writer.done());
    const auto empty = [&] {
      while (!pipe.take(4096).empty()) {
      }
    };
    spawn(empty, on(1)).get();
    writer.get();
  }
}

BOOST_AUTO_TEST_SUITE_END()
