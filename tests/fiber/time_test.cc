#include "weft/fiber/time.h"

#include <stdexcept>
#include <string>
#include <type_traits>

#include "tests/support/check.h"

namespace weft::test {  // not in the global one, which has ::time()

BOOST_AUTO_TEST_SUITE(time)

using namespace std::chrono_literals;
using namespace weft::internal;

namespace {

constexpr TimePoint kNow{24h};

}  // namespace

BOOST_AUTO_TEST_CASE(the_clock_is_steady_and_counts_nanoseconds) {
  BOOST_TEST(Clock::is_steady);
  BOOST_TEST((std::is_same_v<TimePoint::duration, Duration>));
  BOOST_TEST((std::is_same_v<Duration::period, std::nano>));
}

BOOST_AUTO_TEST_CASE(coarser_units_convert) {
  const Duration time = 2s;
  BOOST_TEST(time.count() == 2'000'000'000);
  BOOST_TEST((deadline_after(kNow, 3ms) == kNow + 3ms));
}

BOOST_AUTO_TEST_CASE(forever_and_past_enclose_all_time) {
  const TimePoint now = Clock::now();
  BOOST_TEST((kPast < TimePoint()));
  BOOST_TEST((kPast < now));
  BOOST_TEST((now < kForever));
}

BOOST_AUTO_TEST_CASE(a_deadline_is_now_and_the_wait) {
  BOOST_TEST((deadline_after(kNow, 0ns) == kNow));
  BOOST_TEST((deadline_after(kNow, 1ns) == kNow + 1ns));
  BOOST_TEST((deadline_after(TimePoint(), 365 * 24h) == TimePoint(365 * 24h)));
}

BOOST_AUTO_TEST_CASE(a_wait_that_does_not_fit_lasts_for_ever) {
  const Duration longest = kForever - kNow;
  BOOST_TEST((deadline_after(kNow, longest - 1ns) == kForever - 1ns));
  BOOST_TEST((deadline_after(kNow, longest) == kForever));
  BOOST_TEST((deadline_after(kNow, longest + 1ns) == kForever));
  BOOST_TEST((deadline_after(kNow, Duration::max()) == kForever));
  BOOST_TEST((deadline_after(kForever, 0ns) == kForever));
  BOOST_TEST((deadline_after(kForever, 1h) == kForever));
}

BOOST_AUTO_TEST_CASE(a_negative_wait_counts_as_zero) {
  for (const Duration wait : {Duration(-1ns), Duration(-1h), Duration::min()}) {
    BOOST_TEST((deadline_after(kNow, wait) == kNow));
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace weft::test
