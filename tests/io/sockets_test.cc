#undef _FORTIFY_SOURCE  // or else the C library's headers define recv(), too

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/tcp_pair.h"
#include "weft/io/core/socket.h"

// System calls of this program, counted on their way: a definition in the program itself comes
// before libc's.
namespace {

struct Calls {
  int recv = 0;
  int send = 0;
  int epoll_wait = 0;
  int epoll_ctl = 0;
} calls;

}  // namespace

extern "C" ssize_t recv(int fd, void* data, size_t size, int flags) {
  ++calls.recv;
  return syscall(SYS_recvfrom, fd, data, size, flags, nullptr, nullptr);
}

extern "C" ssize_t send(int fd, const void* data, size_t size, int flags) {
  ++calls.send;
  return syscall(SYS_sendto, fd, data, size, flags, nullptr, 0);
}

extern "C" int epoll_pwait2(int fd, epoll_event* events, int room, const timespec* timeout,
                            const sigset_t* signals) {
  ++calls.epoll_wait;
  return static_cast<int>(syscall(SYS_epoll_pwait2, fd, events, room, timeout, signals, 8));
}

extern "C" int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
  ++calls.epoll_ctl;
  return static_cast<int>(syscall(SYS_epoll_ctl, epoll, operation, fd, event));
}

BOOST_AUTO_TEST_SUITE(sockets)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

// ---- What a request costs -----------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_request_costs_one_recv_one_send_and_a_share_of_a_wait) {
  constexpr int kConnections = 20;
  constexpr int kRequests = 50;
  std::vector<TcpPair> pairs(kConnections);
  std::vector<Task<void>> servers;
  for (TcpPair& pair : pairs) {
    servers.push_back(spawn([&pair] {
      std::array<char, 1000> room;
      while (const std::size_t size = pair.server.read_some(room)) {
        pair.server.write_all(std::span(room).first(size));
      }
    }));
  }
  const auto request_on_all = [&] {
    for (TcpPair& pair : pairs) pair.client.write_all("request");
    for (TcpPair& pair : pairs) {
      std::array<char, 1000> room;
      BOOST_TEST(pair.client.read_some(room) == 7u);
    }
  };
  request_on_all();  // registers all
  request_on_all();
  calls = {};
  for (int i = 0; i < kRequests; ++i) request_on_all();
  // Of both sides.
  const int total = 2 * kConnections * kRequests;
  BOOST_TEST(calls.send == total);
  BOOST_TEST(calls.recv >= total);
  BOOST_TEST(calls.recv <= total + total / 50);
  BOOST_TEST(calls.epoll_wait <= total / 5);
  BOOST_TEST(calls.epoll_ctl == 0);
  for (TcpPair& pair : pairs) pair.client.close();
  for (auto& server : servers) server.get();
}

WEFT_REAL_TIME_TEST_CASE(a_connection_that_never_waits_is_not_registered) {
  TcpPair pair;
  calls = {};
  pair.client.write_all("x");
  std::array<char, 10> room;
  BOOST_TEST(pair.server.read_some(room) == 1u);
  BOOST_TEST(calls.epoll_ctl == 0);
}

WEFT_REAL_TIME_TEST_CASE(what_is_full_is_written_to_when_there_is_room) {
  TcpPair pair;
  shrink_buffers(pair);
  calls = {};
  constexpr std::size_t kSize = 5'000'000;
  auto writer = spawn([&] { pair.client.write_all(std::string(kSize, 'x')); });
  std::string got(kSize, '\0');
  pair.server.read_exactly(got);
  writer.get();
  BOOST_TEST(calls.epoll_ctl <= 2);
}

// ---- close() ------------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(close_wakes_whoever_reads) {
  TcpPair pair;
  auto reader = spawn([&] {
    std::array<char, 10> room;
    return error_of([&] { pair.server.read_some(room); }, "read from");
  });
  wait_until_blocked(reader, "read_some");
  pair.server.close();
  BOOST_TEST((reader.get() == std::errc::operation_canceled));
}

WEFT_REAL_TIME_TEST_CASE(close_wakes_whoever_writes) {
  TcpPair pair;
  shrink_buffers(pair);
  auto writer = spawn([&] {
    return error_of([&] { pair.client.write_all(std::string(10'000'000, 'x')); }, "write to");
  });
  wait_until_blocked(writer, "write_some");
  pair.client.close();
  BOOST_TEST((writer.get() == std::errc::operation_canceled));
}

WEFT_REAL_TIME_TEST_CASE(close_wakes_all_who_accept) {
  TcpListener listener("127.0.0.1:0");
  const std::string name = listener.local_address().to_string();
  std::vector<Task<std::error_code>> acceptors;
  for (int i = 0; i < 3; ++i) {
    acceptors.push_back(
        spawn([&] { return error_of([&] { listener.accept(); }, "accept on " + name); }));
    wait_until_blocked(acceptors.back(), "accept");
  }
  listener.close();
  for (auto& acceptor : acceptors) {
    BOOST_TEST((acceptor.get() == std::errc::operation_canceled));
  }
}

WEFT_REAL_TIME_TEST_CASE(close_comes_before_data_that_is_there_already) {
  TcpPair pair;
  auto reader = spawn([&] {
    std::array<char, 10> room;
    std::error_code error;
    const std::size_t size = pair.server.read_some(room, error);
    BOOST_TEST(size == 0u);
    return error;
  });
  wait_until_blocked(reader, "read_some");
  pair.client.write_all("data");
  pair.server.close();
  const std::error_code error = reader.get();
  BOOST_TEST((error == std::errc::operation_canceled));
}

WEFT_REAL_TIME_TEST_CASE(after_close_every_call_is_an_error) {
  TcpPair pair;
  pair.client.close();
  pair.client.close();
  std::array<char, 10> room;
  const auto bad = std::errc::bad_file_descriptor;
  BOOST_TEST((error_of([&] { pair.client.read_some(room); }, "read from") == bad));
  BOOST_TEST((error_of([&] { pair.client.read_exactly(room); }, "read from") == bad));
  BOOST_TEST((error_of([&] { pair.client.write_some("x"); }, "write to") == bad));
  BOOST_TEST((error_of([&] { pair.client.write_all({"x", "y"}); }, "write to") == bad));
  BOOST_TEST((error_of([&] { pair.client.shutdown_write(); }, "shutdown_write") == bad));
  BOOST_TEST((error_of([&] { pair.client.local_address(); }, "local_address") == bad));
  BOOST_TEST((error_of([&] { pair.client.set_nodelay(true); }, "setsockopt") == bad));
  BOOST_TEST(pair.client.native_handle() == -1);
  BOOST_TEST(!pair.client.is_open());
  TcpListener listener;
  BOOST_TEST((error_of([&] { listener.accept(); }, "accept on") == bad));
}

WEFT_REAL_TIME_TEST_CASE(a_reader_of_a_closed_socket_may_go_before_or_after_the_socket) {
  for (int i = 0; i < 50; ++i) {
    auto pair = std::make_unique<TcpPair>();
    auto reader = spawn([&] {
      std::array<char, 10> room;
      std::error_code error;
      pair->server.read_some(room, error);
      pair.reset();  // destroyed by the one who was woken
      return error;
    });
    wait_until_blocked(reader, "read_some");
    pair->server.close();
    BOOST_TEST((reader.get() == std::errc::operation_canceled));
    BOOST_TEST(!pair);
  }
}

// ---- Descriptors that are used again ------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_number_that_is_used_again_at_once_gets_no_event_of_the_one_before) {
  TcpListener listener("127.0.0.1:0");
  int same = 0;
  TcpStream client = TcpStream::connect(listener.local_address());
  TcpStream server = listener.accept();
  for (int i = 0; i < 500; ++i) {
    auto reader = spawn([&] {
      std::array<char, 10> room;
      std::error_code error;
      server.read_some(room, error);
      return error;
    });
    if (i % 3 != 0) yield();
    // An event of the old one is on its way when the new one takes its place.
    if (i % 2 == 0) client.write_all("old");
    const int number = server.native_handle();
    server.close();
    client.close();
    reader.get();
    client = TcpStream::connect(listener.local_address());
    server = listener.accept();
    same += server.native_handle() == number || client.native_handle() == number;

    auto next = spawn([&] {
      std::string text(3, '\0');
      server.read_exactly(text);
      return text;
    });
    yield();
    BOOST_TEST(!next.done());
    client.write_all("new");
    BOOST_TEST(next.get() == "new");
  }
  BOOST_TEST(same > 400);
}

WEFT_REAL_TIME_TEST_CASE(a_duplicate_of_a_closed_socket_wakes_nobody) {
  TcpPair first;
  auto reader = spawn([&] {
    std::array<char, 10> room;
    std::error_code error;
    first.server.read_some(room, error);
  });
  wait_until_blocked(reader, "read_some");
  const Fd duplicate(dup(first.server.native_handle()));  // as a child process may have one
  first.server.close();
  reader.get();

  TcpPair second;  // its slot is the same
  auto next = spawn([&] {
    std::array<char, 10> room;
    return second.server.read_some(room);
  });
  wait_until_blocked(next, "read_some");
  calls = {};
  for (int i = 0; i < 20; ++i) {
    first.client.write_all("to the duplicate");
    yield();
  }
  BOOST_TEST(!next.done());
  BOOST_TEST(calls.recv == 0);
  second.client.write_all("x");
  BOOST_TEST(next.get() == 1u);
}

// ---- Fairness -----------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(sockets_are_served_while_fibers_stay_ready) {
  TcpPair pair;
  bool stop = false;
  std::vector<Task<void>> busy;
  for (int i = 0; i < 10; ++i) {
    busy.push_back(spawn([&] {
      while (!stop) yield();
    }));
  }
  auto server = spawn([&] {
    std::array<char, 10> room;
    while (const std::size_t size = pair.server.read_some(room)) {
      pair.server.write_all(std::span(room).first(size));
    }
  });
  const TimePoint begin = now();
  std::array<char, 1> byte;
  for (int i = 0; i < 100; ++i) {
    pair.client.write_all("x");
    BOOST_TEST(pair.client.read_exactly(byte) == 1u);
  }
  // A look every 100 microseconds, two a round trip, and a machine that is busy with other things.
  BOOST_TEST((now() - begin < 2s));
  stop = true;
  pair.client.close();
}

BOOST_AUTO_TEST_SUITE_END()
