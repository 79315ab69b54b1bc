#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "tests/support/failure.h"
#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(gather_all)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

WEFT_SHUFFLED_TEST_CASE(it_gives_values_and_exceptions_in_the_order_of_the_arguments) {
  const TimePoint start = now();
  int there = 0;
  auto [number, failed, nothing, reference, moved] = weft::gather_all(
      [] {
        sleep_for(3s);
        return 7;
      },
      []() -> int {
        sleep_for(1s);
        throw Failure("second");
      },
      [] { sleep_for(2s); }, [&]() -> int& { return there; },
      [] { return std::make_unique<std::string>("moved"); });
  BOOST_TEST((now() == start + 3s));
  BOOST_TEST(number.value() == 7);
  BOOST_TEST(!number.exception());
  BOOST_TEST(!failed.has_value());
  BOOST_CHECK_EXCEPTION(failed.value(), Failure, says("second"));
  BOOST_CHECK_EXCEPTION(std::rethrow_exception(failed.exception()), Failure, says("second"));
  nothing.value();
  BOOST_TEST(nothing.has_value());
  BOOST_TEST(&reference.value() == &there);
  BOOST_TEST(**std::move(moved) == "moved");
  BOOST_CHECK_THROW((void)failed.value(), Failure);  // as often as wanted
}

WEFT_SHUFFLED_TEST_CASE(a_failure_cancels_nobody) {
  int ended = 0;
  std::vector<std::function<int()>> fs;
  for (int i = 0; i < 4; ++i) {
    fs.emplace_back([&, i] {
      sleep_for(i * 1s);
      if (i % 2 == 0) throw Failure(std::to_string(i));
      return ++ended;
    });
  }
  const auto outcomes = weft::gather_all(fs);
  BOOST_REQUIRE(outcomes.size() == 4u);
  BOOST_TEST(outcomes[1].value() == 1);
  BOOST_TEST(outcomes[3].value() == 2);
  BOOST_CHECK_EXCEPTION(outcomes[0].value(), Failure, says("0"));
  BOOST_CHECK_EXCEPTION(outcomes[2].value(), Failure, says("2"));
}

WEFT_SHUFFLED_TEST_CASE(ranges_may_return_nothing_and_be_empty) {
  std::vector<std::function<void()>> fs{[] {}, [] { throw Failure("second"); }};
  const auto outcomes = weft::gather_all(fs);
  BOOST_REQUIRE(outcomes.size() == 2u);
  BOOST_TEST(outcomes[0].has_value());
  BOOST_TEST(!outcomes[1]);
  fs.clear();
  BOOST_TEST(weft::gather_all(fs).empty());
  const std::tuple<> none = weft::gather_all();
  (void)none;
}

WEFT_SHUFFLED_TEST_CASE(a_cancelled_caller_cancels_all_and_throws_cancelled) {
  int cancelled = 0;
  const auto sleeper = when_cancelled([&] {
    ++cancelled;
    throw;
  });
  BOOST_CHECK_THROW(with_timeout(1s, [&] { (void)weft::gather_all(sleeper, sleeper); }),
                    TimeoutError);
  BOOST_TEST(cancelled == 2);
}

WEFT_SHUFFLED_TEST_CASE(what_a_child_of_a_cancelled_caller_fails_with_is_thrown) {
  auto task = spawn(
      [] { (void)weft::gather_all(failing_cleanup("rollback failed"), [] { sleep_for(1h); }); });
  run_until_blocked();
  task.cancel();
  BOOST_CHECK_EXCEPTION(task.get(), Failure, says("rollback failed"));
}

WEFT_TEST_CASE(an_outcome_is_copied_and_looked_into_as_its_value_is) {
  auto [word, failed] =
      weft::gather_all([] { return std::string("word"); }, []() -> int { throw Failure("it"); });
  const auto copy = word;
  word->clear();
  BOOST_TEST(*word == "");
  BOOST_TEST(copy->size() == 4u);
  BOOST_TEST(*copy == "word");
  const auto failed_too = failed;
  BOOST_CHECK_EXCEPTION(failed_too.value(), Failure, says("it"));
  static_assert(!std::is_copy_constructible_v<Outcome<std::unique_ptr<int>>>);
}

BOOST_AUTO_TEST_CASE(what_a_shutdown_cancels_beside_a_shielded_caller_is_task_cancelled) {
  int cancelled = 0;
  weft::run(
      [&] {
        spawn([&] {
          shield([&] {
            const std::vector<std::function<void()>> fs(2, [] { sleep_for(1h); });
            for (const auto& outcome : weft::gather_all(fs)) {
              BOOST_CHECK_THROW(outcome.value(), TaskCancelled);
              ++cancelled;
            }
          });
        }).detach();
        run_until_blocked();
      },
      {.virtual_time = true});
  BOOST_TEST(cancelled == 2);
}

WEFT_TEST_CASE(null_callables_are_refused) {
  BOOST_CHECK_THROW((void)weft::gather_all(std::function<void()>()), std::invalid_argument);
  std::vector<std::function<void()>> fs(2);
  BOOST_CHECK_THROW((void)weft::gather_all(fs), std::invalid_argument);
}

WEFT_CORES_TEST_CASE(spread_all_gives_an_outcome_of_each_scheduler) {
  const auto outcomes = spread_all([](std::size_t i) {
    if (i == 1) throw Failure("the second");
    return i;
  });
  BOOST_REQUIRE(outcomes.size() == 3u);
  BOOST_TEST(outcomes[0].value() == 0u);
  BOOST_CHECK_EXCEPTION((void)outcomes[1].value(), Failure, says("the second"));
  BOOST_TEST(outcomes[2].value() == 2u);
}

BOOST_AUTO_TEST_SUITE_END()
