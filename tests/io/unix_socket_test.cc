#include "weft/io/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "tests/support/error_names.h"
#include "tests/support/fixture.h"
#include "tests/support/temporary_directory.h"

BOOST_AUTO_TEST_SUITE(unix_socket)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;

namespace {

std::string read_line(UnixStream& stream) {
  return BufferedReader(stream).read_line().value_or("the end");
}

bool exists(const std::string& path) {
  struct stat info {};
  return lstat(path.c_str(), &info) == 0;
}

// A name that no other process uses.
std::string abstract_name(std::string_view name) {
  return "@weft-test-" + std::to_string(getpid()) + "-" + std::string(name);
}

// One connection there and back.
void check_that_it_serves(UnixListener& listener) {
  UnixStream client = UnixStream::connect(listener.path());
  UnixStream server = listener.accept();
  client.write_all("question\n");
  BOOST_TEST(read_line(server) == "question");
  server.write_all("answer\n");
  BOOST_TEST(read_line(client) == "answer");
}

// What a listener that was killed leaves behind.
void leave_socket_file(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  const Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  BOOST_REQUIRE(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
}

}  // namespace

// ---- Streams ------------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_connection_goes_both_ways) {
  const TemporaryDirectory directory;
  UnixListener listener(directory / "socket");
  BOOST_TEST(listener.is_open());
  BOOST_TEST(listener.path() == directory / "socket");
  check_that_it_serves(listener);
  check_that_it_serves(listener);
}

WEFT_REAL_TIME_TEST_CASE(who_accepts_waits_for_who_connects) {
  const TemporaryDirectory directory;
  UnixListener listener(directory / "socket");
  auto server = spawn([&] { return listener.accept(); }, {.eager = true});
  UnixStream client = UnixStream::connect(directory / "socket");
  UnixStream accepted = server.get();
  BOOST_TEST((fcntl(accepted.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
  BOOST_TEST((fcntl(client.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
  client.shutdown_write();
  BOOST_TEST(read_line(accepted) == "the end");
}

WEFT_REAL_TIME_TEST_CASE(a_large_amount_goes_both_ways_at_once) {
  auto ends = UnixStream::pair();
  const std::string bytes(3'000'000, 'x');
  const auto talk = [&](UnixStream& stream) {
    auto writer = spawn([&] {
      stream.write_all(bytes);
      stream.shutdown_write();
    });
    BOOST_TEST((BufferedReader(stream).read_all() == bytes));
    writer.get();
  };
  auto far = spawn([&] { talk(ends.second); });
  talk(ends.first);
  far.get();
}

BOOST_AUTO_TEST_CASE(a_pair_is_connected_and_needs_no_fiber) {
  auto ends = UnixStream::pair();
  ends.first.write_all("there\n");
  BOOST_TEST(read_line(ends.second) == "there");
  ends.second.write_all("back\n");
  BOOST_TEST(read_line(ends.first) == "back");
  ends.second.close();
  BOOST_TEST(read_line(ends.first) == "the end");
  BOOST_CHECK_EXCEPTION(ends.first.write_all("x"), std::system_error,
                        is(std::errc::broken_pipe, "write", "pair"));
}

WEFT_REAL_TIME_TEST_CASE(an_abstract_name_has_no_file) {
  const std::string name = abstract_name("one");
  {
    UnixListener listener(name);
    BOOST_TEST(listener.path() == name);
    BOOST_TEST(!exists(name));
    check_that_it_serves(listener);
    BOOST_CHECK_EXCEPTION(UnixListener{name}, std::system_error,
                          is(std::errc::address_in_use, "bind", name));
    check_that_it_serves(listener);
    BOOST_CHECK_EXCEPTION(UnixStream::connect(name + "x"), std::system_error,
                          is(std::errc::connection_refused, "connect", name + "x"));
  }
  UnixListener again(name);
  check_that_it_serves(again);
}

// ---- Errors -------------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(who_cannot_connect_hears_why) {
  const TemporaryDirectory directory;
  const auto fails = [](const std::string& path, std::errc code) {
    const auto before = open_descriptors();
    BOOST_CHECK_EXCEPTION(UnixStream::connect(path), std::system_error, is(code, "connect", path));
    BOOST_TEST(open_descriptors() == before);
  };
  fails(directory / "missing", std::errc::no_such_file_or_directory);
  leave_socket_file(directory / "left");
  fails(directory / "left", std::errc::connection_refused);
  std::ofstream(directory / "file") << "content";
  fails(directory / "file", std::errc::connection_refused);
  fails(directory / "file/below", std::errc::not_a_directory);
  fails("", std::errc::invalid_argument);
  BOOST_CHECK_EXCEPTION(UnixStream::connect({"/tmp/\0x", 7}), std::system_error,
                        is(std::errc::invalid_argument, "connect", "/tmp/"));
}

WEFT_REAL_TIME_TEST_CASE(a_path_has_107_bytes_at_most) {
  const TemporaryDirectory directory;
  const std::string prefix = directory / "";
  const std::string longest = prefix + std::string(107 - prefix.size(), 'x');
  {
    UnixListener listener(longest);
    BOOST_TEST(exists(longest));
    check_that_it_serves(listener);
  }
  BOOST_TEST(!exists(longest));
  UnixListener abstract(abstract_name(std::string(107 - abstract_name("").size(), 'x')));
  check_that_it_serves(abstract);
  for (const std::string& path : {longest + "x", "@" + longest, std::string(5000, 'x')}) {
    const auto too_long = is(std::errc::filename_too_long, "", path);
    BOOST_CHECK_EXCEPTION(UnixListener{path}, std::system_error, too_long);
    BOOST_CHECK_EXCEPTION(UnixStream::connect(path), std::system_error, too_long);
  }
}

// ---- The socket file ----------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_file_that_is_left_over_is_replaced) {
  const TemporaryDirectory directory;
  leave_socket_file(directory / "socket");
  UnixListener listener(directory / "socket");
  check_that_it_serves(listener);
}

WEFT_REAL_TIME_TEST_CASE(a_path_where_somebody_listens_is_refused) {
  const TemporaryDirectory directory;
  UnixListener first(directory / "socket");
  const auto before = open_descriptors();
  BOOST_CHECK_EXCEPTION(UnixListener(directory / "socket"), std::system_error,
                        is(std::errc::address_in_use, "bind", directory / "socket"));
  BOOST_TEST(open_descriptors() == before);
  BOOST_TEST(exists(directory / "socket"));
  // Whoever asked may have been a connection, for a moment.
  auto server = spawn([&] {
    for (;;) {
      UnixStream stream = first.accept();
      if (read_line(stream) == "question") break;
    }
  });
  UnixStream client = UnixStream::connect(directory / "socket");
  client.write_all("question\n");
  server.get();
}

WEFT_REAL_TIME_TEST_CASE(a_path_with_a_full_backlog_is_refused) {
  const TemporaryDirectory directory;
  UnixListener first(directory / "socket", {.backlog = 0});
  const UnixStream client = UnixStream::connect(directory / "socket");
  BOOST_CHECK_EXCEPTION(UnixListener(directory / "socket"), std::system_error,
                        is(std::errc::address_in_use, "bind", directory / "socket"));
  BOOST_TEST(exists(directory / "socket"));
}

WEFT_REAL_TIME_TEST_CASE(what_is_no_socket_file_is_refused_and_stays) {
  const TemporaryDirectory directory;
  std::ofstream(directory / "file") << "content";
  leave_socket_file(directory / "left");
  BOOST_REQUIRE(symlink((directory / "left").c_str(), (directory / "link").c_str()) == 0);
  BOOST_REQUIRE(mkdir((directory / "directory").c_str(), 0700) == 0);
  for (const char* name : {"file", "link", "directory"}) {
    BOOST_CHECK_EXCEPTION(UnixListener(directory / name), std::system_error,
                          is(std::errc::address_in_use, "bind", directory / name));
    BOOST_TEST(exists(directory / name));
  }
  BOOST_TEST(exists(directory / "left"));
  BOOST_CHECK_EXCEPTION(UnixListener(directory / "missing/socket"), std::system_error,
                        is(std::errc::no_such_file_or_directory, "bind", "missing/socket"));
}

WEFT_REAL_TIME_TEST_CASE(the_file_goes_with_the_listener) {
  const TemporaryDirectory directory;
  const std::string path = directory / "socket";
  for (const bool by_close : {true, false}) {
    UnixListener listener(path);
    BOOST_TEST(exists(path));
    if (!by_close) continue;
    listener.close();
    BOOST_TEST(!exists(path));
    BOOST_TEST(!listener.is_open());
    // Somebody else's.
    leave_socket_file(path);
    listener.close();
    BOOST_TEST(exists(path));
  }
  BOOST_TEST(!exists(path));
}

WEFT_REAL_TIME_TEST_CASE(a_file_of_somebody_else_stays) {
  const TemporaryDirectory directory;
  const std::string path = directory / "socket";
  {
    UnixListener first(path);
    BOOST_REQUIRE(rename(path.c_str(), (directory / "moved").c_str()) == 0);
    UnixListener second(path);
    first.close();
    BOOST_TEST(exists(path));
    BOOST_TEST(exists(directory / "moved"));
    check_that_it_serves(second);
    BOOST_REQUIRE(unlink(path.c_str()) == 0);
    std::ofstream(path) << "content";
  }
  BOOST_TEST(exists(path));
}

WEFT_REAL_TIME_TEST_CASE(a_listener_can_be_moved) {
  const TemporaryDirectory directory;
  UnixListener first(directory / "first");
  UnixListener second(std::move(first));
  BOOST_TEST(!first.is_open());
  first.close();
  BOOST_TEST(exists(directory / "first"));
  check_that_it_serves(second);
  UnixListener third(directory / "third");
  third = std::move(second);
  BOOST_TEST(!exists(directory / "third"));
  BOOST_TEST(third.path() == directory / "first");
  check_that_it_serves(third);
  UnixListener& same = third;
  third = std::move(same);
  check_that_it_serves(third);
  { const UnixListener last(std::move(third)); }
  BOOST_TEST(!exists(directory / "first"));
}

BOOST_AUTO_TEST_SUITE_END()
