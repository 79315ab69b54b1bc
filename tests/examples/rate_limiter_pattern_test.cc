#include <limits>
#include <stdexcept>
#include <string>

#include "tests/support/fixture.h"
#include "weft/examples/patterns/rate_limiter.h"

BOOST_AUTO_TEST_SUITE(rate_limiter_pattern)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;
using patterns::RateLimiter;

WEFT_TEST_CASE(a_burst_passes_at_once_and_then_the_rate_holds) {
  RateLimiter limiter(10, 3);
  const TimePoint start = now();
  std::string times;
  for (int i = 0; i < 6; ++i) {
    limiter.acquire();
    times += std::to_string((now() - start) / 1ms) + ' ';
  }
  BOOST_TEST(times == "0 0 0 100 200 300 ");
}

WEFT_TEST_CASE(a_pause_fills_the_bucket_and_no_more) {
  RateLimiter limiter(10, 3);
  limiter.acquire(3);
  sleep_for(250ms);
  BOOST_TEST(limiter.try_acquire(2));
  BOOST_TEST(!limiter.try_acquire());
  sleep_for(50ms);
  BOOST_TEST(limiter.try_acquire());
  sleep_for(1h);
  BOOST_TEST(limiter.try_acquire(3));
  BOOST_TEST(!limiter.try_acquire());
}

WEFT_SHUFFLED_TEST_CASE(a_caller_that_wants_many_is_not_overtaken) {
  RateLimiter limiter(1, 10);
  limiter.acquire(10);
  const TimePoint start = now();
  std::string order;
  TaskGroup group;
  const auto wants = [&](char name, std::int64_t n) {
    group.spawn([&, name, n] {
      limiter.acquire(n);
      order += name + std::to_string((now() - start) / 1s) + ' ';
    });
    run_until_blocked();
  };
  wants('a', 1), wants('b', 8), wants('c', 1), wants('d', 0);
  sleep_for(5s);
  BOOST_TEST(order == "a1 ");
  BOOST_TEST(!limiter.try_acquire());  // though there are four
  group.join();
  BOOST_TEST(order == "a1 b9 c10 d10 ");
}

WEFT_SHUFFLED_TEST_CASE(a_caller_that_is_cancelled_takes_none_and_the_next_moves_up) {
  RateLimiter limiter(1, 10);
  limiter.acquire(10);
  const TimePoint start = now();
  auto sleeps = spawn([&] { limiter.acquire(9); });
  run_until_blocked();
  auto queues = spawn([&] { limiter.acquire(5); });
  run_until_blocked();
  auto last = spawn([&] { limiter.acquire(2); });
  run_until_blocked();
  queues.cancel();
  sleep_for(1s);
  sleeps.cancel();
  last.get();
  BOOST_TEST((now() - start == 2s));
}

WEFT_TEST_CASE(the_rate_holds_in_the_long_run) {
  RateLimiter limiter(3, 1);  // a third of a second is no whole number of nanoseconds
  limiter.acquire();
  const TimePoint start = now();
  for (int i = 0; i < 3'000; ++i) limiter.acquire();
  BOOST_TEST((now() - start >= 1000s));
  BOOST_TEST((now() - start <= 1000s + 3us));
}

WEFT_TEST_CASE(what_never_comes_is_refused) {
  for (const double rate : {0.0, -1.0, 2e9, 1e-10, std::numeric_limits<double>::quiet_NaN()}) {
    BOOST_CHECK_THROW(RateLimiter(rate, 1), std::invalid_argument);
  }
  BOOST_CHECK_THROW(RateLimiter(1, 0), std::invalid_argument);
  BOOST_CHECK_THROW(RateLimiter(1, std::numeric_limits<std::int64_t>::max()),
                    std::invalid_argument);
  RateLimiter limiter(1, 3);
  BOOST_CHECK_THROW(limiter.acquire(4), std::invalid_argument);
  BOOST_CHECK_THROW(limiter.acquire(-1), std::invalid_argument);
  BOOST_CHECK_THROW(limiter.try_acquire(4), std::invalid_argument);
  BOOST_TEST(limiter.try_acquire(3));  // nothing was taken
}

BOOST_AUTO_TEST_CASE(it_may_be_older_than_the_clock_that_it_goes_by) {
  RateLimiter limiter(10, 1);  // by the machine's clock, which is ahead
  run_case([&] {
    const TimePoint start = now();
    limiter.acquire(), limiter.acquire();
    BOOST_TEST((now() - start == 100ms));
  });
}

WEFT_CORES_TEST_CASE(callers_of_several_schedulers_share_the_rate) {
  RateLimiter limiter(100, 1);
  limiter.acquire();
  const TimePoint start = now();
  TaskGroup group;
  for (std::size_t i = 0; i < 3; ++i) {
    group.spawn(
        [&] {
          for (int j = 0; j < 20; ++j) limiter.acquire();
        },
        on(i));
  }
  group.join();
  BOOST_TEST((now() - start >= 600ms));
  BOOST_TEST((now() - start < 610ms));
}

BOOST_AUTO_TEST_SUITE_END()
