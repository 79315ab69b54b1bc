// What TcpStream and UnixStream do alike.

#include "weft/io/stream_socket.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <string>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/tcp_pair.h"

BOOST_AUTO_TEST_SUITE(stream_socket)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

int unread(const TcpStream& stream) {
  int size = -1;
  ioctl(stream.native_handle(), FIONREAD, &size);
  return size;
}

}  // namespace

// ---- Reading ------------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_read_gives_what_there_is) {
  TcpPair pair;
  pair.client.write_all("abcdef");
  std::array<char, 4> room;
  BOOST_TEST(pair.server.read_some(room) == 4u);
  BOOST_TEST(std::string(room.data(), 4) == "abcd");
  BOOST_TEST(pair.server.read_some(room) == 2u);
  BOOST_TEST(std::string(room.data(), 2) == "ef");
}

WEFT_REAL_TIME_TEST_CASE(a_read_without_room_gives_nothing_at_once) {
  TcpPair pair;
  BOOST_TEST(pair.server.read_some(MutableBuffer()) == 0u);
  BOOST_TEST(pair.server.read_some(std::span<const MutableBuffer>()) == 0u);
  BOOST_TEST(pair.server.read_exactly(MutableBuffer()) == 0u);
  BOOST_TEST(pair.server.write_some(ConstBuffer()) == 0u);
  BOOST_TEST(pair.server.write_all("") == 0u);
}

WEFT_REAL_TIME_TEST_CASE(data_that_comes_together_with_the_end_is_read_before_it) {
  for (int i = 0; i < 100; ++i) {
    TcpPair pair;
    auto reader = spawn([&] {
      std::array<char, 100> room;
      // The first read is short, and no further event will come.
      BOOST_TEST(pair.server.read_some(room) == 5u);
      BOOST_TEST(pair.server.read_some(room) == 0u);
      BOOST_TEST(pair.server.read_some(room) == 0u);
    });
    wait_until_blocked(reader, "read_some");
    pair.client.write_all("bye.\n");
    pair.client.close();
    reader.get();
  }
}

WEFT_REAL_TIME_TEST_CASE(a_reader_that_waits_is_woken_by_the_end) {
  TcpPair pair;
  auto reader = spawn([&] {
    std::array<char, 100> room;
    return pair.server.read_some(room);
  });
  wait_until_blocked(reader, "read_some");
  pair.client.shutdown_write();
  BOOST_TEST(reader.get() == 0u);
}

WEFT_REAL_TIME_TEST_CASE(the_other_direction_of_a_half_closed_connection_goes_on) {
  TcpPair pair;
  pair.client.shutdown_write();
  std::array<char, 10> room;
  BOOST_TEST(pair.server.read_some(room) == 0u);
  for (int i = 0; i < 100; ++i) {
    pair.server.write_all("still");
    BOOST_TEST(pair.client.read_exactly(std::span(room).first(5)) == 5u);
    BOOST_TEST(pair.server.read_some(room) == 0u);
  }
  BOOST_TEST((error_of([&] { pair.client.write_all("x"); }) == std::errc::broken_pipe));
}

WEFT_REAL_TIME_TEST_CASE(a_byte_at_a_time_arrives_as_well) {
  TcpPair pair;
  const std::string text = pattern(2000);
  auto writer = spawn([&] {
    for (const char& byte : text) {
      pair.client.write_all(std::span(&byte, 1));
      yield();
    }
  });
  std::string got(text.size(), '\0');
  BOOST_TEST(pair.server.read_exactly(got) == text.size());
  BOOST_TEST((got == text));
}

WEFT_REAL_TIME_TEST_CASE(read_exactly_fails_where_the_end_comes_first) {
  TcpPair pair;
  pair.client.write_all("abc");
  pair.client.shutdown_write();
  std::array<char, 10> room;
  std::error_code error;
  BOOST_TEST(pair.server.read_exactly(room, error) == 3u);
  BOOST_TEST((error == std::errc::no_message_available));
  BOOST_TEST((error_of([&] { pair.server.read_exactly(room); },
                       pair.server.peer_address().to_string()) == std::errc::no_message_available));
}

WEFT_REAL_TIME_TEST_CASE(urgent_data_does_not_hide_what_comes_behind_it) {
  TcpPair pair;
  auto reader = spawn([&] {
    std::string all(6, '\0');
    pair.server.read_exactly(all);
    return all;
  });
  wait_until_blocked(reader, "read_some");
  // A read stops at the urgent byte, which is not part of the stream.
  pair.client.write_all("abc");
  send(pair.client.native_handle(), "!", 1, MSG_OOB | MSG_NOSIGNAL);
  pair.client.write_all("def");
  BOOST_TEST(reader.get() == "abcdef");
}

// ---- Scatter and gather -------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(several_buffers_are_written_and_read_in_their_order) {
  TcpPair pair;
  BOOST_TEST(pair.client.write_all({"one,", "", "two,", "three"}) == 13u);
  std::array<char, 4> first;
  std::array<char, 0> none;
  std::array<char, 20> last;
  const std::array<MutableBuffer, 3> rooms{first, none, last};
  BOOST_TEST(pair.server.read_some(rooms) == 13u);
  BOOST_TEST(std::string(first.data(), 4) == "one,");
  BOOST_TEST(std::string(last.data(), 9) == "two,three");
}

WEFT_REAL_TIME_TEST_CASE(more_buffers_than_one_call_takes_and_more_bytes_than_fit_arrive_whole) {
  TcpPair pair;
  shrink_buffers(pair);
  const std::string text = pattern(300'000);
  std::vector<ConstBuffer> parts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = std::min<std::size_t>(at % 7919 + 1, text.size() - at);
    parts.push_back(ConstBuffer(text.data() + at, size));
    at += size;
  }
  BOOST_TEST(parts.size() > 16u);
  auto writer = spawn([&] { return pair.client.write_all(parts); });
  std::string got(text.size(), '\0');
  pair.server.read_exactly(got);
  BOOST_TEST(writer.get() == text.size());
  BOOST_TEST((got == text));
}

// ---- Peers that fail ----------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_reset_is_an_error_that_names_the_peer) {
  TcpPair pair;
  auto reader = spawn([&] {
    std::array<char, 10> room;
    return error_of([&] { pair.server.read_some(room); },
                    "read from " + pair.server.peer_address().to_string());
  });
  wait_until_blocked(reader, "read_some");
  reset(pair.client);
  BOOST_TEST((reader.get() == std::errc::connection_reset));
}

WEFT_REAL_TIME_TEST_CASE(a_reset_wakes_a_writer_that_waits) {
  TcpPair pair;
  shrink_buffers(pair);
  auto writer = spawn([&] {
    const std::string much(10'000'000, 'x');
    return error_of([&] { pair.client.write_all(much); },
                    "write to " + pair.client.peer_address().to_string());
  });
  wait_until_blocked(writer, "write_some");
  reset(pair.server);
  const std::error_code error = writer.get();
  BOOST_TEST((error == std::errc::connection_reset || error == std::errc::broken_pipe));
}

WEFT_REAL_TIME_TEST_CASE(writing_to_a_peer_that_is_gone_is_an_error_and_no_signal) {
  struct sigaction before {};
  sigaction(SIGPIPE, nullptr, &before);
  BOOST_TEST((before.sa_handler == SIG_DFL));  // it would end this process
  TcpPair pair;
  pair.server.close();
  std::error_code error;
  while (!error) pair.client.write_all("is anybody there?", error);
  BOOST_TEST((error == std::errc::broken_pipe || error == std::errc::connection_reset));
  const std::array<ConstBuffer, 2> two{"hello", "?"};
  BOOST_TEST((error_of([&] { pair.client.write_all(two); }) == std::errc::broken_pipe));
  BOOST_TEST((error_of([&] { pair.client.write_some("x"); }) == std::errc::broken_pipe));
  File file = File::open("/proc/self/exe");
  BOOST_TEST((error_of([&] { pair.client.sendfile(file, 0, 1000); }) == std::errc::broken_pipe));
}

// ---- Two at once --------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(one_fiber_may_read_while_another_writes) {
  TcpPair pair;
  const std::string text = pattern(3'000'000);
  const auto exchange = [&](TcpStream& stream) {
    auto writer = spawn([&] { stream.write_all(text); });
    std::string got(text.size(), '\0');
    stream.read_exactly(got);
    BOOST_TEST((got == text));
    writer.get();
  };
  auto there = spawn([&] { exchange(pair.client); });
  exchange(pair.server);
  there.get();
}

WEFT_REAL_TIME_TEST_CASE(a_second_fiber_that_reads_is_told_so_and_takes_nothing) {
  TcpPair pair;
  std::array<char, 10> room;
  auto reader = spawn([&] { return pair.server.read_exactly(std::span(room).first(4)); });
  wait_until_blocked(reader, "read_some");
  std::array<char, 10> other;
  BOOST_TEST((error_of([&] { pair.server.read_some(other); }, "another fiber") ==
              std::errc::device_or_resource_busy));
  pair.client.write_all("ab");
  BOOST_REQUIRE(eventually([&] { return unread(pair.server) == 0; }));
  std::error_code error;
  BOOST_TEST(pair.server.read_exactly(other, error) == 0u);
  BOOST_TEST((error == std::errc::device_or_resource_busy));
  pair.client.write_all("cd");
  BOOST_TEST(reader.get() == 4u);
  BOOST_TEST(std::string(room.data(), 4) == "abcd");
  pair.client.write_all("e");
  BOOST_TEST(pair.server.read_some(other) == 1u);
}

WEFT_REAL_TIME_TEST_CASE(a_second_fiber_that_writes_is_told_so_and_mixes_nothing) {
  TcpPair pair;
  shrink_buffers(pair);
  const std::string text = pattern(1'000'000);
  auto writer = spawn([&] { pair.client.write_all(text); });
  wait_until_blocked(writer, "write_some");
  BOOST_TEST((error_of([&] { pair.client.write_all("x"); }, "another fiber") ==
              std::errc::device_or_resource_busy));
  std::string got(text.size(), '\0');
  pair.server.read_exactly(got);
  BOOST_TEST((got == text));
}

WEFT_REAL_TIME_TEST_CASE(the_end_is_not_written_while_another_fiber_writes) {
  TcpPair pair;
  shrink_buffers(pair);
  const std::string text = pattern(1'000'000);
  auto writer = spawn([&] { return pair.client.write_all(text); });
  wait_until_blocked(writer, "write_some");
  BOOST_TEST((error_of([&] { pair.client.shutdown_write(); }, "another fiber") ==
              std::errc::device_or_resource_busy));
  auto reader = spawn([&] { return BufferedReader(pair.server).read_all(); });
  BOOST_TEST(writer.get() == text.size());
  pair.client.shutdown_write();
  BOOST_TEST((reader.get() == text));
}

// ---- Fairness and cancellation ------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_connection_that_never_waits_lets_others_run) {
  TcpPair pair;
  bool stop = false;
  int turns = 0;
  auto other = spawn([&] {
    while (!stop) {
      ++turns;
      yield();
    }
  });
  pair.client.write_all(std::string(1000, 'x'));
  std::array<char, 1> room;
  for (int i = 0; i < 1000; ++i) pair.server.read_some(room);
  stop = true;
  BOOST_TEST(turns >= 1000 / 32);
}

WEFT_REAL_TIME_TEST_CASE(a_connection_that_never_waits_can_be_cancelled) {
  TcpPair pair;
  auto writer = spawn([&] {
    std::error_code error;
    for (;;) pair.client.write_all(std::string(1000, 'x'), error);
  });
  auto reader = spawn([&] {
    std::array<char, 1> room;
    for (;;) pair.server.read_some(room);
  });
  for (int i = 0; i < 100; ++i) yield();
  reader.cancel();
  BOOST_CHECK_THROW(reader.get(), TaskCancelled);
  writer.cancel();
  BOOST_CHECK_THROW(writer.get(), TaskCancelled);
}

WEFT_REAL_TIME_TEST_CASE(a_read_that_times_out_takes_nothing_from_the_stream) {
  TcpPair pair;
  std::array<char, 10> room;
  for (int i = 0; i < 20; ++i) {
    BOOST_CHECK_THROW(with_timeout(1ms, [&] { pair.server.read_some(room); }), TimeoutError);
  }
  pair.client.write_all("there");
  BOOST_TEST(pair.server.read_some(room) == 5u);
}

// ---- sendfile -----------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(sendfile_sends_a_part_of_a_file) {
  char path[] = "/tmp/weft-sendfile-XXXXXX";
  Fd(mkstemp(path));
  const std::string text = pattern(5'000'000);
  File file = File::open(path, O_RDWR);
  unlink(path);
  file.write(text);
  TcpPair pair;
  shrink_buffers(pair);
  BOOST_TEST(pair.client.sendfile(file, 10'000'000, 5) == 0u);
  auto sender = spawn([&] {
    const std::uint64_t middle = pair.client.sendfile(file, 1000, 3'000'000);
    const std::uint64_t rest = pair.client.sendfile(file, 4'999'000, 1'000'000);
    pair.client.shutdown_write();
    return middle + rest;
  });
  const std::string got = BufferedReader(pair.server).read_all();
  BOOST_TEST(sender.get() == 3'001'000u);
  BOOST_TEST((got == text.substr(1000, 3'000'000) + text.substr(4'999'000)));
}

BOOST_AUTO_TEST_SUITE_END()
