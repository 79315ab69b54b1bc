// examples/echo_server under a minute of load and trouble: what it holds at the end is what it held
// after the first ten seconds, to the byte. (By the smaller bound: ten seconds, and five.)
//
// Longer:
//   ./bazelw test //tests/stress:soak_test --test_env=WEFT_SOAK_SECONDS=3600 --test_timeout=4000
//
// Why nothing has to be tolerated: the server grows with the number of connections at once (stacks
// of fibers, slots of sockets, an array by descriptor), keeps that, and allocates nothing else that
// lasts. So the most connections come in the first seconds, in every kind of trouble, after which
// later ones find all they need. Stacks that lie unused lose their pages within seconds, but for
// the top pages of a fixed number. And the allocator is told not to set freed pieces aside for its
// own use (tcache), which it would count as in use, more or fewer of them as the order of calls
// was.

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ostream>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "tests/support/bound.h"
#include "tests/support/check.h"
#include "tests/support/program.h"
#include "weft/fiber/core/context.h"
#include "weft/weft.h"

BOOST_AUTO_TEST_SUITE(soak)

using namespace std::chrono_literals;
using weft::TcpStream;
using weft::test::Program;
using weft::test::run_program;

namespace {

constexpr std::uint64_t kSeed = 1;
const weft::Duration kWarmUp = weft::test::bound(10s, 3s);

// At once in the beginning. Later there are the clients, 50 connections of echo_load, and those of
// them that the server has not done with yet: far fewer.
constexpr int kCrowd = 600;
constexpr int kClients = 40;

// Sanitizers bring an allocator of their own, which keeps what is freed for a while, knows no
// mallinfo(), and keeps books of all that runs.
#if defined(WEFT_ASAN) || defined(WEFT_TSAN)
constexpr bool kMemoryTells = false;
#else
constexpr bool kMemoryTells = true;
#endif

// What a client does to the server.
enum Trouble {
  kNone,            // asks, and reads the answer
  kReset,           // resets in mid-message
  kStall,           // stalls half-way, and then goes on
  kSlowReader,      // sends until the server cannot, and then reads slowly
  kResetWhileFull,  // sends until the server cannot, and then resets
  kHalfClose,       // sends all, ends, and then reads
  kGo,              // connects and goes at once
  kLeaveUnread,     // goes without having read the answer
  kLoad,            // a process: examples/echo_load
  kTroubles
};

constexpr std::array<const char*, kTroubles> kNames = {
    "none",       "reset",      "stall",        "slow reader", "reset while full",
    "half-close", "go at once", "leave unread", "echo_load"};

// What clients draw from. The kernel keeps ten megabytes for each that sends and does not read.
constexpr std::array<Trouble, 16> kDrawn = {
    kNone,       kNone,           kNone,        kReset,      kReset, kReset,
    kStall,      kStall,          kHalfClose,   kHalfClose,  kGo,    kGo,
    kSlowReader, kResetWhileFull, kLeaveUnread, kLeaveUnread};

using Counts = std::array<long, kTroubles>;

// ---- Clients ------------------------------------------------------------------------------------

void reset(TcpStream& stream) {
  const linger at_once{1, 0};
  setsockopt(stream.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  stream.close();
}

// One client after another, all but the first one's trouble drawn from a seed.
class Client {
 public:
  Client(std::string_view server, std::uint64_t seed, Trouble first, Counts& counts)
      : server_(weft::Address::parse(server)), random_(seed), next_(first), counts_(counts) {}

  // Until then; a trouble that has begun is brought to its end.
  void run_until(weft::TimePoint end) {
    do {
      make(next_);
      ++counts_[next_];
      next_ = kDrawn[below(kDrawn.size())];
      weft::sleep_for(milliseconds_below(300));
    } while (weft::now() < end);
  }

 private:
  // Throws where the server does not answer as it should.
  void make(Trouble trouble) {
    TcpStream stream = TcpStream::connect(server_);
    const std::string message = text(20'000 + below(40'000));
    switch (trouble) {
      case kNone:
        for (std::size_t times = 1 + below(5); times > 0; --times) {
          stream.write_all(message);
          expect(stream, message);
        }
        break;
      case kReset:
        stream.write_all(message);
        expect(stream, std::string_view(message).substr(0, below(message.size())));
        reset(stream);
        break;
      case kStall: {
        const std::size_t half = message.size() / 2;
        stream.write_all(std::string_view(message).substr(0, half));
        weft::sleep_for(milliseconds_below(1500));
        stream.write_all(std::string_view(message).substr(half));
        expect(stream, message);
        break;
      }
      case kSlowReader:
        read_slowly(stream, fill(stream, message), message);
        break;
      case kResetWhileFull:
        fill(stream, message);
        reset(stream);
        break;
      case kHalfClose:
        stream.write_all(message);
        stream.shutdown_write();
        expect(stream, message);
        expect_end(stream);
        break;
      case kLeaveUnread:
        stream.write_all(message);
        expect(stream, std::string_view(message).substr(0, 1));
        stream.close();
        break;
      default:
        stream.close();
    }
  }

  // Sends again and again, until nothing moves any more: the server waits for room to write, and
  // so does not read. Returns how much was sent.
  std::size_t fill(TcpStream& stream, std::string_view message) {
    constexpr std::size_t kLeast = 1'000'000;  // or the machine is only slow
    std::size_t sent = 0;
    for (bool moves = true; moves || sent < kLeast;) {
      const std::string_view rest = message.substr(sent % message.size());
      try {
        sent += weft::with_timeout(200ms, [&] { return stream.write_some(rest); });
        moves = true;
      } catch (const weft::TimeoutError&) {
        moves = false;
      }
    }
    return sent;
  }

  // The answer to a message that was sent again and again.
  void read_slowly(TcpStream& stream, std::size_t sent, std::string_view message) {
    stream.shutdown_write();
    std::string piece(message.size(), '\0');
    while (sent > 0) {
      const std::size_t size = std::min(sent, piece.size());
      stream.read_exactly(std::span(piece).first(size));
      if (!message.starts_with(std::string_view(piece).substr(0, size))) {
        throw std::runtime_error("another answer");
      }
      sent -= size;
      weft::sleep_for(milliseconds_below(10));
    }
    expect_end(stream);
  }

  void expect(TcpStream& stream, std::string_view message) {
    std::string answer(message.size(), '\0');
    stream.read_exactly(answer);
    if (answer != message) throw std::runtime_error("another answer");
  }

  void expect_end(TcpStream& stream) {
    char byte;
    if (stream.read_some({&byte, 1}) != 0) throw std::runtime_error("an answer without a question");
  }

  std::size_t below(std::size_t end) { return random_() % end; }
  weft::Duration milliseconds_below(std::size_t end) {
    return std::chrono::milliseconds(below(end));
  }

  std::string text(std::size_t size) {
    std::string text(size, '\0');
    for (char& c : text) c = static_cast<char>(random_());
    return text;
  }

  const weft::Address server_;
  std::mt19937_64 random_;
  Trouble next_;
  Counts& counts_;
};

// So many connections at once, each with an answer; then half of them go, and half reset.
void crowd(const std::string& server) {
  const std::string message(20'000, 'x');
  std::vector<TcpStream> streams;
  for (int i = 0; i < kCrowd; ++i) streams.push_back(TcpStream::connect(server));
  std::string answer(message.size(), '\0');
  for (TcpStream& stream : streams) stream.write_all(message);
  for (TcpStream& stream : streams) stream.read_exactly(answer);
  for (std::size_t i = 0; i < streams.size(); i += 2) reset(streams[i]);
}

// Runs examples/echo_load now and then: without rest it would take all of a core.
void load_until(weft::TimePoint end, const std::string& server, Counts& counts) {
  do {
    const auto load = weft::run_in_executor([&] {
      return run_program("examples/echo_load",
                         {"--connections", "50", "--seconds", "0.5", "--size", "1000", server});
    });
    if (load.exit_code != 0 || load.out.find("errors                0\n") == std::string::npos) {
      throw std::runtime_error("echo_load: " + load.out + load.err);
    }
    ++counts[kLoad];
    weft::sleep_for(1s);
  } while (weft::now() < end);
}

// Everything for so long. Afterwards all connections are gone.
void load(const std::string& server, weft::Duration time, std::uint64_t seed, bool with_crowd) {
  Counts counts{};
  weft::run([&] {
    const weft::TimePoint end = weft::now() + time;
    weft::with_deadline(end + 60s, [&] {
      if (with_crowd) crowd(server);
      weft::TaskGroup group;
      group.spawn([&] { load_until(end, server, counts); });
      for (std::uint64_t i = 0; i < kClients; ++i) {
        const auto first = static_cast<Trouble>(i % kLoad);
        group.spawn(
            [&, i, first] { Client(server, seed * 1000 + i, first, counts).run_until(end); });
      }
      group.join();
    });
  });
  for (std::size_t i = 0; i < kTroubles; ++i) {
    BOOST_TEST(counts[i] > 0, "nobody was served with trouble: " << kNames[i]);
    BOOST_TEST_MESSAGE(counts[i] << " x " << kNames[i]);
  }
}

// ---- The server ---------------------------------------------------------------------------------

// What the server holds while nobody is connected.
struct Held {
  std::size_t connections = 0, fibers = 0, heap = 0;  // as it tells: in bytes, the heap
  std::ptrdiff_t descriptors = 0;
  std::size_t mappings = 0;
  std::size_t resident = 0;  // in KiB; not what is in files: of code the kernel drops what it likes

  friend bool operator==(const Held&, const Held&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Held& held) {
    return out << held.connections << " connections, " << held.fibers << " fibers, " << held.heap
               << " bytes of heap, " << held.descriptors << " descriptors, " << held.mappings
               << " mappings, " << held.resident << " KiB resident";
  }
};

class Server : public Program {
 public:
  Server() : Program("examples/echo_server", {"127.0.0.1:0"}) {
    constexpr std::string_view kFirst = "listening on ";
    const std::string line = read_line();
    BOOST_REQUIRE(line.starts_with(kFirst));
    address = line.substr(kFirst.size());
  }

  // Once it has come to rest: nothing changes any more for longer than it takes a scheduler to give
  // back the stacks that it does not need, which it does once a second.
  Held held_at_rest() {
    constexpr auto kPeriod = 100ms;
    constexpr int kPeriods = 35;
    Held held = held_now();
    for (int same = 0, all = 0; same < kPeriods; ++same, ++all) {
      BOOST_TEST_REQUIRE(all < 20 * kPeriods, "it does not come to rest: " << held);
      std::this_thread::sleep_for(kPeriod);
      const Held next = held_now();
      if (next != held) same = 0;
      held = next;
    }
    return held;
  }

  std::string address;

 private:
  Held held_now() {
    signal(SIGUSR1);
    const std::string line = read_line();
    Held held;
    const int numbers =
        std::sscanf(line.c_str(), "now: connections %zu, fibers %zu, bytes in use %zu",
                    &held.connections, &held.fibers, &held.heap);
    BOOST_TEST_REQUIRE(numbers == 3, line);
    const std::string process = "/proc/" + std::to_string(pid());
    held.descriptors = std::distance(std::filesystem::directory_iterator(process + "/fd"), {});
    if (!kMemoryTells) {
      held.heap = 0;
      return held;
    }
    std::ifstream maps(process + "/maps");
    for (std::string mapping; std::getline(maps, mapping);) ++held.mappings;
    std::ifstream memory(process + "/smaps_rollup");
    for (std::string field; std::getline(memory, field);) {
      std::size_t size = 0;
      if (std::sscanf(field.c_str(), "Anonymous: %zu kB", &size) == 1) held.resident += size;
      if (std::sscanf(field.c_str(), "Swap: %zu kB", &size) == 1) held.resident += size;
    }
    return held;
  }
};

std::chrono::seconds seconds_of_load() {
  const char* const seconds = std::getenv("WEFT_SOAK_SECONDS");
  return seconds ? std::chrono::seconds(std::atoi(seconds)) : weft::test::bound(60s, 6s);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_server_holds_no_more_after_a_minute_than_after_ten_seconds) {
  setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1);
  Server server;
  BOOST_TEST_CONTEXT("seed " << kSeed) {
    load(server.address, kWarmUp, kSeed, true);
    const Held before = server.held_at_rest();
    BOOST_TEST_MESSAGE("after the first seconds: " << before);
    load(server.address, seconds_of_load() - kWarmUp, kSeed + 1, false);
    const Held after = server.held_at_rest();
    BOOST_TEST_MESSAGE("at the end: " << after);
    BOOST_TEST(after.connections == 0u);
    BOOST_TEST(after.fibers == before.fibers);
    BOOST_TEST(after.descriptors == before.descriptors);
    BOOST_TEST(after.heap == before.heap);
    BOOST_TEST(after.mappings == before.mappings);
    BOOST_TEST(after.resident <= before.resident);
  }
  BOOST_TEST(server.stop().exit_code == 0);
}

BOOST_AUTO_TEST_SUITE_END()
