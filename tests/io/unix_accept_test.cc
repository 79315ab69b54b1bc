// UnixListener and UnixStream where they wait or are closed, and where descriptors come along.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/error_names.h"
#include "tests/support/fixture.h"
#include "tests/support/temporary_directory.h"
#include "weft/io/core/back_off.h"

BOOST_AUTO_TEST_SUITE(unix_accept)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// Sends a byte along with copies of a descriptor.
void send_with_descriptors(int socket, char byte, std::size_t count) {
  const Fd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  std::vector<int> numbers(count, null.get());
  std::vector<char> room(CMSG_SPACE(count * sizeof(int)));
  iovec part{&byte, 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = room.data();
  message.msg_controllen = room.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(count * sizeof(int));
  std::memcpy(CMSG_DATA(header), numbers.data(), count * sizeof(int));
  BOOST_REQUIRE(sendmsg(socket, &message, 0) == 1);
}

// Writes until there is no more room, past weft.
void fill(const UnixStream& stream) {
  const std::string bytes(10'000, 'x');
  while (send(stream.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0) {
  }
}

Duration processor_time() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

// Waits on the machine's clock.
void let_others_work(Duration time) {
  run_in_executor([time] { std::this_thread::sleep_for(time); });
}

// A listener with a client that waits, in a process that may open no descriptor until end().
struct Shortage {
  Shortage() {
    // UBSan needs descriptors to look at a type for the first time.
    BOOST_CHECK_THROW(UnixStream::connect(directory / "missing"), std::system_error);
    BackOff(1us).wait();
    let_others_work(0s);
    getrlimit(RLIMIT_NOFILE, &usual);
    const rlimit none{1, usual.rlim_max};  // poll(2) takes no more descriptors than this
    setrlimit(RLIMIT_NOFILE, &none);
  }
  ~Shortage() { end(); }
  Shortage(const Shortage&) = delete;
  Shortage& operator=(const Shortage&) = delete;
  void end() { setrlimit(RLIMIT_NOFILE, &usual); }

  const TemporaryDirectory directory;
  UnixListener listener{directory / "socket"};
  UnixStream client = UnixStream::connect(directory / "socket");
  rlimit usual{};
};

}  // namespace

// ---- Connections --------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_full_backlog_is_waited_for) {
  const TemporaryDirectory directory;
  UnixListener listener(directory / "socket", {.backlog = 1});
  constexpr int kClients = 10;
  int connected = 0;
  TaskGroup group;
  for (int i = 0; i < kClients; ++i) {
    group.spawn(
        [&] {
          UnixStream client = UnixStream::connect(directory / "socket");
          ++connected;
          client.write_all("text");
        },
        {.eager = true});
  }
  BOOST_TEST(connected > 0);
  BOOST_TEST(connected < kClients);
  const int before = connected;
  sleep_for(5ms);
  BOOST_TEST(connected == before);
  for (int i = 0; i < kClients; ++i) {
    UnixStream server = listener.accept();
    BOOST_TEST(BufferedReader(server).read_all() == "text");
  }
  group.join();
}

WEFT_REAL_TIME_TEST_CASE(who_waits_for_room_in_a_backlog_can_be_cancelled) {
  const TemporaryDirectory directory;
  UnixListener listener(directory / "socket", {.backlog = 0});
  const UnixStream first = UnixStream::connect(directory / "socket");
  BOOST_CHECK_THROW(with_timeout(5ms, [&] { UnixStream::connect(directory / "socket"); }),
                    TimeoutError);
  auto waiter = spawn([&] { UnixStream::connect(directory / "socket"); }, {.eager = true});
  listener.close();
  BOOST_CHECK_THROW(waiter.get(), std::system_error);
}

WEFT_REAL_TIME_TEST_CASE(several_may_accept) {
  const TemporaryDirectory directory;
  UnixListener listener(directory / "socket");
  std::string got;
  TaskGroup group;
  for (int i = 0; i < 10; ++i) {
    group.spawn(
        [&] {
          UnixStream stream = listener.accept();
          got += BufferedReader(stream).read_all();
        },
        {.eager = true});
  }
  for (char letter = 'a'; letter < 'a' + 10; ++letter) {
    UnixStream::connect(directory / "socket").write_all({&letter, 1});
  }
  group.join();
  std::sort(got.begin(), got.end());
  BOOST_TEST(got == "abcdefghij");
}

WEFT_REAL_TIME_TEST_CASE(a_close_wakes_everybody) {
  const TemporaryDirectory directory;
  UnixListener listener(directory / "socket");
  int woken = 0;
  TaskGroup group;
  for (int i = 0; i < 3; ++i) {
    group.spawn(
        [&] {
          BOOST_CHECK_EXCEPTION(listener.accept(), std::system_error,
                                is(std::errc::operation_canceled, "accept", directory / "socket"));
          ++woken;
        },
        {.eager = true});
  }
  listener.close();
  group.join();
  BOOST_TEST(woken == 3);
  BOOST_CHECK_EXCEPTION(listener.accept(), std::system_error,
                        is(std::errc::bad_file_descriptor, "accept", directory / "socket"));
  std::error_code error;
  const UnixStream none = listener.accept(error);
  BOOST_TEST(!none.is_open());
  BOOST_TEST((error == std::errc::bad_file_descriptor));
}

WEFT_REAL_TIME_TEST_CASE(a_cancelled_accept_takes_no_connection) {
  const TemporaryDirectory directory;
  UnixListener listener(directory / "socket");
  for (int i = 0; i < 3; ++i) {
    BOOST_CHECK_THROW(with_timeout(1ms, [&] { listener.accept(); }), TimeoutError);
    auto waiter = spawn([&] { listener.accept(); }, {.eager = true});
    UnixStream client = UnixStream::connect(directory / "socket");
    waiter.cancel();
    BOOST_CHECK_THROW(waiter.get(), TaskCancelled);
    client.write_all("text");
    client.close();
    UnixStream server = listener.accept();
    BOOST_TEST(BufferedReader(server).read_all() == "text");
  }
}

#if !defined(WEFT_VALGRIND)  // it lets the kernel accept, and closes what is beyond the limit

// Before the others: it is reported once in ten seconds.
BOOST_AUTO_TEST_CASE(out_of_descriptors_a_listener_gives_the_report_handler_its_name) {
  const ChildEnd end = run_in_child([] {
    const auto handler = [](std::string_view text) {
      const std::string line = "<" + std::string(text) + ">\n";
      if (write(STDERR_FILENO, line.data(), line.size()) < 0) std::abort();
    };
    // Twice: UBSan needs descriptors to look at a type for the first time, and the second call
    // destroys what the first has made.
    for (int i = 0; i < 2; ++i) set_report_handler(handler);
    run([] {
      Shortage shortage;
      auto server = spawn([&] { return shortage.listener.accept(); }, {.eager = true});
      sleep_for(15ms);
      shortage.end();
      server.get();
    });
    return 0;
  });
  BOOST_TEST(end.exit_code == 0, end.said);
  BOOST_TEST(end.said.starts_with("<weft: accept on /"), end.said);
  BOOST_TEST(end.said.ends_with("; trying again until there is room>\n"), end.said);
}

WEFT_REAL_TIME_TEST_CASE(out_of_descriptors_a_connection_is_accepted_later) {
  const TemporaryDirectory directory;
  UnixListener listener(directory / "socket");
  UnixStream client = UnixStream::connect(directory / "socket");
  // UBSan needs descriptors to look at a type for the first time.
  BOOST_CHECK_THROW(UnixStream::connect(directory / "missing"), std::system_error);
  rlimit usual{};
  getrlimit(RLIMIT_NOFILE, &usual);
  const rlimit none{0, usual.rlim_max};
  setrlimit(RLIMIT_NOFILE, &none);
  std::error_code error = std::make_error_code(std::errc::io_error);
  auto server = spawn([&] { return listener.accept(error); }, {.eager = true});
  sleep_for(15ms);
  setrlimit(RLIMIT_NOFILE, &usual);
  UnixStream accepted = server.get();
  BOOST_TEST(accepted.is_open());
  BOOST_TEST(!error, error.message());
}

// The clock does not know of descriptors that others close.
BOOST_AUTO_TEST_CASE(out_of_descriptors_a_virtual_clock_stands_still_and_nothing_spins) {
  run(
      [] {
        Shortage shortage;
        auto server = spawn([&] { return shortage.listener.accept(); }, {.eager = true});
        const TimePoint start = now();
        const Duration used = processor_time();
        let_others_work(300ms);
        BOOST_TEST((now() == start));
        BOOST_TEST((processor_time() - used < 150ms));
        shortage.end();
        BOOST_TEST(server.get().is_open());
        BOOST_TEST((now() == start));
      },
      {.virtual_time = true});
}

// What ends the shortage may be a fiber whose time comes later.
BOOST_AUTO_TEST_CASE(out_of_descriptors_a_virtual_clock_goes_on_to_what_comes_next) {
  run(
      [] {
        Shortage shortage;
        // Without a time limit: on a busy machine the clock might not wait for the next try.
        auto server = spawn([&] { return shortage.listener.accept(); }, {.eager = true});
        const TimePoint start = now();
        sleep_for(1h);
        shortage.end();
        BOOST_TEST(server.get().is_open());
        BOOST_TEST((now() == start + 1h));
      },
      {.virtual_time = true});
}

#endif

BOOST_AUTO_TEST_CASE(a_full_backlog_is_waited_for_on_virtual_time_and_nothing_spins) {
  run(
      [] {
        const TemporaryDirectory directory;
        UnixListener listener(directory / "socket", {.backlog = 0});
        const UnixStream first = UnixStream::connect(directory / "socket");
        auto second =
            spawn([&] { return UnixStream::connect(directory / "socket"); }, {.eager = true});
        const TimePoint start = now();
        const Duration used = processor_time();
        let_others_work(300ms);
        BOOST_TEST((now() == start));
        BOOST_TEST((processor_time() - used < 150ms));
        sleep_for(1h);
        const UnixStream accepted = listener.accept();
        BOOST_TEST(second.get().is_open());
        BOOST_TEST((now() == start + 1h));
      },
      {.virtual_time = true});
}

// ---- Descriptors that come along ----------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(descriptors_that_a_peer_passes_along_are_dropped_and_stall_nobody) {
  auto ends = UnixStream::pair();
  std::string expected, got;
  auto reader = spawn(
      [&] {
        std::array<char, 100> piece;
        while (const std::size_t size = ends.first.read_some(piece)) {
          got.append(piece.data(), size);
        }
      },
      {.eager = true});
  const auto before = open_descriptors();
  for (int round = 0; round < 10; ++round) {
    // What is there at once is read in several pieces: each may stop where descriptors are.
    for (const char letter : {'a', 'b', 'c'}) {
      ends.second.write_all({&letter, 1});
      send_with_descriptors(ends.second.native_handle(), 'D', 1);
      send_with_descriptors(ends.second.native_handle(), 'E', 100);
      ends.second.write_all({&letter, 1});
      expected += std::string(1, letter) + "DE" + std::string(1, letter);
    }
    BOOST_TEST(eventually([&] { return got == expected; }));
    BOOST_TEST(open_descriptors() == before);
  }
  ends.second.close();
  reader.get();
}

WEFT_REAL_TIME_TEST_CASE(they_stall_nobody_who_reads_in_other_ways) {
  auto ends = UnixStream::pair();
  const auto send_some = [&] {
    for (int i = 0; i < 5; ++i) {
      send_with_descriptors(ends.second.native_handle(), 'D', 2);
      ends.second.write_all("x");
    }
  };
  const auto before = open_descriptors();
  std::string ten(10, '?');
  auto exactly = spawn([&] { return ends.first.read_exactly(ten); }, {.eager = true});
  send_some();
  BOOST_TEST(exactly.get() == 10u);
  BOOST_TEST(ten == "DxDxDxDxDx");
  send_some();
  std::string first(3, '?'), second(7, '?');
  std::string all;
  while (all.size() < 10) {
    const MutableBuffer parts[] = {first, second};
    const std::size_t size = ends.first.read_some(parts);
    all += (first + second).substr(0, size);
  }
  BOOST_TEST(all == "DxDxDxDxDx");
  BOOST_TEST(open_descriptors() == before);
}

WEFT_REAL_TIME_TEST_CASE(those_that_nobody_reads_go_with_the_stream) {
  const auto before = open_descriptors();
  {
    auto ends = UnixStream::pair();
    send_with_descriptors(ends.second.native_handle(), 'D', 10);
  }
  BOOST_TEST(open_descriptors() == before);
}

// ---- Files that are sent ------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_file_is_sent_as_far_as_it_goes) {
  const TemporaryDirectory directory;
  std::ofstream(directory / "file") << "0123456789";
  const File file = File::open(directory / "file");
  auto ends = UnixStream::pair();
  BOOST_TEST(ends.first.sendfile(file, 2, 3) == 3u);
  BOOST_TEST(ends.first.sendfile(file, 8, 100) == 2u);
  BOOST_TEST(ends.first.sendfile(file, 100, 100) == 0u);
  BOOST_TEST(ends.first.sendfile(file, 0, 0) == 0u);
  ends.first.close();
  BOOST_TEST(BufferedReader(ends.second).read_all() == "23489");
}

// The thread that sends finds no room, and its stream is gone.
WEFT_REAL_TIME_TEST_CASE(a_stream_may_be_closed_while_a_thread_sends_a_file) {
  const TemporaryDirectory directory;
  std::ofstream(directory / "file") << std::string(100'000, 'x');
  const File file = File::open(directory / "file");
  auto ends = UnixStream::pair();
  fill(ends.first);
  auto sender = spawn([&] { ends.first.sendfile(file, 0, 100'000); }, {.eager = true});
  ends.first.close();
  BOOST_CHECK_EXCEPTION(sender.get(), std::system_error,
                        is(std::errc::operation_canceled, "sendfile", "pair"));
}

// The thread found none, and the event that tells of it comes before the fiber hears of that.
WEFT_REAL_TIME_TEST_CASE(room_that_comes_while_a_thread_sends_is_noticed) {
  const TemporaryDirectory directory;
  std::ofstream(directory / "file") << std::string(1000, 'x');
  const File file = File::open(directory / "file");
  auto ends = UnixStream::pair();
  const auto drain = [&] {
    std::string room(1'000'000, '?');
    while (recv(ends.second.native_handle(), room.data(), room.size(), MSG_DONTWAIT) > 0) {
    }
  };
  // Once somebody has waited, events are told.
  fill(ends.first);
  auto writer = spawn([&] { ends.first.write_all("x"); }, {.eager = true});
  drain();
  writer.get();
  fill(ends.first);
  // So many that the scheduler looks for events while it has fibers to run.
  bool stop = false;
  TaskGroup busy;
  for (int i = 0; i < 300; ++i) {
    busy.spawn([&] {
      while (!stop) yield();
    });
  }
  for (int i = 0; i < 5; ++i) yield();
  auto sender = spawn([&] { return ends.first.sendfile(file, 0, 1000); }, {.eager = true});
  // The thread comes back from its job while this one does not look.
  std::this_thread::sleep_for(20ms);
  drain();
  for (int i = 0; i < 100; ++i) yield();
  stop = true;
  busy.join();
  BOOST_CHECK_NO_THROW(with_timeout(30s, [&] { BOOST_TEST(sender.get() == 1000u); }));
}

BOOST_AUTO_TEST_SUITE_END()
