#include <optional>
#include <stdexcept>
#include <string>

#include "tests/support/fixture.h"
#include "weft/examples/patterns/ticker.h"

BOOST_AUTO_TEST_SUITE(ticker_pattern)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;
using patterns::Missed;
using patterns::Ticker;

namespace {

// When ticks come, in seconds, and for when they were due, if that is another time. The work after
// the second takes `work`, all other work half a second.
std::string ticks(Missed missed, Duration work) {
  const TimePoint start = now();
  const auto seconds = [&](TimePoint time) { return std::to_string((time - start) / 1ms); };
  Ticker ticker(1s, missed);
  std::string all;
  for (int i = 1; i <= 6; ++i) {
    const TimePoint due = ticker.wait();
    all += seconds(now()) + (due == now() ? "" : "(" + seconds(due) + ")") + ' ';
    sleep_for(i == 2 ? work : 500ms);
  }
  return all;
}

}  // namespace

WEFT_TEST_CASE(work_in_between_makes_no_drift) {
  for (const Missed missed : {Missed::kSkip, Missed::kBurst, Missed::kDelay}) {
    BOOST_TEST(ticks(missed, 900ms) == "1000 2000 3000 4000 5000 6000 ");
  }
}

WEFT_TEST_CASE(ticks_that_were_missed_are_skipped_but_for_one) {
  BOOST_TEST(ticks(Missed::kSkip, 2300ms) == "1000 2000 4300(3000) 5000 6000 7000 ");
  BOOST_TEST(ticks(Missed::kSkip, 2s) == "1000 2000 4000(3000) 5000 6000 7000 ");
}

WEFT_TEST_CASE(ticks_that_were_missed_come_in_a_burst) {
  BOOST_TEST(ticks(Missed::kBurst, 2300ms) == "1000 2000 4300(3000) 4800(4000) 5300(5000) 6000 ");
}

WEFT_TEST_CASE(ticks_that_were_missed_delay_those_to_come) {
  BOOST_TEST(ticks(Missed::kDelay, 2300ms) == "1000 2000 4300(3000) 5300 6300 7300 ");
}

WEFT_TEST_CASE(a_wait_that_is_cancelled_takes_no_tick) {
  Ticker ticker(1s);
  const TimePoint due = ticker.next();
  BOOST_TEST(!try_within(900ms, [&] { ticker.wait(); }));
  BOOST_TEST((ticker.next() == due));
  BOOST_TEST((ticker.wait() == due));
  BOOST_TEST((now() == due));
}

WEFT_TEST_CASE(a_tick_is_a_case_of_select) {
  Ticker ticker(1s);
  Queue<int> queue;
  std::optional<int> item;
  for (int i = 0; i < 3; ++i) {
    const TimePoint due = ticker.next();
    BOOST_TEST(select(on_pop(queue, item), after(ticker.next() - now())) == 1u);
    BOOST_TEST((ticker.wait() == due));
    BOOST_TEST((now() == due));
  }
}

WEFT_TEST_CASE(a_period_that_does_not_fit_never_ends) {
  Ticker ticker(std::chrono::hours::max());
  BOOST_TEST(!try_within(1h, [&] { ticker.wait(); }));
}

WEFT_TEST_CASE(a_period_that_is_not_positive_is_refused) {
  BOOST_CHECK_THROW(Ticker(0s), std::invalid_argument);
  BOOST_CHECK_THROW(Ticker(-1s), std::invalid_argument);
}

BOOST_AUTO_TEST_SUITE_END()
