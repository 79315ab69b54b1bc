// BufferedReader where the stream is interrupted, and over streams of all kinds.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/system_call.h"
#include "tests/support/temporary_directory.h"

BOOST_AUTO_TEST_SUITE(stream_repeat)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

struct Interrupted : std::runtime_error {
  Interrupted() : std::runtime_error("interrupted") {}
};

// A stream of this text, which gives so many bytes at a time, when `before` lets it.
class Chunks {
 public:
  Chunks(std::string text, std::size_t chunk, std::function<void()> before)
      : text_(std::move(text)), chunk_(chunk), before_(std::move(before)) {}

  std::size_t read_some(MutableBuffer buffer) {
    before_();
    const std::size_t size = std::min({chunk_, buffer.size(), text_.size() - position_});
    if (size > 0) std::memcpy(buffer.data(), text_.data() + position_, size);
    position_ += size;
    return size;
  }

 private:
  const std::string text_;
  const std::size_t chunk_;
  const std::function<void()> before_;
  std::size_t position_ = 0;
};

using Call = std::function<std::string(BufferedReader&)>;

// Every function. Each of them meets the stream in whatever state the ones before left it in.
const std::vector<Call>& calls() {
  static const std::vector<Call> all = {
      [](BufferedReader& reader) { return reader.read_line().value_or("none"); },
      [](BufferedReader& reader) { return reader.read_until("--").value_or("none"); },
      [](BufferedReader& reader) { return reader.read_exactly(5); },
      [](BufferedReader& reader) { return reader.read_exactly(6000); },
      [](BufferedReader& reader) {
        std::string line;
        return std::to_string(reader.read_line(line)) + line;
      },
      [](BufferedReader& reader) {
        std::string piece(5, '?');
        reader.read_exactly(MutableBuffer(piece));
        return piece;
      },
      [](BufferedReader& reader) { return std::to_string(reader.at_end()); },
      [](BufferedReader& reader) { return reader.read_all(); },
      [](BufferedReader& reader) { return std::to_string(reader.at_end()); },
  };
  return all;
}

std::string text() {
  std::string text = "a line\r\na piece-with-a-minus--12345";
  for (int i = 0; i < 6000; ++i) text += static_cast<char>('a' + i % 26);
  return text + "another line\n67890all that is left\nof it";
}

// What all calls give, each repeated until it comes through. attempt(f) runs f().
template <class Failure, class Attempt>
std::string read_repeatedly(BufferedReader& reader, Attempt attempt, int& failures) {
  std::string result;
  for (const Call& call : calls()) {
    for (bool done = false; !done;) {
      try {
        attempt([&] { result += call(reader) + "|"; });
        done = true;
      } catch (const Failure&) {
        ++failures;
      }
    }
  }
  return result;
}

// What they give where nothing comes between.
std::string read_undisturbed() {
  Chunks stream(text(), 1'000'000, [] {});
  BufferedReader reader(stream);
  int failures = 0;
  return read_repeatedly<Interrupted>(
      reader, [](auto f) { f(); }, failures);
}

constexpr std::size_t kChunks[] = {1, 2, 3, 5, 100, 4096, 5000};

}  // namespace

// ---- Interruptions ------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(undisturbed_it_gives_what_is_there) {
  const std::string all = read_undisturbed();
  BOOST_TEST(all.starts_with("a line|a piece-with-a-minus--|12345|abc"));
  BOOST_TEST(all.ends_with("xyz"
                           "abcdefghijklmnopqrst|1another line|67890|0|all that is left\nof it|1|"),
             all.substr(6000));
}

BOOST_AUTO_TEST_CASE(what_the_stream_throws_comes_through_and_nothing_is_lost) {
  for (const std::size_t chunk : kChunks) {
    BOOST_TEST_CONTEXT("chunks of " << chunk) {
      int count = 0, failures = 0;
      Chunks stream(text(), chunk, [&] {
        if (++count % 2) throw Interrupted();
      });
      BufferedReader reader(stream);
      BOOST_TEST((read_repeatedly<Interrupted>(
                      reader, [](auto f) { f(); }, failures) == read_undisturbed()));
      BOOST_TEST(failures > 0);
    }
  }
}

WEFT_TEST_CASE(a_timeout_comes_through_and_nothing_is_lost) {
  for (const std::size_t chunk : kChunks) {
    BOOST_TEST_CONTEXT("chunks of " << chunk) {
      int failures = 0;
      Chunks stream(text(), chunk, [] { sleep_for(2s); });
      BufferedReader reader(stream);
      BOOST_TEST(
          (read_repeatedly<TimeoutError>(
               reader, [](auto f) { with_timeout(5s, f); }, failures) == read_undisturbed()));
      BOOST_TEST((failures > 0) == (chunk < 4096));
    }
  }
}

WEFT_TEST_CASE(what_a_cancelled_fiber_had_read_another_one_gets) {
  for (const Call& call : calls()) {
    Chunks stream("abc\n", 1, [] { sleep_for(1s); });
    BufferedReader reader(stream);
    auto first = spawn([&] { call(reader); }, {.eager = true});
    sleep_for(500ms);
    first.cancel();
    BOOST_CHECK_THROW(first.get(), TaskCancelled);
    BOOST_TEST(reader.read_all() == "abc\n");
  }
  Chunks stream("abc", 1, [] { sleep_for(1s); });
  BufferedReader reader(stream);
  auto first = spawn([&] { reader.read_line(); }, {.eager = true});
  sleep_for(2500ms);
  first.cancel();
  BOOST_CHECK_THROW(first.get(), TaskCancelled);
  BOOST_TEST(reader.buffered() == "ab");
  BOOST_TEST((reader.read_line() == "abc"));
}

// ---- Moving -------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_reader_takes_along_what_it_has_read_ahead) {
  Chunks stream("one\ntwo\nthree\nfour", 1000, [] {});
  BufferedReader first(stream);
  BOOST_TEST((first.read_line() == "one"));
  BufferedReader second(std::move(first));
  BOOST_TEST((second.read_line() == "two"));
  Chunks other_stream("other", 1000, [] {});
  BufferedReader third(other_stream);
  BOOST_TEST(!third.at_end());
  third = std::move(second);
  BOOST_TEST((third.read_line() == "three"));
  BOOST_TEST(third.read_all() == "four");
}

BOOST_AUTO_TEST_CASE(the_limit_moves_along) {
  Chunks stream("123456\n", 1, [] {});
  BufferedReader first(stream, 5);
  BufferedReader second(std::move(first));
  BOOST_CHECK_THROW(second.read_line(), std::system_error);
}

// ---- Kinds of streams ---------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_reader_may_read_from_another_one) {
  for (const std::size_t chunk : kChunks) {
    int failures = 0;
    Chunks stream(text(), chunk, [] {});
    BufferedReader inner(stream);
    BufferedReader outer(inner);
    const std::string all = read_repeatedly<Interrupted>(
        outer, [](auto f) { f(); }, failures);
    BOOST_TEST((all == read_undisturbed()));
  }
}

WEFT_REAL_TIME_TEST_CASE(a_tcp_connection_will_do) {
  TcpListener listener("127.0.0.1:0");
  auto writer = spawn([&] {
    TcpStream peer = TcpStream::connect(listener.local_address());
    for (const char letter : text()) peer.write_all({&letter, 1});
  });
  TcpStream stream = listener.accept();
  BufferedReader reader(stream);
  int failures = 0;
  BOOST_TEST((read_repeatedly<Interrupted>(
                  reader, [](auto f) { f(); }, failures) == read_undisturbed()));
  writer.get();
}

WEFT_REAL_TIME_TEST_CASE(timeouts_lose_nothing_of_a_connection) {
  auto [near, far] = UnixStream::pair();
  auto writer = spawn([peer = std::move(far)]() mutable {
    for (const char letter : text()) {
      peer.write_all({&letter, 1});
      if (letter < 'c') sleep_for(20us);
    }
  });
  BufferedReader reader(near);
  int failures = 0;
  BOOST_TEST((read_repeatedly<TimeoutError>(
                  reader, [](auto f) { with_timeout(10us, f); }, failures) == read_undisturbed()));
  BOOST_TEST(failures > 0);
  writer.get();
}

WEFT_REAL_TIME_TEST_CASE(a_file_will_do) {
  const TemporaryDirectory directory;
  File::open(directory / "file", O_CREAT | O_WRONLY).write(text());
  File file = File::open(directory / "file");
  BufferedReader reader(file);
  int failures = 0;
  BOOST_TEST((read_repeatedly<Interrupted>(
                  reader, [](auto f) { f(); }, failures) == read_undisturbed()));
}

// A read that has begun cannot be called back, and what it takes is gone from the file.
WEFT_REAL_TIME_TEST_CASE(a_cancellation_loses_nothing_of_a_file) {
  for (const std::string begin : {"li", "line\n"}) {
    const TemporaryDirectory directory;
    const std::string path = directory / "fifo";
    BOOST_REQUIRE(mkfifo(path.c_str(), 0600) == 0);
    File file = File::open(path, O_RDWR);
    BufferedReader reader(file);
    std::optional<std::string> line;
    auto first = spawn([&] { line = reader.read_line(), yield(); }, {.eager = true});
    BOOST_TEST(eventually([&] { return threads_in(SYS_read, file.native_handle()) == 1; }));
    first.cancel();
    BOOST_TEST(write(file.native_handle(), begin.data(), begin.size()) == std::ssize(begin));
    BOOST_CHECK_THROW(first.get(), TaskCancelled);
    // The cancelled one had the whole line, or the next one gets it.
    BOOST_TEST(write(file.native_handle(), "ne\n", 3) == 3);
    if (!line) line = reader.read_line();
    BOOST_TEST((line == "line"));
  }
}

BOOST_AUTO_TEST_SUITE_END()
