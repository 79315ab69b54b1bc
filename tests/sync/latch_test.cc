#include "weft/sync/latch.h"

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>

#include "tests/support/crowd.h"
#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(latch)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

WEFT_SHUFFLED_TEST_CASE(it_opens_with_the_last_arrival_and_stays_open) {
  Latch latch(3);
  int passed = 0;
  TaskGroup group;
  for (int i = 0; i < 4; ++i) {
    group.spawn([&] {
      latch.wait();
      ++passed;
    });
  }
  latch.count_down();
  latch.count_down(0);
  run_until_blocked();
  BOOST_TEST(passed == 0);
  BOOST_TEST(!latch.try_wait());
  latch.count_down(2);
  BOOST_TEST(latch.try_wait());
  group.join();
  BOOST_TEST(passed == 4);
  latch.wait();
  BOOST_TEST(latch.wait_for(-1s));
  BOOST_TEST(latch.wait_until(kPast));
  latch.count_down(0);
}

WEFT_TEST_CASE(one_for_nothing_is_open_at_once) {
  Latch latch(0);
  BOOST_TEST(latch.try_wait());
  latch.wait();
  latch.arrive_and_wait(0);
}

WEFT_SHUFFLED_TEST_CASE(waits_may_be_bounded) {
  const Latch never(1);
  const TimePoint start = now();
  BOOST_TEST(!never.wait_for(2s));
  BOOST_TEST((now() == start + 2s));
  BOOST_TEST(!never.wait_until(start + 3s));
  BOOST_TEST((now() == start + 3s));
  BOOST_TEST(!never.wait_for(-1s));
  BOOST_TEST((now() == start + 3s));
}

WEFT_SHUFFLED_TEST_CASE(they_arrive_and_go_on_together) {
  Latch latch(4);
  int arrived = 0;
  TaskGroup group;
  for (int i = 0; i < 3; ++i) {
    group.spawn([&, i] {
      ++arrived;
      latch.arrive_and_wait(i == 0 ? 2 : 1);
      BOOST_TEST(arrived == 3);
    });
  }
  group.join();
  BOOST_TEST(latch.try_wait());
}

WEFT_TEST_CASE(what_it_cannot_count_is_refused_and_changes_nothing) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  BOOST_CHECK_THROW(Latch(-1), std::invalid_argument);
  Latch latch(2);
  BOOST_CHECK_THROW(latch.count_down(3), std::invalid_argument);
  BOOST_CHECK_THROW(latch.count_down(-1), std::invalid_argument);
  BOOST_CHECK_THROW(latch.count_down(kMost), std::invalid_argument);
  BOOST_CHECK_THROW(latch.count_down(-kMost - 1), std::invalid_argument);
  BOOST_CHECK_THROW(latch.arrive_and_wait(3), std::invalid_argument);
  BOOST_TEST(!latch.try_wait());
  latch.count_down(2);
  BOOST_TEST(latch.try_wait());
  BOOST_CHECK_THROW(latch.count_down(), std::invalid_argument);
  Latch large(kMost);
  large.count_down(kMost);
  BOOST_TEST(large.try_wait());
}

WEFT_SHUFFLED_TEST_CASE(a_waiter_that_is_cancelled_takes_no_arrival_back) {
  Latch latch(2);
  auto arrives = spawn_now([&] { latch.arrive_and_wait(); });
  auto waits = spawn_now([&] { latch.wait(); });
  arrives.cancel();
  waits.cancel();
  BOOST_CHECK_THROW(arrives.get(), TaskCancelled);
  BOOST_CHECK_THROW(waits.get(), TaskCancelled);
  BOOST_TEST(!latch.try_wait());
  latch.count_down();
  BOOST_TEST(latch.try_wait());
}

WEFT_SHUFFLED_TEST_CASE(a_waiter_that_is_cancelled_after_it_opened_has_passed) {
  Latch latch(1);
  bool passed = false;
  auto task = spawn_now([&] {
    latch.wait();
    passed = true;
  });
  latch.count_down();
  task.cancel();
  task.wait();
  BOOST_TEST(passed);
}

WEFT_TEST_CASE(a_loop_of_waits_for_an_open_one_lets_others_run) {
  Latch latch(0);
  bool ran = false;
  auto other = spawn([&] { ran = true; });
  while (!ran) latch.wait();
}

BOOST_AUTO_TEST_CASE(fibers_and_threads_see_what_was_done_before_an_arrival) {
  Crowd crowd;
  for (int round = 0; round < kRounds; ++round) {
    Latch latch(2);
    int a = 0, b = 0;  // not atomic: the latch orders the accesses
    std::atomic<int> wrong{0};
    crowd.run_two(
        round,
        [&] {
          a = 1;
          latch.arrive_and_wait();
          wrong += b != 1;
        },
        [&] {
          b = 1;
          latch.count_down();
          while (!latch.try_wait()) yield();
          wrong += a != 1;
        });
    BOOST_TEST(wrong == 0);
  }
}

BOOST_AUTO_TEST_CASE(one_that_has_seen_it_open_may_destroy_it) {
  Crowd crowd;
  for (int round = 0; round < kRounds; ++round) {
    auto owned = std::make_unique<Latch>(1);
    Latch& latch = *owned;
    crowd.run_two(
        round, [&] { latch.count_down(); },
        [&] {
          if (round % 2) {
            latch.wait();
          } else {
            while (!latch.try_wait()) yield();
          }
          owned.reset();
        });
    BOOST_REQUIRE(!owned);
  }
}

BOOST_AUTO_TEST_SUITE_END()
