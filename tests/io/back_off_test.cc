// BackOff on a virtual clock.

#include "weft/io/core/back_off.h"

#include <chrono>

#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(back_off)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// Whether the clock stands still for a pause while it could jump. It need not for more than 100 ms
// of the machine's time, which the thread that ends the pause may take on a busy machine.
bool clock_waits_for(BackOff& pauses) {
  const TimePoint before = now();
  const TimePoint began = Clock::now();
  auto sleeper = spawn([] { sleep_for(1h); }, {.eager = true});
  pauses.wait();
  return now() == before || Clock::now() - began >= 100ms;
}

}  // namespace

WEFT_TEST_CASE(the_clock_waits_for_the_first_pause_at_each_of_its_readings) {
  BackOff pauses(1ms);
  for (int i = 0; i < 3; ++i) {
    BOOST_TEST(clock_waits_for(pauses));
    sleep_for(1s);
  }
}

WEFT_TEST_CASE(the_clock_does_not_wait_for_a_further_pause) {
  BackOff pauses(10ms);
  pauses.wait();
  const TimePoint start = now();
  auto sleeper = spawn([] { sleep_for(1h); }, {.eager = true});
  while (!sleeper.done()) pauses.wait();
  BOOST_TEST((now() == start + 1h));
}

BOOST_AUTO_TEST_SUITE_END()
