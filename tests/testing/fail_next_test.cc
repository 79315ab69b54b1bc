#include "weft/io/testing/fail_next.h"

#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "tests/support/fixture.h"
#include "tests/support/temporary_directory.h"
#include "weft/weft.h"

BOOST_AUTO_TEST_SUITE(fail_next)

using namespace weft;
using namespace weft::test;
using testing::fail_next;

namespace {

template <class F>
std::error_code error_of(F f) {
  try {
    f();
  } catch (const std::system_error& error) {
    return error.code();
  }
  return {};
}

struct Connection {
  TcpListener listener{"127.0.0.1:0"};
  TcpStream client = TcpStream::connect(listener.local_address());
  TcpStream server = listener.accept();
  char byte = 0;

  std::error_code read_error() {
    return error_of([this] { client.read_some({&byte, 1}); });
  }
};

}  // namespace

WEFT_REAL_TIME_TEST_CASE(the_next_call_fails_and_the_one_after_it_works) {
  Connection pair;
  pair.server.write_all("x");
  const auto fault = fail_next("recv", ECONNRESET);
  BOOST_TEST(fault.failed() == 0u);
  BOOST_TEST((pair.read_error() == std::errc::connection_reset));
  BOOST_TEST(fault.failed() == 1u);
  BOOST_TEST(!pair.read_error());
  BOOST_TEST(pair.byte == 'x');
  BOOST_TEST(fault.failed() == 1u);
  BOOST_TEST(fault.calls() == 2u);
}

WEFT_REAL_TIME_TEST_CASE(a_later_call_and_several_may_be_chosen) {
  Connection pair;
  pair.server.write_all("abcdef");
  const auto fault = fail_next("recv", ECONNRESET, {.first = 2, .count = 2});
  std::string failed;
  for (int i = 0; i < 5; ++i) failed += pair.read_error() ? '-' : pair.byte;
  BOOST_TEST(failed == "a--bc");
  BOOST_TEST(fault.failed() == 2u);
  BOOST_TEST(fault.calls() == 5u);
}

WEFT_REAL_TIME_TEST_CASE(nothing_fails_after_the_end_of_the_fault) {
  Connection pair;
  pair.server.write_all("x");
  { const auto fault = fail_next("recv", ECONNRESET); }
  BOOST_TEST(!pair.read_error());
}

WEFT_REAL_TIME_TEST_CASE(each_function_has_its_fault) {
  const auto socket = fail_next("socket", EMFILE);
  BOOST_TEST((error_of([] { TcpListener("127.0.0.1:0"); }) == std::errc::too_many_files_open));
  const auto bind = fail_next("bind", EADDRINUSE);
  BOOST_TEST((error_of([] { TcpListener("127.0.0.1:0"); }) == std::errc::address_in_use));
  const auto listen = fail_next("listen", EADDRINUSE);
  BOOST_TEST((error_of([] { TcpListener("127.0.0.1:0"); }) == std::errc::address_in_use));
  const TcpListener listener("127.0.0.1:0");
  const auto connect = fail_next("connect", ENETUNREACH);
  const Address address = listener.local_address();
  BOOST_TEST((error_of([&] { TcpStream::connect(address); }) == std::errc::network_unreachable));
}

WEFT_REAL_TIME_TEST_CASE(a_call_of_the_executor_fails_too) {
  const TemporaryDirectory directory;
  File file = File::open(directory / "file", O_CREAT | O_RDWR);
  const auto fault = fail_next("write", ENOSPC);
  BOOST_TEST((error_of([&] { file.write("x"); }) == std::errc::no_space_on_device));
}

WEFT_REAL_TIME_TEST_CASE(a_fault_of_write_is_none_of_a_wake_up) {
  const TemporaryDirectory directory;
  File file = File::open(directory / "file", O_CREAT | O_RDWR);
  const auto fault = fail_next("write", ENOSPC, {.first = 3});
  for (int i = 1; i <= 4; ++i) {
    BOOST_TEST(!error_of([&] { file.write("x"); }) == (i != 3));
  }
  BOOST_TEST(fault.calls() == 4u);
}

WEFT_REAL_TIME_TEST_CASE(a_name_cannot_be_looked_up) {
  const auto fault = fail_next("getaddrinfo", EAI_AGAIN);
  const std::error_code error = error_of([] { resolve("localhost", "http"); });
  BOOST_TEST(error.value() == EAI_AGAIN);
  BOOST_TEST(!error_of([] { resolve("localhost", "80"); }));
}

BOOST_AUTO_TEST_CASE(a_call_of_the_program_itself_fails) {
  std::array<int, 2> ends{};
  BOOST_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0);
  const auto fault = fail_next("send", ENOBUFS);
  BOOST_TEST(send(ends[0], "x", 1, 0) == -1);
  BOOST_TEST(errno == ENOBUFS);
  BOOST_TEST(send(ends[0], "x", 1, 0) == 1);
  for (const int end : ends) close(end);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_is_refused) {
  const auto arm = [](std::string_view call, int error, testing::FaultOptions options = {}) {
    const auto fault = fail_next(call, error, options);
  };
  for (const char* unknown : {"", "recvx", "malloc"}) {
    BOOST_CHECK_THROW(arm(unknown, EIO), std::invalid_argument);
  }
  BOOST_CHECK_THROW(arm("recv", 0), std::invalid_argument);
  BOOST_CHECK_THROW(arm("recv", EAGAIN), std::invalid_argument);
  BOOST_CHECK_THROW(arm("recv", EIO, {.first = 0}), std::invalid_argument);
  BOOST_CHECK_THROW(arm("recv", EIO, {.count = 0}), std::invalid_argument);
  const auto fault = fail_next("recv", EIO);
  BOOST_CHECK_THROW(arm("recv", EIO), std::logic_error);
  arm("send", EIO);  // of another function there may be one
}

BOOST_AUTO_TEST_SUITE_END()
