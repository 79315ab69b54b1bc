#include "weft/io/fd_stream.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/support/error_names.h"
#include "tests/support/fixture.h"
#include "tests/support/pipe.h"
#include "tests/support/temporary_directory.h"

BOOST_AUTO_TEST_SUITE(fd_stream)

using namespace std::chrono_literals;
using namespace weft;
using namespace weft::test;

static_assert(Stream<FdStream>);
static_assert(std::is_nothrow_move_constructible_v<FdStream>);
static_assert(!std::is_copy_constructible_v<FdStream>);

namespace {

constexpr std::size_t kRoom = 65536;  // of a pipe

std::string digits(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('0' + i * 7 % 11 % 10);
  return text;
}

// Other fibers come to their first wait.
void let_wait() {
  for (int i = 0; i < 3; ++i) yield();
}

void fill(FdStream& writer) { writer.write_all(std::string(kRoom, 'x')); }

bool is_pending(int signal) {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, signal) == 1;
}

bool is_blocked(int signal) {
  sigset_t blocked;
  pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
  return sigismember(&blocked, signal) == 1;
}

// SIGPIPE is blocked while this lives, and then taken.
class SigpipeBlocked {
 public:
  SigpipeBlocked() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~SigpipeBlocked() {
    const timespec now{};
    while (sigtimedwait(&set_, nullptr, &now) > 0) continue;
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  SigpipeBlocked(const SigpipeBlocked&) = delete;
  SigpipeBlocked& operator=(const SigpipeBlocked&) = delete;

 private:
  sigset_t set_, before_;
};

// Two ends of a pseudo-terminal that passes bytes as they are.
struct Terminal {
  Terminal() {
    outer = Fd(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    BOOST_REQUIRE(grantpt(outer.get()) == 0);
    BOOST_REQUIRE(unlockpt(outer.get()) == 0);
    inner = Fd(open(ptsname(outer.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    termios raw;
    BOOST_REQUIRE(tcgetattr(inner.get(), &raw) == 0);
    cfmakeraw(&raw);
    tcsetattr(inner.get(), TCSANOW, &raw);
  }
  Fd outer, inner;
};

// Adopts what an Fd owns.
FdStream adopted(Fd fd) {
  FdStream stream = FdStream::adopt(fd.get());
  fd.release();
  return stream;
}

}  // namespace

// ---- Pipe ---------------------------------------------------------------------------------------

WEFT_TEST_CASE(what_is_written_is_read_to_the_end) {
  Pipe pipe;
  auto writer = spawn([&] { pipe.writer.write_all("hello\n"), pipe.writer.close(); });
  BOOST_TEST(BufferedReader(pipe.reader).read_all() == "hello\n");
  char byte;
  BOOST_TEST(pipe.reader.read_some({&byte, 1}) == 0u);  // again
  BOOST_TEST(!pipe.writer.is_open());
}

WEFT_TEST_CASE(a_reader_waits_for_a_writer) {
  Pipe pipe;
  std::string text(5, '\0');
  auto reader = spawn([&] { pipe.reader.read_exactly(text); });
  run_until_blocked();
  BOOST_TEST(!reader.done());
  pipe.writer.write_all("he");
  run_until_blocked();
  BOOST_TEST(!reader.done());
  pipe.writer.write_all("llo");
  reader.get();
  BOOST_TEST(text == "hello");
}

WEFT_TEST_CASE(a_full_pipe_waits) {
  Pipe pipe;
  fill(pipe.writer);
  auto writer = spawn([&] { pipe.writer.write_all("more"); });
  run_until_blocked();
  BOOST_TEST(!writer.done());
  std::string all(kRoom + 4, '\0');
  pipe.reader.read_exactly(all);
  writer.get();
  BOOST_TEST(all.ends_with("xmore"));
}

WEFT_TEST_CASE(much_passes_in_order) {
  const std::string much = digits(3'000'000);
  for (const std::size_t size : {std::size_t{1000}, std::size_t{4097}, kRoom, 5 * kRoom}) {
    Pipe pipe;
    auto writer = spawn([&] {
      for (std::string_view rest = much; !rest.empty();
           rest.remove_prefix(std::min(size, rest.size())))
        pipe.writer.write_all(rest.substr(0, size));
      pipe.writer.close();
    });
    BOOST_TEST((BufferedReader(pipe.reader).read_all() == much));
  }
}

WEFT_TEST_CASE(several_buffers_are_one_text) {
  Pipe pipe;
  const std::string much = digits(200'000);
  auto writer = spawn([&] {
    pipe.writer.write_all({"head ", "", much, " tail"});
    pipe.writer.close();
  });
  char first[3], second[2];
  const MutableBuffer parts[] = {first, {}, second};
  BOOST_TEST(pipe.reader.read_some(parts) == 5u);
  BOOST_TEST(std::string_view(first, 3) == "hea");
  BOOST_TEST(std::string_view(second, 2) == "d ");
  BOOST_TEST((BufferedReader(pipe.reader).read_all() == much + " tail"));
}

WEFT_TEST_CASE(what_has_no_bytes_does_not_wait) {
  Pipe pipe;
  fill(pipe.writer);
  BOOST_TEST(pipe.writer.write_some("") == 0u);
  BOOST_TEST(pipe.writer.write_all("") == 0u);
  BOOST_TEST(pipe.writer.write_all(std::span<const ConstBuffer>()) == 0u);
  BOOST_TEST(pipe.reader.read_some(MutableBuffer()) == 0u);
}

WEFT_TEST_CASE(an_end_does_only_its_part) {
  Pipe pipe;
  char byte;
  BOOST_CHECK_EXCEPTION(pipe.reader.write_all("x"), std::system_error,
                        is(std::errc::bad_file_descriptor, "write to pipe"));
  BOOST_CHECK_EXCEPTION(pipe.writer.read_some({&byte, 1}), std::system_error,
                        is(std::errc::bad_file_descriptor, "read from pipe"));
}

WEFT_TEST_CASE(two_writers_at_once_are_refused) {
  Pipe pipe;
  fill(pipe.writer);
  auto writer = spawn([&] { pipe.writer.write_all("first"); });
  run_until_blocked();
  BOOST_CHECK_EXCEPTION(pipe.writer.write_all("second"), std::system_error,
                        is(std::errc::device_or_resource_busy, "write to pipe"));
  BOOST_CHECK_EXCEPTION(pipe.writer.shutdown_write(), std::system_error,
                        is(std::errc::device_or_resource_busy, "shutdown_write of pipe"));
  BOOST_TEST(pipe.writer.is_open());
  std::string all(kRoom + 5, '\0');
  pipe.reader.read_exactly(all);
  BOOST_TEST(all.ends_with("xfirst"));
}

WEFT_TEST_CASE(shutdown_write_is_the_end) {
  Pipe pipe;
  pipe.writer.write_all("text");
  pipe.writer.shutdown_write();
  BOOST_TEST(!pipe.writer.is_open());
  BOOST_TEST(BufferedReader(pipe.reader).read_all() == "text");
  BOOST_CHECK_EXCEPTION(pipe.writer.shutdown_write(), std::system_error,
                        is(std::errc::bad_file_descriptor, "pipe"));
}

BOOST_AUTO_TEST_CASE(it_needs_no_fiber_until_it_waits) {
  Pipe pipe;
  pipe.writer.write_all("text");
  char text[4];
  BOOST_TEST(pipe.reader.read_some(text) == 4u);
  BOOST_CHECK_THROW(pipe.reader.read_some(text), std::logic_error);
}

// ---- A pipe that nobody reads -------------------------------------------------------------------

namespace {

void check_broken(FdStream& writer) {
  BOOST_CHECK_EXCEPTION(writer.write_all("text"), std::system_error,
                        is(std::errc::broken_pipe, "write to pipe"));
  std::error_code error;
  const ConstBuffer parts[] = {"te", "xt"};
  BOOST_TEST(writer.write_some(parts, error) == 0u);
  BOOST_TEST((error == std::errc::broken_pipe));
}

}  // namespace

WEFT_TEST_CASE(a_broken_pipe_is_an_error_and_no_signal) {
  const auto before = signal(SIGPIPE, SIG_DFL);
  Pipe pipe;
  pipe.reader.close();
  check_broken(pipe.writer);
  BOOST_TEST(!is_blocked(SIGPIPE));
  BOOST_TEST(!is_pending(SIGPIPE));
  signal(SIGPIPE, before);
}

WEFT_TEST_CASE(a_handler_of_the_programs_for_sigpipe_is_not_called) {
  static bool called;
  called = false;
  const auto before = signal(SIGPIPE, [](int) { called = true; });
  Pipe pipe;
  pipe.reader.close();
  check_broken(pipe.writer);
  BOOST_TEST(!called);
  signal(SIGPIPE, before);
}

WEFT_TEST_CASE(sigpipe_may_be_ignored) {
  const auto before = signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  pipe.reader.close();
  check_broken(pipe.writer);
  BOOST_TEST(!is_pending(SIGPIPE));
  signal(SIGPIPE, before);
}

WEFT_TEST_CASE(sigpipe_may_be_blocked) {
  const SigpipeBlocked blocked;
  Pipe pipe;
  pipe.reader.close();
  check_broken(pipe.writer);
  BOOST_TEST(is_blocked(SIGPIPE));
  BOOST_TEST(!is_pending(SIGPIPE));
}

WEFT_TEST_CASE(a_sigpipe_of_the_programs_stays_pending) {
  const SigpipeBlocked blocked;
  pthread_kill(pthread_self(), SIGPIPE);
  Pipe pipe;
  pipe.reader.close();
  check_broken(pipe.writer);
  BOOST_TEST(is_pending(SIGPIPE));
}

WEFT_TEST_CASE(a_reader_that_goes_ends_a_write_that_waits) {
  const auto before = signal(SIGPIPE, SIG_DFL);
  Pipe pipe;
  fill(pipe.writer);
  auto writer = spawn([&] { pipe.writer.write_all("more"); });
  run_until_blocked();
  pipe.reader.close();
  BOOST_CHECK_EXCEPTION(writer.get(), std::system_error, is(std::errc::broken_pipe, "pipe"));
  signal(SIGPIPE, before);
}

// ---- close() and cancellation -------------------------------------------------------------------

WEFT_TEST_CASE(close_wakes_what_waits) {
  Pipe empty, full;
  fill(full.writer);
  auto reader = spawn([&] {
    char byte;
    empty.reader.read_some({&byte, 1});
  });
  auto writer = spawn([&] { full.writer.write_all("more"); });
  run_until_blocked();
  empty.reader.close();
  full.writer.close();
  BOOST_CHECK_EXCEPTION(reader.get(), std::system_error, is(std::errc::operation_canceled, "pipe"));
  BOOST_CHECK_EXCEPTION(writer.get(), std::system_error, is(std::errc::operation_canceled, "pipe"));
  BOOST_CHECK_EXCEPTION(full.writer.write_all("x"), std::system_error,
                        is(std::errc::bad_file_descriptor, "pipe"));
}

WEFT_TEST_CASE(a_cancelled_read_loses_no_byte) {
  Pipe pipe;
  std::string all;
  const std::string text = digits(2000);
  auto writer = spawn([&] {
    for (std::string_view rest = text; !rest.empty();
         rest.remove_prefix(std::min<std::size_t>(7, rest.size()))) {
      pipe.writer.write_all(rest.substr(0, 7));
      yield();
    }
    pipe.writer.close();
  });
  for (bool ended = false; !ended;) {
    auto reader = spawn([&] {
      char part[16];
      const std::size_t size = pipe.reader.read_some(part);
      all.append(part, size);
      ended = size == 0;
    });
    yield();
    reader.cancel();
    try {
      reader.get();
    } catch (const TaskCancelled&) {
    }
  }
  BOOST_TEST((all == text));
}

WEFT_TEST_CASE(a_cancelled_write_reports_what_it_has_written) {
  Pipe pipe;
  const std::string text = digits(3 * kRoom);
  std::size_t written = 0;
  auto writer = spawn([&] {
    std::error_code error;
    written = pipe.writer.write_all(text, error);
    BOOST_TEST((error == std::errc::operation_canceled));
  });
  run_until_blocked();
  writer.cancel();
  writer.get();
  BOOST_TEST(written == kRoom);
  pipe.writer.close();
  BOOST_TEST((BufferedReader(pipe.reader).read_all() == text.substr(0, written)));
}

WEFT_TEST_CASE(it_may_be_moved_and_replaced) {
  Pipe pipe;
  FdStream writer = std::move(pipe.writer);
  BOOST_TEST(!pipe.writer.is_open());
  writer.write_all("text");
  FdStream& itself = writer;
  writer = std::move(itself);
  BOOST_TEST(writer.is_open());
  writer = FdStream();
  BOOST_TEST(BufferedReader(pipe.reader).read_all() == "text");
}

WEFT_TEST_CASE(release_gives_it_back) {
  Pipe pipe;
  pipe.writer.write_all("text");
  const Fd reader(pipe.reader.release());
  BOOST_TEST(!pipe.reader.is_open());
  char text[4];
  BOOST_TEST(read(reader.get(), text, 4) == 4);
  FdStream again = FdStream::adopt(reader.get());
  pipe.writer.write_all("more");
  BOOST_TEST(again.read_some(text) == 4u);
  again.release();
}

WEFT_TEST_CASE(a_file_may_be_sent_into_a_pipe) {
  const TemporaryDirectory folder;
  const std::string text = digits(200'000);
  auto file = File::open(folder / "file", O_RDWR | O_CREAT, 0600);
  for (std::size_t done = 0; done < text.size();)
    done += file.write(ConstBuffer(text).drop_front(done));
  Pipe pipe;
  auto writer = spawn([&] {
    BOOST_TEST(pipe.writer.sendfile(file, 0, text.size()) == text.size());
    pipe.writer.close();
  });
  BOOST_TEST((BufferedReader(pipe.reader).read_all() == text));
}

WEFT_CORES_TEST_CASE(both_ends_may_be_on_two_schedulers) {
  Pipe pipe;
  const std::string text = digits(1'000'000);
  auto writer = spawn(
      [&, end = std::move(pipe.writer)]() mutable {
        end.write_all(text);
        end.close();
      },
      on(1));
  BOOST_TEST((BufferedReader(pipe.reader).read_all() == text));
}

WEFT_CORES_TEST_CASE(an_end_may_be_handed_over) {
  Pipe pipe;
  char byte;
  BOOST_CHECK_THROW(with_timeout(1s, [&] { pipe.reader.read_some({&byte, 1}); }), TimeoutError);
  auto reader = spawn([&] { return pipe.reader.read_some({&byte, 1}); }, on(1));
  pipe.writer.write_all("x");
  BOOST_TEST(reader.get() == 1u);
}

// ---- adopt() ------------------------------------------------------------------------------------

WEFT_TEST_CASE(a_fifo_is_adopted) {
  const TemporaryDirectory folder;
  const std::string path = folder / "fifo";
  BOOST_REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  FdStream reader = adopted(Fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)));
  for (const char* const text : {"first\n", "second\n"}) {  // one writer after another
    FdStream writer = adopted(Fd(open(path.c_str(), O_WRONLY | O_CLOEXEC)));
    BufferedReader lines(reader);
    auto line = spawn([&] { return lines.read_line(); });
    run_until_blocked();
    writer.write_all(text);
    BOOST_TEST(*line.get() + "\n" == text);
    writer.close();
    BOOST_TEST(!lines.read_line());
  }
}

WEFT_REAL_TIME_TEST_CASE(a_terminal_is_adopted) {
  Terminal terminal;
  FdStream outer = adopted(std::move(terminal.outer)), inner = adopted(std::move(terminal.inner));
  auto reader = spawn([&] {
    char text[5];
    inner.read_exactly(text);
    return std::string(text, 5);
  });
  let_wait();
  outer.write_all("hello");
  BOOST_TEST(reader.get() == "hello");
  inner.write_all("back");
  char text[4];
  outer.read_exactly(text);
  BOOST_TEST(std::string_view(text, 4) == "back");
  const std::string much = digits(50'000);
  auto writer = spawn([&] { inner.write_all(much); });
  std::string all(much.size(), '\0');
  outer.read_exactly(all);
  writer.get();
  BOOST_TEST((all == much));
}

WEFT_TEST_CASE(a_file_and_a_device_are_adopted) {
  const TemporaryDirectory folder;
  FdStream file = adopted(Fd(open((folder / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)));
  file.write_all({"te", "xt"});
  lseek(file.native_handle(), 0, SEEK_SET);
  BOOST_TEST(BufferedReader(file).read_all() == "text");
  FdStream null = adopted(Fd(open("/dev/null", O_RDWR | O_CLOEXEC)));
  null.write_all(digits(100'000));
  BOOST_TEST(BufferedReader(null).read_all().empty());
  FdStream full = adopted(Fd(open("/dev/full", O_RDWR | O_CLOEXEC)));
  BOOST_CHECK_EXCEPTION(full.write_all("x"), std::system_error,
                        is(std::errc::no_space_on_device, "write to descriptor"));
}

WEFT_TEST_CASE(what_is_adopted_is_non_blocking) {
  BarePipe pipe;
  BOOST_TEST((fcntl(pipe.in(), F_GETFL) & O_NONBLOCK) == 0);
  FdStream reader = adopted(std::move(pipe.read_end));
  BOOST_TEST((fcntl(reader.native_handle(), F_GETFL) & O_NONBLOCK) != 0);
}

WEFT_TEST_CASE(what_cannot_be_adopted_stays_as_it_is) {
  int closed = -1;
  {
    const BarePipe pipe;
    closed = pipe.in();
  }
  for (const int fd : {-1, closed, 1'000'000}) {
    BOOST_CHECK_EXCEPTION(
        FdStream::adopt(fd), std::system_error,
        is(std::errc::bad_file_descriptor, "adopt", "descriptor " + std::to_string(fd)));
  }
  auto [here, there] = UnixStream::pair();
  BOOST_CHECK_EXCEPTION(FdStream::adopt(here.native_handle()), std::system_error,
                        is(std::errc::device_or_resource_busy, "adopt"));
  Pipe pipe;
  BOOST_CHECK_EXCEPTION(FdStream::adopt(pipe.reader.native_handle()), std::system_error,
                        is(std::errc::device_or_resource_busy, "adopt"));
  BOOST_CHECK_EXCEPTION(wait_readable(pipe.reader.native_handle()), std::system_error,
                        is(std::errc::device_or_resource_busy));
  pipe.writer.write_all("x");
  char byte;
  BOOST_TEST(pipe.reader.read_some({&byte, 1}) == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
