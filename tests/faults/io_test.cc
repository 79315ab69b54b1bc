// What happens when calls of io/ fail that no example makes, or not in this way.

#include <fcntl.h>
#include <sys/socket.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

#include "tests/faults/recovery.h"
#include "tests/faults/seam.h"
#include "tests/support/fixture.h"
#include "tests/support/temporary_directory.h"
#include "weft/io/core/socket.h"

BOOST_AUTO_TEST_SUITE(io)

using namespace std::chrono_literals;
using weft::faults::check_recovery;
using weft::faults::may_throw;
using weft::faults::must_throw;
using weft::faults::unnoticed;
using weft::test::TemporaryDirectory;

namespace {

// The body as a fiber. What cannot be had within the time of a slow machine is a hang.
auto in_run(std::function<void()> body) {
  return [body = std::move(body)] { weft::run([&] { weft::with_timeout(20s, body); }); };
}

}  // namespace

// ---- Files --------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_file_names_the_call_that_failed) {
  const TemporaryDirectory folder;
  const std::string path = folder / "file";
  const auto body = in_run([&] {
    auto file = weft::File::open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    file.write(std::string_view("hello, "));
    file.pwrite(std::string_view("world"), 7);
    file.sync();
    BOOST_TEST(file.size() == 12u);
    std::string text(12, '\0');
    for (std::size_t done = 0; done < text.size();) {
      done += file.pread(std::span(text).subspan(done), done);
    }
    BOOST_TEST(text == "hello, world");
    BOOST_TEST(weft::File::open(path, O_RDONLY).read_all() == "hello, world");
  });
  for (const char* error : {"EMFILE", "ENOENT", "EACCES"}) {
    check_recovery(std::string("open:") + error, must_throw("weft: open " + path), body);
  }
  check_recovery("write:ENOSPC", must_throw("weft: write " + path), body);
  check_recovery("pwrite:EIO", must_throw("weft: pwrite " + path), body);
  check_recovery("pread:EIO", must_throw("weft: pread " + path), body);
  check_recovery("read:EIO", must_throw("weft: read " + path), body);
  check_recovery("fsync:EIO", must_throw("weft: fsync " + path), body);
  // open() and read_all() only look, and go on without.
  check_recovery("fstat:EIO", may_throw("weft: size of " + path), body);
  check_recovery("lseek:ESPIPE", unnoticed(), body);
  check_recovery("close:EINTR", unnoticed(), body);
  for (const char* call : {"open", "read", "write", "pread", "pwrite", "fsync"}) {
    check_recovery(std::string(call) + ":EINTR", unnoticed(), body);
  }
  for (const char* call : {"read", "write", "pread", "pwrite"}) {
    check_recovery(std::string(call) + ":short", unnoticed(), body);
    check_recovery(std::string(call) + "+:short", unnoticed(), body);
  }
  // One thread is enough.
  check_recovery("pthread_create:EAGAIN", may_throw("weft: pthread_create"), body);
}

BOOST_AUTO_TEST_CASE(a_size_that_is_not_told_is_no_size) {
  const TemporaryDirectory folder;
  weft::File file;
  in_run([&] { file = weft::File::open(folder / "file", O_RDWR | O_CREAT, 0600); })();
  check_recovery("fstat:EIO", must_throw("weft: size of "), in_run([&] { file.size(); }));
}

// ---- Names --------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_look_up_fails_and_the_next_one_succeeds) {
  const auto body = in_run([] { BOOST_TEST(!weft::resolve("localhost", "http").empty()); });
  check_recovery("getaddrinfo:EIO",
                 must_throw("weft: resolve of \"localhost\", service \"http\": Input/output"),
                 body);
}

// ---- Signals ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_set_of_signals_that_cannot_be_had_blocks_none) {
  const auto body = in_run([] {
    weft::SignalSet signals({SIGUSR1});
    kill(getpid(), SIGUSR1);
    BOOST_TEST(signals.wait() == SIGUSR1);
  });
  const auto blocks = [] {
    sigset_t now;
    sigprocmask(SIG_BLOCK, nullptr, &now);
    return sigismember(&now, SIGUSR1) == 1;
  };
  const auto checked_body = [&] {
    try {
      body();
    } catch (...) {
      BOOST_TEST(!blocks());
      throw;
    }
    BOOST_TEST(!blocks());
  };
  check_recovery("signalfd:EMFILE", must_throw("weft: signalfd"), checked_body);
  check_recovery("epoll_ctl:ENOSPC", must_throw("weft: epoll_ctl of "), checked_body);
  check_recovery("read_signal:EINTR", unnoticed(), checked_body);
  check_recovery("read_signal:EAGAIN", unnoticed(), checked_body);
}

// ---- Sockets ------------------------------------------------------------------------------------

namespace {

// Sends "ping" there and back.
template <class Listener, class Connect>
void exchange(Listener& listener, Connect connect) {
  weft::TaskGroup both;  // where one fails, the other one ends
  both.spawn([&] {
    auto stream = listener.accept();
    char text[4];
    stream.read_exactly(text);
    stream.write_all({std::string_view(text, 4), "!"});
    stream.shutdown_write();
  });
  both.spawn([&] {
    auto stream = connect();
    stream.write_all("ping");
    std::string answer(5, '\0');
    stream.read_exactly(answer);
    BOOST_TEST(answer == "ping!");
  });
  both.join();
}

void check_exchange(const std::function<void()>& body) {
  for (const char* call : {"accept4", "recv", "send", "sendmsg"}) {
    for (const char* error : {":EINTR", ":EAGAIN"}) {
      check_recovery(std::string(call) + error, unnoticed(), body);
    }
  }
  check_recovery("accept4:ECONNABORTED", unnoticed(), body);
  check_recovery("accept4:EMFILE", unnoticed(), body);
  for (const char* call : {"recv", "send", "sendmsg"}) {
    check_recovery(std::string(call) + ":short", unnoticed(), body);
    check_recovery(std::string(call) + "+:short", unnoticed(), body);
  }
  check_recovery("recv:ECONNRESET", must_throw("weft: read"), body);
  check_recovery("send:EPIPE", must_throw("weft: write"), body);
  check_recovery("socket:EMFILE", must_throw(": Too many open files"), body);
  check_recovery("connect:ECONNREFUSED", must_throw("weft: connect to "), body);
  check_recovery("listen:EADDRINUSE", must_throw("weft: listen on "), body);
}

}  // namespace

BOOST_AUTO_TEST_CASE(tcp_copes_or_names_the_call) {
  const auto body = in_run([] {
    weft::TcpListener listener("127.0.0.1:0");
    const weft::Address address = listener.local_address();
    exchange(listener, [&] { return weft::TcpStream::connect(address); });
  });
  check_exchange(body);
  check_recovery("connect:EINTR", unnoticed(), body);
  // Whether a connection is one to itself is only looked at.
  check_recovery("getpeername:ENOTCONN", unnoticed(), body);
  check_recovery("getsockname:ENOBUFS", may_throw("local_address"), body);
  check_recovery("getsockname:ENOBUFS", must_throw("local_address"),
                 in_run([] { weft::TcpListener("127.0.0.1:0").local_address(); }));
  check_recovery("getsockopt:ENOBUFS", must_throw("weft: connect to "), body);
  check_recovery("setsockopt:ENOMEM", must_throw("weft: setsockopt for "), body);
}

BOOST_AUTO_TEST_CASE(unix_sockets_cope_or_name_the_call_and_leave_no_file) {
  const TemporaryDirectory folder;
  const std::string path = folder / "socket";
  const auto body = in_run([&] {
    weft::UnixListener listener(path);
    exchange(listener, [&] { return weft::UnixStream::connect(path); });
  });
  const auto checked_body = [&] {
    try {
      body();
    } catch (...) {
      BOOST_TEST(!std::filesystem::exists(path));
      throw;
    }
    BOOST_TEST(!std::filesystem::exists(path));
  };
  check_exchange(checked_body);
  check_recovery("bind:EACCES", must_throw("weft: bind to "), checked_body);
  check_recovery("connect:EAGAIN", unnoticed(), checked_body);
  check_recovery("socketpair:EMFILE", must_throw("weft: socketpair"),
                 in_run([] { weft::UnixStream::pair(); }));
}

BOOST_AUTO_TEST_CASE(datagrams_cope_or_name_the_call) {
  const auto body = in_run([] {
    weft::UdpSocket here("127.0.0.1:0");
    weft::UdpSocket there("127.0.0.1:0");
    here.send_to(std::string_view("hello"), there.local_address());
    char text[16];
    const auto received = there.receive_from(text);
    BOOST_TEST(std::string_view(text, received.size) == "hello");
    BOOST_TEST((received.from == here.local_address()));
  });
  for (const char* call : {"sendto", "recvmsg"}) {
    check_recovery(std::string(call) + ":EINTR", unnoticed(), body);
    check_recovery(std::string(call) + ":EAGAIN", unnoticed(), body);
  }
  check_recovery("sendto:ENETUNREACH", must_throw("weft: send_to "), body);
  check_recovery("recvmsg:ECONNREFUSED", must_throw("weft: receive_from on "), body);
  check_recovery("bind:EADDRINUSE", must_throw("weft: bind to "), body);
  check_recovery("socket:EMFILE", must_throw("weft: socket for "), body);
}

BOOST_AUTO_TEST_CASE(unix_datagrams_cope_or_name_the_call_and_leave_no_file) {
  const TemporaryDirectory folder;
  const std::string path = folder / "socket";
  const auto body = in_run([&] {
    weft::UnixDatagram here(""), there(path);
    here.send_to("hello", path);
    char text[16];
    BOOST_TEST(there.receive_from(text).from == here.path());
    here.connect(path);
    here.send("hello");
    BOOST_TEST(there.receive(text) == 5u);
  });
  const auto checked_body = [&] {
    try {
      body();
    } catch (...) {
      BOOST_TEST(!std::filesystem::exists(path));
      throw;
    }
    BOOST_TEST(!std::filesystem::exists(path));
  };
  for (const char* call : {"sendto", "send", "recvmsg"}) {
    check_recovery(std::string(call) + ":EINTR", unnoticed(), checked_body);
    check_recovery(std::string(call) + ":EAGAIN", unnoticed(), checked_body);
  }
  check_recovery("sendto:ENOBUFS", unnoticed(), checked_body);
  check_recovery("sendto:ENOENT", must_throw("weft: send_to " + path), checked_body);
  check_recovery("send:ECONNREFUSED", must_throw("weft: send on "), checked_body);
  check_recovery("connect:EACCES", must_throw("weft: connect to " + path), checked_body);
  check_recovery("bind:EACCES", must_throw("weft: bind to "), checked_body);
  check_recovery("socket:EMFILE", must_throw("weft: socket for "), checked_body);
  check_recovery("getsockname:ENOBUFS", must_throw("weft: path of "), checked_body);
  check_recovery("socketpair:EMFILE", must_throw("weft: socketpair"),
                 in_run([] { weft::UnixDatagram::pair(); }));
}

// What is not adopted stays the caller's; see check_recovery(): none is left open, or closed twice.
BOOST_AUTO_TEST_CASE(a_descriptor_is_adopted_or_stays_the_callers) {
  const auto body = [] {
    int ends[2];
    BOOST_REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const weft::internal::Fd other(ends[1]);
    weft::internal::Fd mine(ends[0]);
    weft::UnixStream stream = weft::UnixStream::adopt(mine.get());
    mine.release();
    const weft::internal::Fd again(stream.release());
  };
  for (const char* fault : {"getsockopt:ENOBUFS", "getpeername:ENOBUFS", "fcntl:EACCES"}) {
    check_recovery(fault, must_throw("weft: adopt of descriptor "), body);
  }
  const auto listener = [] {
    const weft::internal::Fd mine(weft::TcpListener("127.0.0.1:0").release());
    weft::TcpListener adopted = weft::TcpListener::adopt(mine.get());
    adopted.release();  // not twice
  };
  check_recovery("getsockname:ENOBUFS", must_throw("local_address"), listener);
}

BOOST_AUTO_TEST_CASE(an_option_or_a_group_is_set_or_named) {
  const auto body = [] {
    weft::UdpSocket socket("127.0.0.1:0");
    weft::set_options(socket.native_handle(), {.linger = 1s, .multicast_ttl = 2});
    socket.join_group(weft::Address::parse("239.255.77.1:0"), "lo");
    socket.connect(socket.local_address());
  };
  check_recovery("setsockopt:ENOMEM", must_throw("weft: "), body);
  check_recovery("connect:ENETUNREACH", must_throw("weft: connect to 127.0.0.1:"), body);
}

BOOST_AUTO_TEST_CASE(a_file_is_sent_or_the_call_is_named) {
  const TemporaryDirectory folder;
  const std::string path = folder / "file";
  std::ofstream(path) << std::string(5000, 'x');
  const auto body = in_run([&] {
    auto [here, there] = weft::UnixStream::pair();
    auto file = weft::File::open(path, O_RDONLY);
    std::string text(5000, '\0');
    weft::TaskGroup both;
    both.spawn([&, &from = here] { from.sendfile(file, 0, 5000); });
    both.spawn([&, &to = there] { to.read_exactly(text); });
    both.join();
    BOOST_TEST((text == std::string(5000, 'x')));
  });
  for (const char* fault : {"sendfile:EINTR", "sendfile:EAGAIN", "sendfile:short"}) {
    check_recovery(fault, unnoticed(), body);
  }
  check_recovery("sendfile:EIO", must_throw("weft: sendfile to "), body);
  check_recovery("fcntl:EMFILE", must_throw("weft: sendfile to "), body);
}

BOOST_AUTO_TEST_CASE(a_call_that_cannot_wait_says_so) {
  const auto body = in_run([] {
    auto [here, there] = weft::UnixStream::pair();
    weft::TaskGroup both;
    both.spawn([&stream = here] {
      char byte;
      stream.read_exactly({&byte, 1});
    });
    both.spawn([&stream = there] {
      weft::sleep_for(1ms);
      stream.write_all("x");
    });
    both.join();
  });
  check_recovery("epoll_ctl:ENOSPC", must_throw(": No space left on device"), body);
}

BOOST_AUTO_TEST_SUITE_END()
