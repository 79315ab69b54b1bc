// Where a task that waits for I/O is shown: in which call, and in which function of the program.

#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/pipe.h"
#include "tests/support/reports.h"
#include "tests/support/tcp_pair.h"
#include "tests/support/temporary_directory.h"

BOOST_AUTO_TEST_SUITE(stack_of_wait)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

template <class F>
[[gnu::noinline]] void wait_in(F& f) {
  f();
  asm volatile("" ::: "memory");  // no tail call
}

// Checks that a task that waits in f() is shown in `call`, and its innermost function as that of
// this file. Then calls end(), and ends the task by a cancellation.
template <class F>
void check_wait(
    std::string_view call, F f, const std::function<void()>& end = [] {}) {
  auto task = spawn([&] { wait_in(f); });
  wait_until_blocked(task, call);
  const std::string stack = task.stack().to_string();
  const std::vector<std::string> names = functions_of(stack);
  BOOST_TEST_REQUIRE(!names.empty(), call);
  // With a lambda that was not inlined, which has the name of its case.
  BOOST_TEST((names[0] == "wait_in" || names[0].starts_with("a_wait_in_")), call << ":\n" << stack);
  BOOST_TEST(std::ranges::count(names, "wait_in") == 1, call << ":\n" << stack);
  end();
}

}  // namespace

WEFT_REAL_TIME_TEST_CASE(a_wait_in_a_tcp_stream_ends_in_its_call) {
  TcpPair pair;
  char bytes[8];
  check_wait("read_some", [&] { pair.client.read_some(bytes); });
  check_wait("read_some", [&] { BufferedReader(pair.client).read_line(); });
  const std::string much(64 << 20, 'x');
  check_wait("write_some", [&] { pair.client.write_all(much); });
}

WEFT_REAL_TIME_TEST_CASE(a_wait_in_accept_or_connect_ends_in_its_call) {
  TcpListener listener("127.0.0.1:0", {.backlog = 0});
  check_wait("accept", [&] { listener.accept(); });
  // The kernel keeps one more than it was asked to.
  const TcpStream full = TcpStream::connect(listener.local_address());
  check_wait("connect", [&] { TcpStream::connect(listener.local_address()); });
}

WEFT_REAL_TIME_TEST_CASE(a_wait_in_a_unix_socket_ends_in_its_call) {
  const TemporaryDirectory directory;
  UnixListener listener(directory / "socket");
  check_wait("accept", [&] { listener.accept(); });
  UnixStream client = UnixStream::connect(directory / "socket");
  char bytes[8];
  check_wait("read_some", [&] { client.read_some(bytes); });
}

WEFT_REAL_TIME_TEST_CASE(a_wait_in_a_udp_socket_ends_in_its_call) {
  UdpSocket socket("127.0.0.1:0");
  char bytes[8];
  check_wait("receive_from", [&] { socket.receive_from(bytes); });
}

WEFT_REAL_TIME_TEST_CASE(a_wait_in_poll_ends_in_its_call) {
  const BarePipe pipe(O_NONBLOCK);
  check_wait("wait_readable", [&] { wait_readable(pipe.in()); });
  check_wait("wait_ready", [&] { wait_ready(pipe.in(), Events::kRead); });
  pipe.fill();
  check_wait("wait_writable", [&] { wait_writable(pipe.out()); });
}

WEFT_REAL_TIME_TEST_CASE(a_wait_in_a_signal_set_ends_in_its_call) {
  SignalSet set{SIGUSR1};
  check_wait("SignalSet::wait", [&] { set.wait(); });
}

// A job cannot be cancelled: it ends when the other end of the pipe is opened.
WEFT_REAL_TIME_TEST_CASE(a_wait_in_a_file_ends_in_the_call_of_its_job) {
  const TemporaryDirectory directory;
  const std::string path = directory / "pipe";
  BOOST_TEST_REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  check_wait(
      "run_in_executor", [&] { (void)File::open(path, O_RDONLY); },
      [&] { (void)File::open(path, O_WRONLY); });
}

BOOST_AUTO_TEST_SUITE_END()
