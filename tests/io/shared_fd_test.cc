// In children: what they close is theirs.

#include "weft/io/core/shared_fd.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <optional>

#include "tests/support/child_process.h"
#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(shared_fd)

using namespace weft;
using namespace weft::test;
using internal::close_all_but_shared;
using internal::Fd;
using internal::SharedFd;

namespace {

Fd new_fd() { return Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

// Whether check() holds in a forked child.
bool in_child(const std::function<bool()>& check) {
  return run_in_child([&] { return check() ? 7 : 8; }).exit_code == 7;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_child_keeps_what_is_shared_and_closes_the_rest) {
  const Fd before = new_fd();
  const SharedFd first(new_fd());
  const Fd between = new_fd();
  const SharedFd second(new_fd());
  const Fd after = new_fd();
  BOOST_TEST(in_child([&] {
    close_all_but_shared({});
    return is_open(first.get()) && is_open(second.get()) && !is_open(before.get()) &&
           !is_open(between.get()) && !is_open(after.get());
  }));
}

BOOST_AUTO_TEST_CASE(a_child_keeps_the_standard_descriptors_and_those_it_names) {
  const Fd named = new_fd();
  const Fd high(fcntl(named.get(), F_DUPFD_CLOEXEC, 500));
  BOOST_TEST(in_child([&] {
    close_all_but_shared(std::array{high.get(), named.get(), named.get(), 1, -1});
    return is_open(0) && is_open(1) && is_open(2) && is_open(named.get()) && is_open(high.get());
  }));
}

BOOST_AUTO_TEST_CASE(what_is_shared_no_more_is_closed) {
  std::optional<SharedFd> gone(new_fd());
  const SharedFd kept(new_fd());
  const int number = gone->get();
  gone.reset();
  BOOST_TEST(!is_open(number));
  const Fd other = new_fd();  // has the number
  BOOST_TEST(other.get() == number);
  BOOST_TEST(in_child([&] {
    close_all_but_shared({});
    return is_open(kept.get()) && !is_open(number);
  }));
}

BOOST_AUTO_TEST_CASE(a_child_may_share_more) {
  const SharedFd first(new_fd());
  BOOST_TEST(in_child([&] {
    const SharedFd second(new_fd());
    const Fd other = new_fd();
    close_all_but_shared({});
    return is_open(first.get()) && is_open(second.get()) && !is_open(other.get());
  }));
}

BOOST_AUTO_TEST_CASE(the_number_of_a_closed_socket_may_be_waited_for) {
  const TcpListener listener("127.0.0.1:0");
  BOOST_TEST(in_child([&] {
    close_all_but_shared({});
    const Fd readable(eventfd(1, EFD_CLOEXEC));
    const Fd fd(fcntl(readable.get(), F_DUPFD_CLOEXEC, listener.native_handle()));
    run([&] { wait_readable(fd.get()); });
    return fd.get() == listener.native_handle();
  }));
}

BOOST_AUTO_TEST_SUITE_END()
