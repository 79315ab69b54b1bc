// Calls that report what a peer or the system does in an error code; what the program does wrong
// they throw, and Cancelled.

#include <fcntl.h>
#include <netdb.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "tests/support/error_names.h"
#include "tests/support/fixture.h"
#include "tests/support/tcp_pair.h"
#include "tests/support/temporary_directory.h"

BOOST_AUTO_TEST_SUITE(error_code)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// An error that is there before a call.
std::error_code other_error() { return std::make_error_code(std::errc::value_too_large); }

// An address of this machine that nobody serves.
Address unserved() { return TcpListener("127.0.0.1:0").local_address(); }

// One that answers to no connection: its backlog is full.
class Deaf {
 public:
  Deaf() : listener_("127.0.0.1:0", {.backlog = 0}) {
    for (int i = 0; i < 10 && !full_; ++i) {
      std::error_code error;
      waiting_[i] = TcpStream::connect(address(), {.timeout = 50ms}, error);
      full_ = error == std::errc::timed_out;
    }
    BOOST_TEST_REQUIRE(full_);
  }
  Address address() const { return listener_.local_address(); }

 private:
  TcpListener listener_;
  TcpStream waiting_[10];
  bool full_ = false;
};

// No further descriptor can be opened.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const int next = fcntl(0, F_DUPFD_CLOEXEC, 0);
    close(next);
    rlimit low = before_;
    low.rlim_cur = static_cast<rlim_t>(next);
    setrlimit(RLIMIT_NOFILE, &low);
  }
  ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

// Whether a cancelled fiber's call throws Cancelled.
template <class F>
bool is_cancelled_in(F f) {
  bool cancelled = false;
  auto task = spawn([&] {
    try {
      sleep_for(24h);
    } catch (const Cancelled&) {
    }
    cancelled = throws_cancelled(f);
  });
  yield();
  task.cancel();
  task.wait();
  return cancelled;
}

}  // namespace

// ---- TcpStream::connect() -----------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_tcp_connection_clears_it) {
  TcpListener listener("127.0.0.1:0");
  const Address address = listener.local_address();
  std::error_code error = other_error();
  TcpStream by_address = TcpStream::connect(address, {}, error);
  BOOST_TEST(!error);
  BOOST_TEST(by_address.is_open());
  error = other_error();
  TcpStream by_text = TcpStream::connect(address.to_string(), {}, error);
  BOOST_TEST(!error);
  BOOST_TEST((by_text.peer_address() == address));
}

WEFT_REAL_TIME_TEST_CASE(a_port_that_nobody_serves_refuses) {
  const Address address = unserved();
  std::error_code error;
  BOOST_TEST(!TcpStream::connect(address, {}, error).is_open());
  BOOST_TEST((error == std::errc::connection_refused));
  error.clear();
  BOOST_TEST(!TcpStream::connect(address.to_string(), {}, error).is_open());
  BOOST_TEST((error == std::errc::connection_refused));
}

WEFT_REAL_TIME_TEST_CASE(a_peer_that_does_not_answer_times_out) {
  const Deaf deaf;
  for (const Duration timeout : {Duration(20ms), Duration(0), Duration(-1s), Duration::min()}) {
    std::error_code error;
    BOOST_TEST(!TcpStream::connect(deaf.address(), {.timeout = timeout}, error).is_open());
    BOOST_TEST((error == std::errc::timed_out));
    error.clear();
    const std::string text = deaf.address().to_string();
    BOOST_TEST(!TcpStream::connect(text, {.timeout = timeout}, error).is_open());
    BOOST_TEST((error == std::errc::timed_out));
    BOOST_CHECK_EXCEPTION(TcpStream::connect(text, {.timeout = timeout}), std::system_error,
                          is(std::errc::timed_out, "connect to", text.c_str()));
  }
}

WEFT_REAL_TIME_TEST_CASE(a_name_that_is_none_has_the_error_of_its_look_up) {
  std::error_code error;
  BOOST_TEST(!TcpStream::connect("a*b.invalid:80", {}, error).is_open());
  BOOST_TEST((error.category() == resolve_category()));
  BOOST_CHECK_EXCEPTION(
      TcpStream::connect("a*b.invalid:80"), std::system_error, [](const std::system_error& thrown) {
        return thrown.code().category() == resolve_category() &&
               std::string(thrown.what()).find("a*b.invalid:80") != std::string::npos;
      });
}

WEFT_REAL_TIME_TEST_CASE(a_connection_without_a_descriptor_fails) {
  TcpListener listener("127.0.0.1:0");
  const Address address = listener.local_address();
  std::error_code error;
  std::error_code by_text;
  {
    const NoDescriptors none;
    TcpStream::connect(address, {}, error);
    TcpStream::connect(address.to_string(), {}, by_text);
  }
  BOOST_TEST((error == std::errc::too_many_files_open));
  BOOST_TEST((by_text == std::errc::too_many_files_open));
}

WEFT_REAL_TIME_TEST_CASE(a_connection_that_is_cancelled_throws_it) {
  const Deaf deaf;
  std::error_code error = other_error();
  BOOST_TEST(is_cancelled_in([&] { TcpStream::connect(deaf.address(), {}, error); }));
  BOOST_TEST(is_cancelled_in([&] { TcpStream::connect(deaf.address().to_string(), {}, error); }));
  BOOST_CHECK_THROW(with_timeout(20ms, [&] { TcpStream::connect(deaf.address(), {}, error); }),
                    TimeoutError);
}

WEFT_REAL_TIME_TEST_CASE(a_text_that_is_no_address_is_thrown) {
  std::error_code error;
  for (const char* text : {"", "host", "host:", ":80:", "[::1:80"}) {
    BOOST_CHECK_EXCEPTION(TcpStream::connect(text, {}, error), std::system_error,
                          is(std::errc::invalid_argument, text));
  }
  BOOST_TEST(!error);
}

BOOST_AUTO_TEST_CASE(a_connection_outside_fibers_is_thrown) {
  std::error_code error;
  BOOST_CHECK_THROW(TcpStream::connect("127.0.0.1:1", {}, error), std::logic_error);
}

// ---- UnixStream::connect() ----------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_unix_connection_clears_it) {
  TemporaryDirectory directory;
  const std::string path = directory / "socket";
  UnixListener listener(path);
  std::error_code error = other_error();
  BOOST_TEST(UnixStream::connect(path, error).is_open());
  BOOST_TEST(!error);
}

WEFT_REAL_TIME_TEST_CASE(a_path_without_a_listener_is_an_error) {
  TemporaryDirectory directory;
  const std::string path = directory / "socket";
  std::error_code error;
  BOOST_TEST(!UnixStream::connect(path, error).is_open());
  BOOST_TEST((error == std::errc::no_such_file_or_directory));
  File::open(path, O_CREAT | O_WRONLY);
  BOOST_TEST(!UnixStream::connect(path, error).is_open());
  BOOST_TEST((error == std::errc::connection_refused));
}

WEFT_REAL_TIME_TEST_CASE(a_unix_connection_without_a_descriptor_fails) {
  UnixListener listener("@weft-error-code-" + std::to_string(getpid()));
  std::error_code error;
  {
    const NoDescriptors none;
    UnixStream::connect(listener.path(), error);
  }
  BOOST_TEST((error == std::errc::too_many_files_open));
}

WEFT_REAL_TIME_TEST_CASE(a_wait_for_a_backlog_that_is_cancelled_throws_it) {
  UnixListener listener("@weft-error-code-" + std::to_string(getpid()), {.backlog = 0});
  const UnixStream first = UnixStream::connect(listener.path());
  std::error_code error;
  BOOST_TEST(is_cancelled_in([&] { UnixStream::connect(listener.path(), error); }));
}

WEFT_REAL_TIME_TEST_CASE(a_path_that_cannot_be_one_is_thrown) {
  std::error_code error;
  BOOST_CHECK_EXCEPTION(UnixStream::connect("", error), std::system_error,
                        is(std::errc::invalid_argument));
  BOOST_CHECK_EXCEPTION(UnixStream::connect(std::string(108, 'x'), error), std::system_error,
                        is(std::errc::filename_too_long));
  BOOST_TEST(!error);
}

// ---- resolve() ----------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_look_up_clears_it) {
  std::error_code error = other_error();
  BOOST_TEST(resolve("127.0.0.1", "80", error).size() == 1u);
  BOOST_TEST(!error);
  error = other_error();
  BOOST_TEST(!resolve("localhost", "80", error).empty());
  BOOST_TEST(!error);
}

WEFT_REAL_TIME_TEST_CASE(a_look_up_reports_what_is_no_name_or_service) {
  std::error_code error;
  BOOST_TEST(resolve("*", "80", error).empty());
  BOOST_TEST((error == std::error_code(EAI_NONAME, resolve_category())));
  BOOST_TEST(resolve("127.0.0.1", "65536", error).empty());
  BOOST_TEST((error == std::error_code(EAI_SERVICE, resolve_category())));
  BOOST_TEST(resolve("localhost", "no-such-service", error).empty());
  BOOST_TEST((error.category() == resolve_category()));
}

BOOST_AUTO_TEST_CASE(a_look_up_of_a_name_outside_fibers_is_thrown) {
  std::error_code error;
  BOOST_CHECK_THROW(resolve("localhost", "80", error), std::logic_error);
}

// ---- shutdown_write() ---------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_shutdown_clears_it_also_when_the_peer_is_gone) {
  TcpPair pair;
  std::error_code error = other_error();
  pair.client.shutdown_write(error);
  BOOST_TEST(!error);
  char c;
  BOOST_TEST(pair.server.read_some({&c, 1}) == 0u);
  auto [near, far] = UnixStream::pair();
  far.close();
  error = other_error();
  near.shutdown_write(error);
  BOOST_TEST(!error);
}

WEFT_REAL_TIME_TEST_CASE(a_shutdown_reports_a_socket_that_is_closed_or_busy) {
  std::pair<UnixStream, UnixStream> pair = UnixStream::pair();
  UnixStream& near = pair.first;
  std::error_code error;
  auto writer = spawn([&] { near.write_all(std::string(16 << 20, 'x')); }, {.eager = true});
  near.shutdown_write(error);
  BOOST_TEST((error == std::errc::device_or_resource_busy));
  writer.cancel();
  writer.wait();
  near.close();
  near.shutdown_write(error);
  BOOST_TEST((error == std::errc::bad_file_descriptor));
  BOOST_TEST(is_cancelled_in([&] { near.shutdown_write(error); }));
}

// ---- sendfile() ---------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(sendfile_reports_what_is_closed_or_gone) {
  TemporaryDirectory directory;
  File file = File::open(directory / "file", O_CREAT | O_RDWR);
  file.write("some text");
  std::pair<UnixStream, UnixStream> pair = UnixStream::pair();
  UnixStream& near = pair.first;
  UnixStream& far = pair.second;
  std::error_code error = other_error();
  BOOST_TEST(near.sendfile(file, 0, 9, error) == 9u);
  BOOST_TEST(!error);
  far.close();
  BOOST_TEST(near.sendfile(file, 0, 9, error) == 0u);
  BOOST_TEST((error == std::errc::broken_pipe));
  BOOST_TEST(is_cancelled_in([&] { near.sendfile(file, 0, 9, error); }));
  file.close();
  near.sendfile(file, 0, 9, error);
  BOOST_TEST((error == std::errc::bad_file_descriptor));
  near.close();
  near.sendfile(file, 0, 9, error);
  BOOST_TEST((error == std::errc::bad_file_descriptor));
}

BOOST_AUTO_TEST_SUITE_END()
