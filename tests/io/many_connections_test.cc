// Many connections, few descriptors, much data.

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/fixture.h"
#include "tests/support/tcp_pair.h"
#include "weft/fiber/core/context.h"

BOOST_AUTO_TEST_SUITE(many_connections)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// So many descriptors are allowed while it lives.
struct DescriptorLimit {
  explicit DescriptorLimit(rlim_t count) {
    getrlimit(RLIMIT_NOFILE, &usual);
    const rlimit limit{std::min(count, usual.rlim_max), usual.rlim_max};
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  ~DescriptorLimit() { setrlimit(RLIMIT_NOFILE, &usual); }
  rlimit usual{};
};

// The first of the numbers that the next descriptors get.
rlim_t next_descriptor() {
  const Fd fd(dup(STDIN_FILENO));
  return static_cast<rlim_t>(fd.get());
}

// A line of /proc/self/status, in KiB.
long status(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key + ":")) return std::stol(line.substr(key.size() + 1));
  }
  return -1;
}

#if !defined(WEFT_VALGRIND)

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// A program of its own, without weft: opens so many connections, sends a byte on each, once all are
// open, and counts those that come back.
int count_echoes(const Address& address, int connections) {
  std::vector<int> sockets;
  for (int i = 0; i < connections; ++i) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, address.data(), address.size()) != 0) return i;
    sockets.push_back(fd);
  }
  for (const int fd : sockets) {
    if (send(fd, "x", 1, MSG_NOSIGNAL) != 1) return -1;
  }
  int echoes = 0;
  char byte = 0;
  for (const int fd : sockets) echoes += recv(fd, &byte, 1, 0) == 1 && byte == 'x';
  return echoes;
}

#endif

}  // namespace

#if !defined(WEFT_VALGRIND)

BOOST_AUTO_TEST_CASE(ten_thousand_connections_are_served_at_once) {
#if defined(WEFT_TSAN)
  constexpr int kConnections = 1000;  // it knows 8,000 fibers at most, and is slow with many
#else
  constexpr int kConnections = 10'000;
#endif
  const DescriptorLimit limit(kConnections + 200);
  BOOST_TEST_REQUIRE(limit.usual.rlim_max >= kConnections + 200,
                     "the limit of descriptors is too low");
  TcpListener listener("127.0.0.1:0");
  const pid_t child = fork();
  if (child == 0) {
    alarm(50);
    const Address address = listener.local_address();
    listener.close();
    _exit(count_echoes(address, kConnections) == kConnections ? 0 : 1);
  }
  int served = 0;
  const auto serve = [&] {
    TaskGroup group;
    for (int i = 0; i < kConnections; ++i) {
      group.spawn([&, stream = listener.accept()]() mutable {
        std::array<char, 16> room;
        while (const std::size_t size = stream.read_some(room)) {
          stream.write_all(std::span(room).first(size));
          ++served;
        }
      });
    }
    group.join();
  };
  BOOST_CHECK_NO_THROW(run([&] { with_timeout(45s, serve); }));
  BOOST_TEST(served == kConnections);
  int status = -1;
  waitpid(child, &status, 0);
  BOOST_TEST(status == 0);
}

// valgrind lets the kernel accept, and closes what is beyond the limit.
BOOST_AUTO_TEST_CASE(out_of_descriptors_accept_waits_says_so_once_and_loses_nothing) {
  const ChildEnd end = run_in_child([] {
    return run([] {
      constexpr int kClients = 30;
      constexpr int kRoom = 5;
      TcpListener listener("127.0.0.1:0");
      std::vector<TcpStream> clients;
      for (int i = 0; i < kClients; ++i) {
        clients.push_back(TcpStream::connect(listener.local_address()));
        clients.back().write_all(std::to_string(i) + "\n");
      }
      const DescriptorLimit low(next_descriptor() + kRoom);

      std::vector<TcpStream> servers;
      auto acceptor = spawn([&] {
        while (servers.size() < kClients) servers.push_back(listener.accept());
      });
      const double cpu = cpu_seconds();
      sleep_for(200ms);
      if (servers.size() != kRoom || acceptor.done()) return 1;
      if (cpu_seconds() - cpu > 0.1) return 2;

      // One at a time makes room for the next; each gets what it sent, in order.
      for (std::size_t i = 0; i < kClients; ++i) {
        while (servers.size() <= i) sleep_for(1ms);
        std::string line;
        if (!BufferedReader(servers[i]).read_line(line) || line != std::to_string(i)) return 3;
        servers[i].close();
      }
      acceptor.get();
      return 0;
    });
  });
  BOOST_TEST(end.exit_code == 0, end.exit_code << " " << end.said);
  const std::string sentence = "trying again until there is room\n";
  BOOST_TEST(end.said.starts_with("weft: accept on 127.0.0.1:"), end.said);
  BOOST_TEST(end.said.find(sentence) + sentence.size() == end.said.size(), end.said);
}

#endif

// UBSan needs descriptors to look at a type: what is thrown is looked at when there are some again.

WEFT_REAL_TIME_TEST_CASE(out_of_descriptors_close_and_cancel_end_an_accept) {
  TcpListener listener("127.0.0.1:0");
  TcpStream client = TcpStream::connect(listener.local_address());
  std::exception_ptr thrown;
  std::error_code error;
  {
    const DescriptorLimit low(next_descriptor());
    try {
      with_timeout(50ms, [&] { listener.accept(); });
    } catch (...) {
      thrown = std::current_exception();
    }
    auto acceptor = spawn([&] { listener.accept(error); }, {.eager = true});
    listener.close();
    acceptor.get();
  }
  BOOST_CHECK_THROW(std::rethrow_exception(thrown), TimeoutError);
  BOOST_TEST((error == std::errc::operation_canceled));
}

WEFT_REAL_TIME_TEST_CASE(out_of_descriptors_connect_is_an_error_that_names_the_call) {
  TcpListener listener("127.0.0.1:0");
  const Address address = listener.local_address();
  // The first of its kind.
  BOOST_TEST((error_of([&] { TcpListener again(address); }) == std::errc::address_in_use));
  std::exception_ptr thrown;
  {
    const DescriptorLimit low(next_descriptor());
    try {
      TcpStream::connect(address);
    } catch (...) {
      thrown = std::current_exception();
    }
  }
  const auto error =
      error_of([&] { std::rethrow_exception(thrown); }, "connect to " + address.to_string());
  BOOST_TEST((error == std::errc::too_many_files_open));
}

WEFT_REAL_TIME_TEST_CASE(a_gigabyte_to_a_slow_reader_takes_little_memory) {
#if defined(WEFT_VALGRIND)
  constexpr std::size_t kTotal = std::size_t{1} << 26;
#else
  constexpr std::size_t kTotal = std::size_t{1} << 30;
#endif
  constexpr std::size_t kChunk = 1 << 18;
  TcpPair pair;
  const long before = status("VmRSS");
  long most = before;
  std::size_t sent = 0;
  auto writer = spawn([&] {
    std::vector<char> chunk(kChunk);
    for (; sent < kTotal; sent += kChunk) {
      std::memcpy(chunk.data(), &sent, sizeof(sent));
      pair.client.write_all(chunk);
    }
    pair.client.shutdown_write();
  });
  std::vector<char> chunk(kChunk);
  std::size_t got = 0;
  std::size_t farthest = 0;
  for (; got < kTotal; got += kChunk) {
    if (got % (64 * kChunk) == 0) {
      sleep_for(5ms);
      most = std::max(most, status("VmRSS"));
    }
    farthest = std::max(farthest, sent - got);
    pair.server.read_exactly(chunk);
    std::size_t number = 0;
    std::memcpy(&number, chunk.data(), sizeof(number));
    BOOST_REQUIRE(number == got);
  }
  writer.get();
  BOOST_TEST(farthest < std::size_t{64} << 20);
  BOOST_TEST(most - before < 64 * 1024);
}

BOOST_AUTO_TEST_CASE(a_program_that_is_started_gets_no_descriptor) {
  const auto descriptors_of_a_child = [] {
    FILE* const list = popen("ls /proc/self/fd | wc -l", "r");
    int count = -1;
    BOOST_TEST(fscanf(list, "%d", &count) == 1);
    pclose(list);
    return count;
  };
  const int before = descriptors_of_a_child();
  BOOST_TEST(before >= 4);
  run([&] {
    TcpPair pair;
    TcpListener listener("127.0.0.1:0");
    UdpSocket udp("127.0.0.1:0");
    UnixListener unix_listener("@weft-many-connections-" + std::to_string(getpid()));
    UnixStream unix_client = UnixStream::connect(unix_listener.path());
    UnixStream unix_server = unix_listener.accept();
    auto [one, other] = UnixStream::pair();
    SignalSet signals({SIGUSR1});
    File file = File::open("/proc/self/status");
    BOOST_TEST(open_descriptors() >= 12);
    BOOST_TEST(descriptors_of_a_child() == before);
  });
}

BOOST_AUTO_TEST_SUITE_END()
