// A fiber that is cancelled, and finds that what it works on was closed, too.

#include <fcntl.h>

#include <functional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/temporary_directory.h"

BOOST_AUTO_TEST_SUITE(cancel_closed)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// One of each, and what waits for something on it.
class World {
 public:
  struct Call {
    std::string name;
    std::function<void()> run;
  };

  // Those that wait while everything is open.
  std::vector<Call> calls_that_wait() {
    return {
        {"read_some", [&] { pair_.first.read_some(buffer_); }},
        {"read_some with a code", [&] { pair_.first.read_some(buffer_, error_); }},
        {"read_exactly", [&] { pair_.first.read_exactly(buffer_); }},
        {"write_all", [&] { pair_.first.write_all(std::string(10'000'000, 'x')); }},
        {"TcpListener::accept", [&] { tcp_.accept(); }},
        {"TcpListener::accept with a code", [&] { tcp_.accept(error_); }},
        {"UnixListener::accept", [&] { unix_.accept(); }},
        {"receive_from", [&] { udp_.receive_from(buffer_); }},
        {"receive_from with a code", [&] { udp_.receive_from(buffer_, error_); }},
    };
  }

  std::vector<Call> calls() {
    std::vector<Call> calls = calls_that_wait();
    const std::vector<Call> more = {
        {"write_some", [&] { pair_.first.write_some(std::string("text")); }},
        {"shutdown_write", [&] { pair_.first.shutdown_write(); }},
        {"sendfile", [&] { pair_.second.sendfile(file_, 0, 1); }},
        {"sendfile with a code", [&] { pair_.second.sendfile(file_, 0, 1, error_); }},
        {"sendfile of a closed file with a code",
         [&] { UnixStream::pair().first.sendfile(file_, 0, 1, error_); }},
        {"sendfile of a closed file", [&] { UnixStream::pair().first.sendfile(file_, 0, 1); }},
        {"send_to", [&] { udp_.send_to(std::string("text"), address_); }},
        {"send_to with a code", [&] { udp_.send_to(std::string("text"), address_, error_); }},
        {"local_address", [&] { udp_.local_address(); }},
        {"File::read", [&] { file_.read(buffer_); }},
        {"File::write", [&] { file_.write(std::string("text")); }},
        {"File::write with a code", [&] { file_.write(std::string("text"), error_); }},
        {"File::pwrite with a code", [&] { file_.pwrite(std::string("text"), 0, error_); }},
        {"File::size", [&] { file_.size(); }},
        {"File::sync", [&] { file_.sync(); }},
        {"wait_readable", [&] { wait_readable(fd_); }},
        {"wait_writable", [&] { wait_writable(fd_); }},
        {"wait_ready", [&] { wait_ready(fd_, Events::kRead | Events::kWrite); }},
    };
    calls.insert(calls.end(), more.begin(), more.end());
    return calls;
  }

  void close_all() {
    pair_.first.close();
    pair_.second.close();
    tcp_.close();
    unix_.close();
    udp_.close();
    file_.close();
    foreign_ = Fd();
  }

 private:
  const TemporaryDirectory directory_;
  std::pair<UnixStream, UnixStream> pair_ = UnixStream::pair();
  TcpListener tcp_{"127.0.0.1:0"};
  UnixListener unix_{directory_ / "socket"};
  UdpSocket udp_{"127.0.0.1:0"};
  const Address address_ = udp_.local_address();
  File file_ = File::open(directory_ / "file", O_RDWR | O_CREAT);
  Fd foreign_{open("/dev/null", O_RDWR | O_CLOEXEC)};
  const int fd_ = foreign_.get();
  std::string buffer_ = std::string(16, '?');
  std::error_code error_;
};

}  // namespace

WEFT_TEST_CASE(what_was_closed_before_the_call_is_no_error_of_a_cancelled_fiber) {
  World world;
  world.close_all();
  for (const World::Call& call : world.calls()) {
    BOOST_TEST_CONTEXT(call.name) {
      Event cancelled;
      auto task = spawn(
          [&] {
            shield([&] { cancelled.wait(); });
            call.run();
          },
          {.eager = true});
      task.cancel();
      cancelled.set();
      BOOST_CHECK_THROW(task.get(), TaskCancelled);
      // A timeout that is over is one, too.
      BOOST_CHECK_THROW(with_timeout(0s,
                                     [&] {
                                       shield([] { run_until_blocked(); });
                                       call.run();
                                     }),
                        TimeoutError);
    }
  }
}

WEFT_REAL_TIME_TEST_CASE(what_is_closed_during_the_call_is_no_error_of_a_cancelled_fiber) {
  const std::size_t count = World().calls_that_wait().size();
  for (std::size_t i = 0; i < count; ++i) {
    World world;
    const World::Call call = world.calls_that_wait()[i];
    BOOST_TEST_CONTEXT(call.name) {
      auto task = spawn(call.run, {.eager = true});
      yield();
      BOOST_TEST(!task.done());
      world.close_all();
      task.cancel();
      BOOST_CHECK_THROW(task.get(), TaskCancelled);
    }
  }
}

WEFT_TEST_CASE(a_fiber_that_is_not_cancelled_gets_the_error) {
  World world;
  world.close_all();
  for (const World::Call& call : world.calls()) {
    BOOST_TEST_CONTEXT(call.name) {
      if (call.name.ends_with("with a code")) {
        BOOST_CHECK_NO_THROW(call.run());
      } else {
        BOOST_CHECK_THROW(call.run(), std::system_error);
      }
    }
  }
}

// What cleans up while the stack unwinds may find that somebody else has done so.
WEFT_TEST_CASE(a_destructor_called_by_unwinding_gets_the_error) {
  struct Cleanup {
    ~Cleanup() {
      try {
        stream.write_all(std::string("bye"));
      } catch (const std::system_error& error) {
        told = error.code() == std::errc::bad_file_descriptor;
      }
    }
    UnixStream& stream;
    bool& told;
  };
  auto pair = UnixStream::pair();
  pair.first.close();
  bool told = false;
  auto task = spawn(
      [&] {
        const Cleanup cleanup{pair.first, told};
        sleep_for(1h);
      },
      {.eager = true});
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(told);
}

BOOST_AUTO_TEST_SUITE_END()
