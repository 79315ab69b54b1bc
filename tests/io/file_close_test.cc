// Files that are closed, and fibers that are cancelled, while a call is under way.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/error_names.h"
#include "tests/support/fixture.h"
#include "tests/support/system_call.h"
#include "tests/support/temporary_directory.h"

BOOST_AUTO_TEST_SUITE(file_close)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

std::string read(File& file, std::size_t room) {
  std::string piece(room, '?');
  piece.resize(file.read(piece));
  return piece;
}

// A fifo that is open at both ends: reading waits until somebody writes.
struct Fifo {
  Fifo() {
    if (mkfifo(path.c_str(), 0600) != 0) throw std::runtime_error("mkfifo failed");
    file = File::open(path, O_RDWR);
    other_end = Fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  }
  // Waits until a thread does.
  bool is_read() {
    return eventually([fd = file.native_handle()] { return threads_in(SYS_read, fd) == 1; });
  }
  void put(std::string_view text) {
    if (::write(other_end.get(), text.data(), text.size()) != std::ssize(text))
      throw std::runtime_error("write failed");
  }

  TemporaryDirectory directory;
  std::string path = directory / "fifo";
  File file;
  Fd other_end;
};

}  // namespace

// ---- Closing ------------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(after_a_close_calls_fail_and_name_the_path) {
  const TemporaryDirectory directory;
  const std::string path = directory / "file";
  File file = File::open(path, O_RDWR | O_CREAT);
  file.close();
  char byte = 'x';
  const auto bad = std::errc::bad_file_descriptor;
  BOOST_CHECK_EXCEPTION(file.read({&byte, 1}), std::system_error, is(bad, "read", path));
  BOOST_CHECK_EXCEPTION(file.read_some({&byte, 1}), std::system_error, is(bad, "read", path));
  BOOST_CHECK_EXCEPTION(file.pread({&byte, 1}, 0), std::system_error, is(bad, "pread", path));
  BOOST_CHECK_EXCEPTION(file.write("x"), std::system_error, is(bad, "write", path));
  BOOST_CHECK_EXCEPTION(file.pwrite("x", 0), std::system_error, is(bad, "pwrite", path));
  BOOST_CHECK_EXCEPTION(file.read_all(), std::system_error, is(bad, "read", path));
  BOOST_CHECK_EXCEPTION(file.size(), std::system_error, is(bad, "size", path));
  BOOST_CHECK_EXCEPTION(file.sync(), std::system_error, is(bad, "sync", path));
}

WEFT_REAL_TIME_TEST_CASE(what_is_under_way_at_a_close_ends_as_it_would_have) {
  Fifo fifo;
  auto reader = spawn([&] { return read(fifo.file, 100); }, {.eager = true});
  BOOST_TEST(fifo.is_read());
  const int number = fifo.file.native_handle();
  fifo.file.close();
  BOOST_TEST(!fifo.file.is_open());
  BOOST_TEST(!reader.done());
  // Its number is not given to anybody else.
  BOOST_TEST(File::open("/dev/null").native_handle() != number);
  fifo.put("text");
  BOOST_TEST(reader.get() == "text");
  BOOST_TEST(fcntl(number, F_GETFD) == -1);
}

WEFT_REAL_TIME_TEST_CASE(another_file_may_take_its_place_meanwhile) {
  Fifo fifo, other;
  auto reader = spawn([&] { return read(fifo.file, 100); }, {.eager = true});
  BOOST_TEST(fifo.is_read());
  fifo.file = std::move(other.file);
  other.put("other");
  BOOST_TEST(read(fifo.file, 100) == "other");
  fifo.put("text");
  BOOST_TEST(reader.get() == "text");
}

WEFT_REAL_TIME_TEST_CASE(a_file_is_sent_whole_though_it_is_closed_meanwhile) {
  const TemporaryDirectory directory;
  const std::string bytes(3'000'000, 'x');
  std::ofstream(directory / "file") << bytes;
  std::ofstream(directory / "other") << std::string(bytes.size(), 'y');
  File file = File::open(directory / "file");
  auto ends = UnixStream::pair();
  auto sender = spawn(
      [&] {
        BOOST_CHECK_NO_THROW(ends.first.sendfile(file, 0, bytes.size()));
        ends.first.close();
      },
      {.eager = true});
  const int number = file.native_handle();
  file.close();
  std::vector<Fd> others;
  for (bool taken = false; !taken && others.size() < 10;) {
    others.emplace_back(open((directory / "other").c_str(), O_RDONLY | O_CLOEXEC));
    taken = others.back().get() == number;
  }
  BufferedReader reader(ends.second);
  BOOST_TEST((reader.read_all() == bytes));
  sender.get();
}

WEFT_REAL_TIME_TEST_CASE(a_reader_that_is_gone_is_an_error) {
  const TemporaryDirectory directory;
  const std::string path = directory / "fifo";
  BOOST_REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  Fd reader(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  File writer = File::open(path, O_WRONLY);
  writer.write("x");
  reader = Fd();
  BOOST_CHECK_EXCEPTION(writer.write("x"), std::system_error,
                        is(std::errc::broken_pipe, "write", path));
}

WEFT_REAL_TIME_TEST_CASE(moving_takes_the_file_along) {
  const TemporaryDirectory directory;
  std::ofstream(directory / "file") << "content";
  File first = File::open(directory / "file");
  BOOST_TEST(read(first, 3) == "con");
  File second = std::move(first);
  BOOST_TEST(!first.is_open());
  BOOST_TEST(read(second, 1) == "t");
  const auto before = open_descriptors();
  first = File::open(directory / "file");
  first = std::move(second);
  BOOST_TEST(open_descriptors() == before);
  BOOST_TEST(first.read_all() == "ent");
}

// ---- Cancellation -------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_cancelled_call_that_has_begun_has_its_result) {
  Fifo fifo;
  std::string got;
  auto reader = spawn(
      [&] {
        got = read(fifo.file, 100);
        yield();
        BOOST_ERROR("it went on");
      },
      {.eager = true});
  BOOST_TEST(fifo.is_read());
  reader.cancel();
  for (int i = 0; i < 10; ++i) yield();
  BOOST_TEST(!reader.done());
  fifo.put("text");
  BOOST_CHECK_THROW(reader.get(), TaskCancelled);
  BOOST_TEST(got == "text");
}

WEFT_REAL_TIME_TEST_CASE(a_timeout_ends_a_call_that_has_not_begun) {
  Fifo fifo;
  fifo.put("text");
  // All threads of the executor, and all that it may grow by, have something to do.
  const unsigned jobs = 4 * std::thread::hardware_concurrency() + 100;
  std::vector<Task<void>> busy;
  Event release;
  for (unsigned i = 0; i < jobs; ++i) {
    busy.push_back(spawn([&] { run_in_executor([&] { release.wait(); }); }, {.eager = true}));
  }
  BOOST_CHECK_THROW(with_timeout(5ms, [&] { read(fifo.file, 100); }), TimeoutError);
  release.set();
  for (auto& task : busy) task.get();
  BOOST_TEST(read(fifo.file, 100) == "text");
}

WEFT_REAL_TIME_TEST_CASE(a_cancelled_open_leaves_no_descriptor) {
  const TemporaryDirectory directory;
  const std::string path = directory / "fifo";
  BOOST_REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  const auto before = open_descriptors();
  auto opener = spawn(
      [&] {
        File::open(path, O_WRONLY);
        yield();
      },
      {.eager = true});
  opener.cancel();
  // Had it begun, it waits for the other end, and the cancellation comes afterwards.
  const Fd other_end(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  BOOST_CHECK_THROW(opener.get(), TaskCancelled);
  BOOST_TEST(open_descriptors() == before + 1);
  auto another = spawn([&] { File::open(path, O_WRONLY); }, {.eager = true});
  another.get();
  BOOST_TEST(open_descriptors() == before + 1);
}

WEFT_REAL_TIME_TEST_CASE(many_calls_may_be_under_way_at_once) {
  const TemporaryDirectory directory;
  File file = File::open(directory / "file", O_RDWR | O_CREAT);
  TaskGroup group;
  for (std::uint64_t i = 0; i < 200; ++i) {
    group.spawn([&, i] {
      const std::string mine(100, static_cast<char>('a' + i % 26));
      file.pwrite(mine, i * 100);
      std::string found(100, '?');
      BOOST_TEST(file.pread(found, i * 100) == 100u);
      BOOST_TEST(found == mine);
    });
  }
  group.join();
  BOOST_TEST(file.size() == 20'000u);
}

BOOST_AUTO_TEST_SUITE_END()
