#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/failure.h"
#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(race)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// Returns `result` after this time, or fails with it.
auto after(Duration time, std::string result) {
  return [=] {
    sleep_for(time);
    return result;
  };
}
auto failing_after(Duration time, std::string words) {
  return [=]() -> std::string {
    sleep_for(time);
    throw Failure(words);
  };
}

// What each of the failures says.
std::string said(const RaceFailed& failed) {
  std::string words;
  for (const std::exception_ptr& failure : failed.failures) {
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      words += error.what();
    }
  }
  return words;
}

}  // namespace

WEFT_SHUFFLED_TEST_CASE(the_first_success_wins_and_the_rest_are_cancelled_and_waited_for) {
  int ended = 0;
  const auto slow = [&] {
    const CountAtEnd count(ended);
    sleep_for(1h);
    return std::string("slow");
  };
  const TimePoint start = now();
  BOOST_TEST(weft::race(slow, after(2s, "b"), after(3s, "c"), slow) == "b");
  BOOST_TEST((now() == start + 2s));
  BOOST_TEST(ended == 2);
}

WEFT_SHUFFLED_TEST_CASE(losers_are_cancelled_before_the_first_is_waited_for) {
  const auto lingers = [] {
    try {
      sleep_for(1h);
    } catch (const Cancelled&) {
      shield([] { sleep_for(1s); });
      throw;
    }
    return std::string();
  };
  const TimePoint start = now();
  BOOST_TEST(weft::race(lingers, after(2s, "b"), lingers, lingers) == "b");
  BOOST_TEST((now() == start + 3s));
}

WEFT_SHUFFLED_TEST_CASE(a_failure_cancels_nobody) {
  BOOST_TEST(weft::race(failing_after(0s, "a"), failing_after(1s, "b"), after(2s, "c")) == "c");
}

WEFT_SHUFFLED_TEST_CASE(if_all_fail_it_throws_what_each_has_thrown) {
  const std::vector<std::function<std::string()>> fs{failing_after(2s, "a"), failing_after(1s, "b"),
                                                     failing_after(3s, "c")};
  for (const Duration stagger : {Duration(0s), Duration(1s), Duration::max()}) {
    BOOST_CHECK_EXCEPTION(weft::race(fs, {.stagger = stagger}), RaceFailed,
                          [](const RaceFailed& failed) { return said(failed) == "abc"; });
  }
  BOOST_CHECK_EXCEPTION(weft::race(failing_after(0s, "alone")), RaceFailed,
                        [](const RaceFailed& failed) { return said(failed) == "alone"; });
}

WEFT_SHUFFLED_TEST_CASE(what_losers_return_or_throw_is_dropped) {
  const Unhandled unhandled;
  const auto succeeds_late = [] {
    shield([] { sleep_for(3s); });
    return std::string("late");
  };
  const auto cleanup_fails = []() -> std::string {
    try {
      sleep_for(1h);
    } catch (const Cancelled&) {
      throw Failure("cleanup");
    }
    return {};
  };
  BOOST_TEST(weft::race(succeeds_late, after(1s, "b"), cleanup_fails) == "b");
  BOOST_TEST(unhandled.said == "");
}

// ---- Staggered ----------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(with_a_stagger_the_next_begins_after_that_time) {
  std::vector<Duration> begun;
  const TimePoint start = now();
  std::vector<std::function<int()>> fs;
  for (int i = 0; i < 4; ++i) {
    fs.emplace_back([&, i] {
      begun.push_back(now() - start);
      sleep_for(i == 1 ? 500ms : 1h);
      return i;
    });
  }
  BOOST_TEST(weft::race(fs, {.stagger = 200ms}) == 1);
  BOOST_TEST((now() == start + 700ms));
  BOOST_TEST((begun == std::vector<Duration>{0ms, 200ms, 400ms, 600ms}));
}

WEFT_SHUFFLED_TEST_CASE(the_next_begins_at_once_where_the_one_before_has_failed) {
  const TimePoint start = now();
  BOOST_TEST(weft::race(failing_after(10ms, "a"), failing_after(20ms, "b"), after(1ms, "c"),
                        RaceOptions{.stagger = 1h}) == "c");
  BOOST_TEST((now() == start + 31ms));
}

WEFT_SHUFFLED_TEST_CASE(a_failure_of_an_earlier_one_does_not_begin_the_next) {
  const TimePoint start = now();
  TimePoint third;
  const auto begins = [&] {
    third = now();
    return std::string("c");
  };
  BOOST_TEST(weft::race(failing_after(1200ms, "a"), after(1h, "b"), begins,
                        RaceOptions{.stagger = 1s}) == "c");
  BOOST_TEST((third == start + 2s));
}

WEFT_SHUFFLED_TEST_CASE(what_has_not_begun_when_the_first_succeeds_never_does) {
  const auto never = [] {
    BOOST_ERROR("it began");
    return std::string();
  };
  const TimePoint start = now();
  const RaceOptions options{.stagger = 1s};
  BOOST_TEST(weft::race(after(500ms, "a"), never, options) == "a");
  BOOST_TEST((now() == start + 500ms));
  // Also while the second is waited for.
  BOOST_TEST(weft::race(after(1500ms, "a"), after(1h, "b"), never, options) == "a");
  BOOST_TEST((now() == start + 2s));
}

WEFT_SHUFFLED_TEST_CASE(for_ever_means_one_after_the_other) {
  const TimePoint start = now();
  BOOST_TEST(weft::race(failing_after(1h, "a"), failing_after(1h, "b"), after(1h, "c"),
                        after(0s, "d"), RaceOptions{.stagger = Duration::max()}) == "c");
  BOOST_TEST((now() == start + 3h));
}

// ---- Cancellation -------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_cancelled_caller_cancels_all_and_throws_cancelled) {
  for (const Duration stagger : {Duration(0s), Duration(1h)}) {
    int begun = 0, ended = 0;
    const std::vector<std::function<void()>> fs(3, [&] {
      ++begun;
      const CountAtEnd count(ended);
      sleep_for(2h);
    });
    BOOST_CHECK_THROW(with_timeout(1s, [&] { weft::race(fs, {.stagger = stagger}); }),
                      TimeoutError);
    BOOST_TEST(begun == (stagger == 0s ? 3 : 1));
    BOOST_TEST(ended == begun);
  }
}

WEFT_SHUFFLED_TEST_CASE(a_caller_cancelled_while_losers_end_gets_no_result) {
  int dropped = 0;
  auto task = spawn([&] {
    weft::race(
        [&] {
          sleep_for(1s);
          return std::make_unique<CountAtEnd<int>>(dropped);
        },
        [&] {
          shield([] { sleep_for(3s); });
          return std::make_unique<CountAtEnd<int>>(dropped);
        });
    BOOST_ERROR("it was not cancelled");
  });
  sleep_for(2s);
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(dropped == 2);
}

BOOST_AUTO_TEST_CASE(racers_that_a_shutdown_cancels_beside_a_shielded_caller_have_failed) {
  int failures = 0;
  weft::run(
      [&] {
        spawn([&] {
          shield([&] {
            const std::vector<std::function<void()>> fs(3, [] { sleep_for(1h); });
            try {
              weft::race(fs);
            } catch (const RaceFailed& failed) {
              for (const auto& failure : failed.failures) {
                BOOST_CHECK_THROW(std::rethrow_exception(failure), TaskCancelled);
                ++failures;
              }
            }
          });
        }).detach();
        run_until_blocked();
      },
      {.virtual_time = true});
  BOOST_TEST(failures == 3);
}

// ---- Kinds of results and callables -------------------------------------------------------------

int seven() { return 7; }

WEFT_SHUFFLED_TEST_CASE(results_may_be_anything_of_one_type) {
  int variable = 0;
  BOOST_TEST(&weft::race([&]() -> int& { return variable; }) == &variable);
  static_assert(std::is_same_v<decltype(weft::race([&]() -> int& { return variable; })), int&>);
  std::vector<std::function<int&()>> references{[&]() -> int& { return variable; }};
  BOOST_TEST(&weft::race(references) == &variable);
  static_assert(std::is_same_v<decltype(weft::race(references)), int&>);
  bool ran = false;
  weft::race([&] { ran = true; }, [] { sleep_for(1h); });
  BOOST_TEST(ran);
  BOOST_TEST(*weft::race([] { return std::make_unique<int>(7); }) == 7);
  BOOST_TEST(weft::race(seven, [] { return sleep_for(1h), 8; }) == 7);
}

WEFT_SHUFFLED_TEST_CASE(callables_are_used_in_place) {
  struct Counts {
    Counts() = default;
    Counts(const Counts&) = delete;
    int operator()() { return ++calls; }
    int calls = 0;
  };
  Counts one;
  BOOST_TEST(weft::race(one) == 1);
  std::vector<std::function<int()>> fs{std::ref(one)};
  BOOST_TEST(weft::race(fs) == 2);
  BOOST_TEST(one.calls == 2);
}

WEFT_TEST_CASE(bad_callables_are_refused_before_any_begins) {
  const auto begins = [] { BOOST_ERROR("it began"); };
  std::vector<std::function<void()>> fs;
  BOOST_CHECK_THROW(weft::race(fs), std::invalid_argument);
  fs = {begins, nullptr};
  BOOST_CHECK_THROW(weft::race(fs), std::invalid_argument);
  BOOST_CHECK_THROW(weft::race(begins, std::function<void()>()), std::invalid_argument);
}

WEFT_TEST_CASE(a_racer_that_succeeds_after_the_caller_was_cancelled_cancels_no_other_task) {
  auto racing =
      spawn([] { weft::race([] { sleep_for(1h); }, [] { shield([] { sleep_for(2s); }); }); });
  run_until_blocked();
  racing.cancel();
  sleep_for(1s);  // the first racer has ended, and its fiber is free
  std::vector<Task<void>> others;
  for (int i = 0; i < 4; ++i) others.push_back(spawn([] { sleep_for(10s); }));
  BOOST_CHECK_THROW(racing.get(), TaskCancelled);
  for (Task<void>& other : others) other.get();
}

WEFT_TEST_CASE(what_a_loser_finds_failed_while_it_unwinds_is_dropped) {
  const Unhandled unhandled;
  const int result = weft::race([] { return sleep_for(1s), 1; },
                                [] {
                                  const auto inner = spawn(failing_cleanup("dropped"));
                                  return sleep_for(1h), 2;
                                });
  BOOST_TEST(result == 1);
  BOOST_TEST(unhandled.said == "");
}

BOOST_AUTO_TEST_SUITE_END()
