#include <fcntl.h>
#include <unistd.h>

#include <type_traits>
#include <utility>

#include "tests/support/fixture.h"
#include "weft/io/core/socket.h"

BOOST_AUTO_TEST_SUITE(fd)

using namespace weft;
using namespace weft::internal;

namespace {

int some_descriptor() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

bool is_open(int descriptor) { return fcntl(descriptor, F_GETFD) != -1; }

}  // namespace

BOOST_AUTO_TEST_CASE(it_owns_none_by_default) {
  const Fd fd;
  BOOST_TEST(fd.get() == -1);
  static_assert(!std::is_copy_constructible_v<Fd>);
  static_assert(!std::is_convertible_v<int, Fd>);
}

BOOST_AUTO_TEST_CASE(it_closes_what_it_owns) {
  const int descriptor = some_descriptor();
  {
    const Fd fd(descriptor);
    BOOST_TEST(fd.get() == descriptor);
    BOOST_TEST(is_open(descriptor));
  }
  BOOST_TEST(!is_open(descriptor));
}

BOOST_AUTO_TEST_CASE(moving_passes_the_descriptor_on) {
  const int descriptor = some_descriptor();
  Fd first(descriptor);
  {
    Fd second(std::move(first));
    BOOST_TEST(first.get() == -1);
    BOOST_TEST(second.get() == descriptor);
    first = std::move(second);
  }
  BOOST_TEST(first.get() == descriptor);
  BOOST_TEST(is_open(descriptor));
  Fd& same = first;
  first = std::move(same);
  BOOST_TEST(is_open(descriptor));
}

BOOST_AUTO_TEST_CASE(an_assignment_closes_what_was_owned_before) {
  const int old_descriptor = some_descriptor();
  const int new_descriptor = some_descriptor();
  Fd fd(old_descriptor);
  fd = Fd(new_descriptor);
  BOOST_TEST(!is_open(old_descriptor));
  BOOST_TEST(is_open(new_descriptor));
  fd = Fd();
  BOOST_TEST(!is_open(new_descriptor));
}

BOOST_AUTO_TEST_SUITE_END()
