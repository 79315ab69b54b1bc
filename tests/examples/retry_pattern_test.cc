#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>

#include "tests/support/fixture.h"
#include "weft/examples/patterns/retry.h"

BOOST_AUTO_TEST_SUITE(retry_pattern)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;
using patterns::retry;

namespace {

// Fails so many times, and then returns how often it was called.
struct Flaky {
  int failures;
  int calls = 0;
  int operator()() {
    if (++calls <= failures) throw std::runtime_error("failure " + std::to_string(calls));
    return calls;
  }
};

auto says(const std::string& text) {
  return [text](const std::exception& error) { return error.what() == text; };
}

}  // namespace

WEFT_TEST_CASE(what_fails_is_tried_again) {
  Flaky fine{0}, flaky{3};
  const TimePoint start = now();
  BOOST_TEST(retry(fine) == 1);
  BOOST_TEST((now() == start));
  BOOST_TEST(retry(flaky) == 4);
}

WEFT_TEST_CASE(the_last_failure_is_thrown_when_there_are_no_more_attempts) {
  Flaky flaky{9};
  BOOST_CHECK_EXCEPTION(retry(flaky, {.attempts = 3}), std::runtime_error, says("failure 3"));
  BOOST_TEST(flaky.calls == 3);
}

WEFT_TEST_CASE(pauses_are_random_below_a_limit_that_doubles) {
  std::set<Duration> second_pauses;
  for (int i = 0; i < 100; ++i) {
    std::string calls;
    TimePoint last = now();
    Duration limits[] = {0s, 1s, 2s, 4s, 5s, 5s};
    int call = 0;
    const auto f = [&] {
      const Duration pause = now() - last;
      BOOST_TEST((pause <= limits[call]));
      if (call == 2) second_pauses.insert(pause);
      last = now();
      if (++call < 6) throw std::runtime_error("again");
    };
    retry(f, {.attempts = 6, .first_pause = 1s, .longest_pause = 5s});
  }
  BOOST_TEST(second_pauses.size() > 90u);
  BOOST_TEST((*second_pauses.begin() < 500ms));  // of 100, but once in 10^12
  BOOST_TEST((*second_pauses.rbegin() > 1500ms));
}

WEFT_TEST_CASE(no_attempt_begins_after_the_deadline) {
  for (int i = 0; i < 20; ++i) {
    const TimePoint deadline = now() + 10s;
    TimePoint last;
    const auto f = [&] {
      last = now();
      throw std::runtime_error("again");
    };
    BOOST_CHECK_THROW(retry(f, {.attempts = 1'000, .deadline = deadline}), std::runtime_error);
    BOOST_TEST((last <= deadline));
    BOOST_TEST((now() == last));  // it does not wait for an attempt that there will not be
  }
  Flaky flaky{1};
  BOOST_CHECK_THROW(retry(flaky, {.deadline = kPast}), std::runtime_error);
  BOOST_TEST(flaky.calls == 1);
}

WEFT_TEST_CASE(errors_of_the_program_are_not_tried_again) {
  int calls = 0;
  const auto wrong = [&] { ++calls, throw std::logic_error("wrong"); };
  BOOST_CHECK_THROW(retry(wrong), std::logic_error);
  const auto other = [&] { ++calls, throw 7; };
  BOOST_CHECK_THROW(retry(other), int);
  BOOST_TEST(calls == 2);
}

WEFT_TEST_CASE(a_predicate_says_which_errors_are_tried_again) {
  Flaky flaky{9};
  const auto first_two = [&](const std::exception& error) {
    return std::string(error.what()) != "failure 3";
  };
  BOOST_CHECK_EXCEPTION(retry(flaky, {.again = first_two}), std::runtime_error, says("failure 3"));
}

WEFT_TEST_CASE(a_time_limit_within_is_a_failure_and_one_around_is_the_end) {
  int calls = 0;
  const auto slow = [&] { with_timeout(1s, [&] { ++calls, sleep_for(1h); }); };
  BOOST_CHECK_THROW(retry(slow, {.attempts = 3}), TimeoutError);
  BOOST_TEST(calls == 3);
  const auto slower = [&] { ++calls, sleep_for(1h); };
  BOOST_CHECK_THROW(with_timeout(1s, [&] { retry(slower); }), TimeoutError);
  BOOST_TEST(calls == 4);
}

WEFT_SHUFFLED_TEST_CASE(a_cancellation_ends_it_at_once) {
  int calls = 0;
  auto task = spawn(
      [&] { retry([&] { ++calls, throw std::runtime_error("again"); }, {.first_pause = 1h}); });
  run_until_blocked();
  const TimePoint start = now();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST((now() == start));
  BOOST_TEST(calls == 1);
}

WEFT_TEST_CASE(it_returns_what_the_function_returns) {
  int variable = 7;
  BOOST_TEST(&retry([&]() -> int& { return variable; }) == &variable);
  BOOST_TEST(*retry([] { return std::make_unique<int>(8); }) == 8);
}

WEFT_TEST_CASE(pauses_out_of_range_are_taken_as_what_comes_close) {
  Flaky flaky{2};
  const TimePoint start = now();
  BOOST_TEST(retry(flaky, {.first_pause = -1s, .longest_pause = 1s}) == 3);
  BOOST_TEST((now() == start));
  flaky = {200};  // without an overflow
  BOOST_TEST(retry(flaky, {.attempts = 201, .first_pause = 1s, .longest_pause = -1s}) == 201);
  BOOST_TEST((now() == start));
  const auto longest = std::chrono::hours::max();
  BOOST_TEST(!try_within(1h, [&] {
    Flaky never{9};
    retry(never, {.attempts = 10, .first_pause = longest, .longest_pause = longest});
  }));
}

WEFT_TEST_CASE(what_makes_no_sense_is_refused) {
  Flaky flaky{0};
  BOOST_CHECK_THROW(retry(flaky, {.attempts = 0}), std::invalid_argument);
  BOOST_TEST(flaky.calls == 0);
  BOOST_CHECK_THROW(retry(std::function<void()>()), std::invalid_argument);
  BOOST_CHECK_THROW(retry(static_cast<void (*)()>(nullptr)), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(it_works_on_a_plain_thread) {
  Flaky flaky{2};
  BOOST_TEST(retry(flaky, {.first_pause = 1us}) == 3);
}

BOOST_AUTO_TEST_SUITE_END()
