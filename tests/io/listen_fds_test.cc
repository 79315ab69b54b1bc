// In children: the environment and the descriptors from 3 on are theirs.

#include "weft/io/listen_fds.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <system_error>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/error_names.h"
#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(listen_fds)

using namespace weft;
using namespace weft::test;

namespace {

// What a process was started with: `open` descriptors from 3 on.
struct Start {
  const char* pid = "this";
  const char* fds = "";
  const char* names = nullptr;
  int open = 0;
};

// Whether check() holds in a process that was started so.
bool in_process(const Start& start, const std::function<bool()>& check) {
  return run_in_child([&] {
           const std::string pid = std::to_string(getpid());
           if (start.pid) setenv("LISTEN_PID", *start.pid == 't' ? pid.c_str() : start.pid, 1);
           if (start.fds) setenv("LISTEN_FDS", start.fds, 1);
           if (start.names) setenv("LISTEN_FDNAMES", start.names, 1);
           const int source = fcntl(socket(AF_INET, SOCK_STREAM, 0), F_DUPFD, 100);
           for (int fd = 3; fd < 20; ++fd) fd < 3 + start.open ? dup2(source, fd) : close(fd);
           return check() ? 0 : 1;
         }).exit_code == 0;
}

using Fds = std::vector<int>;

bool is_refused(std::errc code, const char* word) {
  try {
    weft::listen_fds();
    return false;
  } catch (const std::system_error& error) {
    return is(code, "listen_fds", word)(error);
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(they_begin_at_three_and_are_closed_on_exec) {
  BOOST_TEST(in_process({.fds = "2", .open = 2}, [] {
    return weft::listen_fds() == Fds{3, 4} && (fcntl(3, F_GETFD) & FD_CLOEXEC) &&
           (fcntl(4, F_GETFD) & FD_CLOEXEC) && weft::listen_fds() == Fds{3, 4};
  }));
}

BOOST_AUTO_TEST_CASE(there_are_none_for_another_process) {
  const auto none = [] { return weft::listen_fds().empty() && !(fcntl(3, F_GETFD) & FD_CLOEXEC); };
  BOOST_TEST(in_process({.pid = "1", .fds = "1", .open = 1}, none));
  BOOST_TEST(in_process({.pid = "", .fds = "1", .open = 1}, none));
  BOOST_TEST(in_process({.pid = nullptr, .fds = nullptr, .open = 1}, none));
  BOOST_TEST(in_process({.pid = "this", .fds = "0", .open = 1}, none));
}

BOOST_AUTO_TEST_CASE(some_have_names) {
  BOOST_TEST(in_process({.fds = "4", .names = "web:admin::web", .open = 4}, [] {
    return weft::listen_fds("web") == Fds{3, 6} && weft::listen_fds("admin") == Fds{4} &&
           weft::listen_fds("we").empty() && weft::listen_fds() == Fds{3, 4, 5, 6};
  }));
  BOOST_TEST(in_process({.fds = "1", .open = 1}, [] { return weft::listen_fds("web").empty(); }));
  BOOST_TEST(in_process({.fds = "2", .names = "web", .open = 2},
                        [] { return weft::listen_fds("web") == Fds{3}; }));
}

BOOST_AUTO_TEST_CASE(nonsense_is_refused) {
  for (const char* fds : {"", "x", "-1", "1x", " 1", "99999999999"}) {
    BOOST_TEST(in_process({.fds = fds, .open = 1},
                          [] { return is_refused(std::errc::invalid_argument, "LISTEN_FDS"); }),
               fds);
  }
  BOOST_TEST(in_process({.fds = "2", .open = 1},
                        [] { return is_refused(std::errc::bad_file_descriptor, "4"); }));
}

BOOST_AUTO_TEST_SUITE_END()
