#include <atomic>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

#include "tests/support/fixture.h"
#include "weft/examples/patterns/single_flight.h"

BOOST_AUTO_TEST_SUITE(single_flight_pattern)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;
using patterns::SingleFlight;

namespace {

// Counts how many of them there are.
struct Key {
  explicit Key(int its_number) : number(its_number) { ++count; }
  Key(const Key& other) : number(other.number) { ++count; }
  Key& operator=(const Key&) = delete;
  ~Key() { --count; }
  bool operator<(const Key& other) const { return number < other.number; }
  const int number;

  static inline int count = 0;
};

}  // namespace

WEFT_SHUFFLED_TEST_CASE(callers_at_once_share_one_execution) {
  SingleFlight<std::string, int> flights;
  int executions = 0;
  int sum = 0;
  TaskGroup group;
  for (int i = 0; i < 5; ++i) {
    group.spawn(
        [&] { sum += flights.run("key", [&executions] { return sleep_for(1s), ++executions; }); });
  }
  group.join();
  BOOST_TEST(executions == 1);
  BOOST_TEST(sum == 5);
}

WEFT_SHUFFLED_TEST_CASE(each_key_has_an_execution_and_each_time_another) {
  SingleFlight<int, int> flights;
  int executions = 0;
  const auto square = [&](int key) {
    return flights.run(key, [&executions, key] { return sleep_for(1s), ++executions, key * key; });
  };
  auto three = spawn([&] { return square(3); });
  auto four = spawn([&] { return square(4); });
  BOOST_TEST(three.get() == 9);
  BOOST_TEST(four.get() == 16);
  BOOST_TEST(square(3) == 9);
  BOOST_TEST(executions == 3);
}

WEFT_SHUFFLED_TEST_CASE(an_error_goes_to_all) {
  SingleFlight<int, void> flights;
  int executions = 0;
  int errors = 0;
  TaskGroup group;
  for (int i = 0; i < 3; ++i) {
    group.spawn([&] {
      try {
        flights.run(1, [&executions] {
          ++executions, sleep_for(1s);
          throw std::runtime_error("no answer");
        });
      } catch (const std::runtime_error&) {
        ++errors;
      }
    });
  }
  group.join();
  BOOST_TEST(errors == 3);
  BOOST_TEST(executions == 1);
  flights.run(1, [] {});
}

WEFT_SHUFFLED_TEST_CASE(a_caller_that_is_cancelled_does_not_spoil_the_others) {
  SingleFlight<int, int> flights;
  int executions = 0;
  const auto ask = [&] {
    return flights.run(1, [&executions] { return sleep_for(1s), ++executions; });
  };
  auto first = spawn(ask);
  auto second = spawn(ask);
  auto third = spawn(ask);
  run_until_blocked();
  first.cancel(), second.cancel();
  BOOST_CHECK_THROW(first.get(), TaskCancelled);
  BOOST_CHECK_THROW(second.get(), TaskCancelled);
  BOOST_TEST(third.get() == 1);
  BOOST_TEST(executions == 1);
}

WEFT_SHUFFLED_TEST_CASE(the_last_caller_that_is_cancelled_cancels_the_execution) {
  SingleFlight<int, int> flights;
  bool ended = false;
  const auto ask = [&] {
    return flights.run(1, [&ended] {
      try {
        return sleep_for(1h), 1;
      } catch (const Cancelled&) {
        shield([] { sleep_for(1s); });
        ended = true;
        throw;
      }
    });
  };
  auto first = spawn(ask);
  auto second = spawn(ask);
  run_until_blocked();
  first.cancel(), second.cancel();
  first.wait(), second.wait();
  BOOST_TEST(ended);  // and was waited for
  BOOST_TEST(flights.run(1, [] { return 2; }) == 2);
}

WEFT_SHUFFLED_TEST_CASE(a_call_during_the_end_of_a_cancelled_execution_begins_another) {
  SingleFlight<int, int> flights;
  auto first = spawn([&] {
    return flights.run(1, [] {
      try {
        return sleep_for(1h), 1;
      } catch (const Cancelled&) {
        shield([] { sleep_for(1s); });
        throw;
      }
    });
  });
  run_until_blocked();
  first.cancel();
  run_until_blocked();
  auto second = spawn([&] { return flights.run(1, [] { return sleep_for(2s), 2; }); });
  auto third = spawn([&] { return sleep_for(1500ms), flights.run(1, [] { return 3; }); });
  BOOST_TEST(second.get() == 2);
  BOOST_TEST(third.get() == 2);  // the end of the first did not take it off
  first.wait();
}

WEFT_SHUFFLED_TEST_CASE(nothing_is_kept) {
  SingleFlight<Key, int> flights;
  {
    TaskGroup group;
    for (int i = 0; i < 6; ++i) {
      group.spawn([&, i] { flights.run(Key(i % 3), [] { return sleep_for(1s), 1; }); });
    }
    group.join();
    BOOST_CHECK_THROW(flights.run(Key(7), [&]() -> int { throw std::runtime_error("no answer"); }),
                      std::runtime_error);
    BOOST_CHECK_THROW(flights.run(Key(8), std::function<int()>()), std::invalid_argument);
    BOOST_TEST(!try_within(1s, [&] { flights.run(Key(9), [] { return sleep_for(1h), 1; }); }));
  }
  BOOST_TEST(Key::count == 0);
}

WEFT_SHUFFLED_TEST_CASE(each_caller_gets_a_result_of_its_time) {
  SingleFlight<int, TimePoint> flights;
  TaskGroup group;
  for (int i = 0; i < 50; ++i) {
    group.spawn([&, i] {
      sleep_for(i * 300ms);
      const TimePoint begin = now();
      const auto ask = [&] { return flights.run(i % 2, [] { return sleep_for(1s), now(); }); };
      if (const auto end = try_within(i % 3 ? 1h : 500ms, ask)) {
        BOOST_TEST((*end >= begin && *end <= begin + 1s));
      } else {
        BOOST_TEST(i % 3 == 0);
      }
    });
  }
  group.join();
}

WEFT_SHUFFLED_TEST_CASE(a_call_after_the_end_begins_the_next_execution_and_no_two_overlap) {
  SingleFlight<int, int> flights;
  int running = 0;
  int ended = 0;
  TaskGroup group;
  for (int i = 0; i < 30; ++i) {
    group.spawn([&, i] {
      sleep_for(i % 10 * 1s);  // some come when an execution has ended, but its callers have not
      const int before = ended;
      const int result = flights.run(1, [&] {
        BOOST_TEST(++running == 1);
        sleep_for(1s);
        --running;
        return ++ended;
      });
      BOOST_TEST(result > before);
    });
  }
  group.join();
}

WEFT_CORES_TEST_CASE(callers_on_several_schedulers_share_one_execution) {
  SingleFlight<int, int> flights;
  std::atomic<int> executions{0};
  std::atomic<int> wrong{0};
  TaskGroup group;
  for (std::size_t i = 0; i < 9; ++i) {
    group.spawn(
        [&, i] {
          for (int j = 0; j < 50; ++j) {
            const auto ask = [&] {
              return flights.run(j, [&executions, j] { return sleep_for(1ms), ++executions, j; });
            };
            if (i % 3) {
              wrong += ask() != j;
            } else if (const auto result = try_within(300us, ask)) {
              wrong += *result != j;
            }
          }
        },
        on(i % 3));
  }
  group.join();
  BOOST_TEST(wrong == 0);
  BOOST_TEST(executions < 9 * 50);
}

BOOST_AUTO_TEST_SUITE_END()
