// What is known of a call that failed, or was cancelled, when a part had been transferred.

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/error_names.h"
#include "tests/support/fixture.h"
#include "tests/support/tcp_pair.h"
#include "tests/support/temporary_directory.h"

BOOST_AUTO_TEST_SUITE(partial_transfer)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kMuch = 16'000'000;  // more than buffers take

// One end that writes much, and one that may read it.
using Check = std::function<void(StreamSocket& near, StreamSocket& far)>;

void with_each_stream(const Check& check) {
  {
    TcpPair pair;
    shrink_buffers(pair);
    check(pair.client, pair.server);
  }
  {
    auto ends = UnixStream::pair();
    check(ends.first, ends.second);
  }
}

// Writes the pattern, or as much of it as it can.
struct Writer {
  const char* waits_in;
  std::function<std::size_t(StreamSocket&, std::error_code&)> write;
};

// Every call that writes all. They refer to `text` and to `file`, which has the same content.
std::vector<Writer> writers(const std::string& text, const File& file) {
  return {
      {"write_some", [&](auto& stream, auto& error) { return stream.write_all(text, error); }},
      {"write_some",
       [&](auto& stream, auto& error) {
         const std::string_view all = text;
         const std::array<ConstBuffer, 3> parts{all.substr(0, 1000), all.substr(1000, 1),
                                                all.substr(1001)};
         return stream.write_all(parts, error);
       }},
      {"sendfile",
       [&](auto& stream, auto& error) {
         return static_cast<std::size_t>(stream.sendfile(file, 0, text.size(), error));
       }},
  };
}

void with_each_writer(const std::function<void(const Writer&, const std::string& text)>& check) {
  const TemporaryDirectory directory;
  const std::string text = pattern(kMuch);
  File file = File::open(directory / "file", O_RDWR | O_CREAT);
  file.write(text);
  int number = 0;
  for (const Writer& writer : writers(text, file)) {
    BOOST_TEST_CONTEXT("writer " << ++number) { check(writer, text); }
  }
}

bool is_prefix(const std::string& part, const std::string& whole) {
  return whole.compare(0, part.size(), part) == 0;
}

int unread(const StreamSocket& stream) {
  int size = -1;
  ioctl(stream.native_handle(), FIONREAD, &size);
  return size;
}

// What a write returns that has begun when end() ends the connection.
template <class F>
std::pair<std::size_t, std::error_code> write_until(const Writer& writer, StreamSocket& near,
                                                    StreamSocket& far, F end) {
  std::size_t written = 0;
  std::error_code error;
  auto task = spawn([&] { written = writer.write(near, error); });
  BOOST_REQUIRE(eventually([&] { return unread(far) > 0; }));
  end();
  task.get();
  return {written, error};
}

// Writes until there is no room for a further byte.
void fill(StreamSocket& stream) {
  const std::string much(100'000, 'x');
  while (send(stream.native_handle(), much.data(), much.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
  }
}

}  // namespace

// ---- Writing ------------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_write_that_is_cancelled_returns_what_it_wrote_and_the_next_wait_throws) {
  with_each_writer([](const Writer& writer, const std::string& text) {
    with_each_stream([&](StreamSocket& near, StreamSocket& far) {
      std::size_t written = 0;
      std::error_code error;
      bool threw_in_next_wait = false;
      auto task = spawn([&] {
        written = writer.write(near, error);
        threw_in_next_wait = throws_cancelled([] { sleep_for(0s); });
      });
      // Sent by a thread, the first piece is on its way then, and waited for.
      if (std::string_view(writer.waits_in) == "write_some") wait_until_blocked(task, "write_some");
      BOOST_REQUIRE(eventually([&] { return unread(far) > 0; }));
      task.cancel();
      task.wait();
      BOOST_TEST((error == std::errc::operation_canceled));
      BOOST_TEST(near.is_open());
      BOOST_TEST(threw_in_next_wait);
      BOOST_TEST((written > 0 && written < text.size()), written);
      near.shutdown_write();
      const std::string got = BufferedReader(far).read_all();
      BOOST_TEST(got.size() == written);
      BOOST_TEST(is_prefix(got, text));
    });
  });
}

WEFT_REAL_TIME_TEST_CASE(a_write_that_times_out_can_go_on_where_it_was) {
  with_each_writer([](const Writer& writer, const std::string& text) {
    if (std::string_view(writer.waits_in) == "sendfile") return;  // below
    with_each_stream([&](StreamSocket& near, StreamSocket& far) {
      std::size_t written = 0;
      std::error_code error;
      with_timeout(20ms, [&] { written = writer.write(near, error); });  // it returns
      BOOST_TEST((error == std::errc::operation_canceled));
      auto rest = spawn([&] {
        near.write_all(std::string_view(text).substr(written));
        near.shutdown_write();
      });
      BOOST_TEST((BufferedReader(far).read_all() == text));
      rest.get();
    });
  });
}

WEFT_REAL_TIME_TEST_CASE(a_file_that_is_sent_under_time_limits_arrives_whole) {
  const TemporaryDirectory directory;
  const std::string text = pattern(kMuch);
  File file = File::open(directory / "file", O_RDWR | O_CREAT);
  file.write(text);
  with_each_stream([&](StreamSocket& near, StreamSocket& far) {
    auto reader = spawn([&] { return BufferedReader(far).read_all(); });
    std::uint64_t sent = 0;
    for (Duration limit = 500us; sent < text.size(); limit += 100us) {
      std::error_code error;
      try {
        with_timeout(limit, [&] { sent += near.sendfile(file, sent, text.size() - sent, error); });
      } catch (const TimeoutError&) {  // nothing was sent
      }
      BOOST_TEST((!error || error == std::errc::operation_canceled));
    }
    near.shutdown_write();
    BOOST_TEST((reader.get() == text));
  });
}

WEFT_REAL_TIME_TEST_CASE(a_write_whose_peer_goes_returns_what_it_wrote) {
  with_each_writer([](const Writer& writer, const std::string& text) {
    with_each_stream([&](StreamSocket& near, StreamSocket& far) {
      const auto [written, error] = write_until(writer, near, far, [&] { far.close(); });
      BOOST_TEST((error == std::errc::broken_pipe || error == std::errc::connection_reset));
      BOOST_TEST((written > 0 && written < text.size()), written);
    });
  });
}

WEFT_REAL_TIME_TEST_CASE(a_write_whose_stream_is_closed_returns_what_it_wrote) {
  with_each_writer([](const Writer& writer, const std::string& text) {
    with_each_stream([&](StreamSocket& near, StreamSocket& far) {
      const auto [written, error] = write_until(writer, near, far, [&] { near.close(); });
      BOOST_TEST((error == std::errc::operation_canceled));
      BOOST_TEST((written > 0 && written < text.size()), written);
      const std::string got = BufferedReader(far).read_all();
      BOOST_TEST(got.size() == written);
      BOOST_TEST(is_prefix(got, text));
    });
  });
}

WEFT_REAL_TIME_TEST_CASE(without_an_error_code_a_cancelled_write_throws) {
  with_each_stream([](StreamSocket& near, StreamSocket&) {
    const std::string text = pattern(kMuch);
    BOOST_CHECK_THROW(with_timeout(20ms, [&] { near.write_all(text); }), TimeoutError);
    BOOST_CHECK_THROW(with_timeout(20ms, [&] { near.write_all({text, text}); }), TimeoutError);
  });
}

// ---- Reading ------------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_read_that_is_cancelled_returns_what_it_read_and_loses_nothing) {
  with_each_stream([](StreamSocket& near, StreamSocket& far) {
    std::array<char, 10> room{};
    std::size_t size = 0;
    std::error_code error;
    far.write_all("abc");
    with_timeout(20ms, [&] { size = near.read_exactly(room, error); });  // it returns
    BOOST_TEST(size == 3u);
    BOOST_TEST((error == std::errc::operation_canceled));
    far.write_all("defghij");
    BOOST_TEST(near.read_exactly(std::span(room).subspan(size)) == 7u);
    BOOST_TEST(std::string(room.data(), room.size()) == "abcdefghij");
  });
}

WEFT_REAL_TIME_TEST_CASE(without_an_error_code_a_cancelled_read_throws) {
  with_each_stream([](StreamSocket& near, StreamSocket& far) {
    std::array<char, 10> room{};
    far.write_all("abc");
    BOOST_CHECK_THROW(with_timeout(20ms, [&] { near.read_exactly(room); }), TimeoutError);
  });
}

// ---- Nothing transferred ------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_cancelled_call_that_has_transferred_nothing_throws) {
  const TemporaryDirectory directory;
  const File file = File::open(directory / "file", O_RDWR | O_CREAT);
  BOOST_REQUIRE(ftruncate(file.native_handle(), 1000) == 0);
  with_each_stream([&](StreamSocket& near, StreamSocket&) {
    std::array<char, 10> room{};
    std::error_code error;
    const std::array<ConstBuffer, 2> parts{"x", "y"};
    const std::vector<std::function<void()>> calls = {
        [&] { near.read_some(room, error); },  [&] { near.read_exactly(room, error); },
        [&] { near.write_some("x", error); },  [&] { near.write_all("x", error); },
        [&] { near.write_all(parts, error); }, [&] { near.sendfile(file, 0, 1000, error); },
    };
    for (std::size_t i = 0; i < calls.size(); ++i) {
      BOOST_TEST_CONTEXT("call " << i) {
        // TCP finds room later, too: when what is on its way has arrived, and when it probes the
        // peer's window.
        BOOST_TEST(eventually([&] {
          fill(near);
          try {
            with_timeout(5ms, calls[i]);
          } catch (const TimeoutError&) {
            return true;
          }
          return false;
        }));
      }
    }
  });
}

// Or else one that ignores the errors might go on for as long as its peer does.
WEFT_REAL_TIME_TEST_CASE(the_call_after_one_that_told_of_a_cancellation_throws) {
  with_each_stream([](StreamSocket& near, StreamSocket& far) {
    std::array<char, 4> room{};
    std::size_t size = 0;
    bool threw = false;
    auto reader = spawn([&] {
      std::error_code error;
      size = near.read_exactly(room, error);
      shield([&] {
        far.write_all("cdef");
        eventually([&] { return unread(near) == 4; });
        sleep_for(1ms);  // the scheduler hears of it
      });
      threw = throws_cancelled([&] { near.read_exactly(room, error); });
    });
    far.write_all("ab");
    wait_until_blocked(reader, "read_some");
    BOOST_REQUIRE(eventually([&] { return unread(near) == 0; }));
    reader.cancel();
    reader.wait();
    BOOST_TEST(size == 2u);
    BOOST_TEST(threw);
    BOOST_TEST(unread(near) == 4);
  });
}

// ---- Files --------------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_write_to_a_full_disk_returns_what_it_wrote) {
  File full = File::open("/dev/full", O_RDWR);
  std::error_code error;
  BOOST_TEST(full.write("x", error) == 0u);
  BOOST_TEST((error == std::errc::no_space_on_device));
  full.close();
  BOOST_TEST(full.write("x", error) == 0u);
  BOOST_TEST((error == std::errc::bad_file_descriptor));
  BOOST_TEST(full.pwrite("x", 0, error) == 0u);
  BOOST_TEST((error == std::errc::bad_file_descriptor));
}

BOOST_AUTO_TEST_CASE(a_write_beyond_a_limit_of_size_returns_what_it_wrote) {
  const TemporaryDirectory directory;
  const ChildEnd end = run_in_child([&] {
    const rlimit limit{1000, 1000};
    setrlimit(RLIMIT_FSIZE, &limit);
    return run([&] {
      File file = File::open(directory / "file", O_WRONLY | O_CREAT);
      std::error_code first, second, third;
      const bool sizes = file.pwrite(std::string(900, 'x'), 500, first) == 500 &&
                         file.write(std::string(1500, 'y'), second) == 1000 &&
                         file.pwrite(std::string(500, 'z'), 500, third) == 500;
      const bool errors =
          first == std::errc::file_too_large && second == std::errc::file_too_large && !third;
      return sizes && errors ? 7 : 1;
    });
  });
  BOOST_TEST(end.exit_code == 7, end.said);
}

WEFT_REAL_TIME_TEST_CASE(a_place_in_a_file_that_is_appended_to_is_an_error_code_too) {
  const TemporaryDirectory directory;
  File file = File::open(directory / "file", O_RDWR | O_CREAT | O_APPEND);
  std::error_code error;
  BOOST_TEST(file.pwrite("x", 3, error) == 0u);
  BOOST_TEST((error == std::errc::invalid_argument));
  BOOST_TEST(file.write("x", error) == 1u);
  BOOST_TEST(!error);
}

BOOST_AUTO_TEST_SUITE_END()
