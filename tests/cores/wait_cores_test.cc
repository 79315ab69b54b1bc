// wait(), as_completed() and gather() over what is on several schedulers.

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/sleepers.h"
#include "weft/fiber/gather.h"
#include "weft/fiber/wait.h"

BOOST_AUTO_TEST_SUITE(wait_cores)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

// ---- wait ---------------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(all_completed_waits_for_the_tasks_of_all_schedulers) {
  const TimePoint start = now();
  auto tasks = sleepers({3s, 1s, 2s, 5s, 4s}, 1);
  check(weft::wait(tasks), {0, 1, 2, 3, 4}, {});
  BOOST_TEST((now() == start + 5s));
  BOOST_TEST(tasks[2].get() == 2);
  BOOST_CHECK_THROW(tasks[1].get(), std::runtime_error);
}

WEFT_CORES_TEST_CASE(first_completed_waits_for_one_on_whatever_scheduler) {
  for (const std::size_t first : {0, 1, 2}) {
    const TimePoint start = now();
    std::vector<Duration> times(3, 1h);
    times[first] = 1s;
    auto tasks = sleepers(times);
    BOOST_TEST(weft::wait(tasks, When::first_completed).done == Indices{first});
    BOOST_TEST((now() == start + 1s));
  }
}

WEFT_CORES_TEST_CASE(first_exception_waits_for_a_failure_or_for_all) {
  const TimePoint start = now();
  auto tasks = sleepers({3s, 1s, 2s}, 2);
  check(weft::wait(tasks, When::first_exception), {1, 2}, {0});
  BOOST_TEST((now() == start + 2s));
  BOOST_CHECK_THROW(tasks[2].get(), std::runtime_error);
  auto fine = sleepers({1s, 2s, 3s});
  check(weft::wait(fine, When::first_exception), {0, 1, 2}, {});
}

WEFT_CORES_TEST_CASE(a_wait_ends_when_the_time_is_over) {
  for (When when : {When::all_completed, When::first_completed, When::first_exception}) {
    auto slow = sleepers({1h, 2h, 3h});
    const TimePoint begin = now();
    check(weft::wait(slow, when, 1s), {}, {0, 1, 2});
    BOOST_TEST((now() == begin + 1s));
  }
}

WEFT_CORES_TEST_CASE(a_cancelled_wait_cancels_nothing_and_leaves_nothing) {
  auto tasks = sleepers({2s, 3s, 4s});
  for (When when : {When::all_completed, When::first_completed, When::first_exception}) {
    auto waiter = spawn([&] { weft::wait(tasks, when); }, on(1));
    run_until_blocked();
    waiter.cancel();
    BOOST_CHECK_THROW(waiter.get(), TaskCancelled);
  }
  for (int i = 0; i < 3; ++i) BOOST_TEST(tasks[i].get() == i);
}

WEFT_CORES_TEST_CASE(those_of_several_schedulers_may_wait_for_the_same_tasks) {
  auto tasks = sleepers({1s, 2s, 3s});
  std::atomic<int> woken{0};
  TaskGroup group;
  for (When when : {When::all_completed, When::first_completed, When::first_exception}) {
    for (std::size_t i = 0; i < 6; ++i) {
      group.spawn([&, when] { weft::wait(tasks, when), ++woken; }, on(i % 3));
    }
  }
  group.join();
  BOOST_TEST(woken == 18);
}

WEFT_CORES_TEST_CASE(a_wait_may_give_up_while_other_schedulers_complete) {
  for (int round = 0; round < 100; ++round) {
    std::vector<Promise<int>> promises(9);
    std::vector<Future<int>> futures;
    for (auto& promise : promises) futures.push_back(promise.future());
    TaskGroup setters;
    for (std::size_t self = 0; self < 3; ++self) {
      setters.spawn(
          [&, self, round] {
            if (round % 3) sleep_for(1us);
            for (std::size_t i = self; i < 9; i += 3) promises[i].set_value(1);
          },
          on(self));
    }
    weft::wait(futures, When::first_exception, std::chrono::microseconds(round % 2));
    setters.join();
    check(weft::wait(futures), {0, 1, 2, 3, 4, 5, 6, 7, 8}, {});
  }
}

// ---- as_completed -------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(indices_come_in_the_order_of_the_ends) {
  const TimePoint start = now();
  auto tasks = sleepers({3s, 1s, 4s, 2s, 6s, 5s});
  Indices order;
  for (std::size_t i : as_completed(tasks)) {
    BOOST_TEST(tasks[i].get() == static_cast<int>(i));
    order.push_back(i);
    BOOST_TEST((now() == start + order.size() * 1s));
  }
  BOOST_TEST(order == (Indices{1, 3, 0, 2, 5, 4}));
}

WEFT_CORES_TEST_CASE(ends_at_once_are_each_told_once) {
  for (int round = 0; round < 30; ++round) {
    auto tasks = sleepers(std::vector<Duration>(30, 1s));
    Indices seen;
    for (std::size_t i : as_completed(tasks)) seen.push_back(i);
    std::sort(seen.begin(), seen.end());
    BOOST_REQUIRE(seen.size() == 30u);
    BOOST_REQUIRE((std::adjacent_find(seen.begin(), seen.end()) == seen.end()));
  }
}

WEFT_CORES_TEST_CASE(the_loop_may_be_left_while_others_end) {
  for (int round = 0; round < 100; ++round) {
    auto tasks = sleepers(std::vector<Duration>(9, 0s));
    std::size_t steps = 0;
    for (std::size_t i : as_completed(tasks)) {
      BOOST_REQUIRE(tasks[i].done());
      if (++steps > static_cast<std::size_t>(round) % 9) break;
    }
    check(weft::wait(tasks), {0, 1, 2, 3, 4, 5, 6, 7, 8}, {});
  }
}

// ---- gather -------------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(any_scheduler_may_gather_and_the_callables_run_there) {
  const auto here = [] { return &Scheduler::current(); };
  for (const std::size_t i : {0, 1, 2}) {
    auto task = spawn([&] { return weft::gather(here, here); }, on(i));
    const auto [first, second] = task.get();
    BOOST_TEST(first == on(i).on);
    BOOST_TEST(second == on(i).on);
  }
}

WEFT_CORES_TEST_CASE(what_is_gathered_may_be_the_results_of_all_schedulers) {
  const TimePoint start = now();
  std::vector<std::function<std::string()>> callables;
  for (std::size_t i = 0; i < 6; ++i) {
    callables.push_back([i] {
      return spawn([i] { return sleep_for((6 - i) * 1s), std::string(300, 'a' + i); }, on(i % 3))
          .get();
    });
  }
  const std::vector<std::string> results = weft::gather(callables);
  for (std::size_t i = 0; i < 6; ++i) BOOST_TEST(results[i] == std::string(300, 'a' + i));
  BOOST_TEST((now() == start + 6s), "they ran one after another");
}

WEFT_CORES_TEST_CASE(the_first_exception_of_any_scheduler_cancels_what_the_others_wait_for) {
  std::atomic<int> cancelled{0};
  const auto sleeps = [&] {
    spawn(when_cancelled([&] {
            ++cancelled;
            throw;
          }),
          on(1))
        .get();
  };
  const auto fails = [] {
    spawn(
        [] {
          sleep_for(1s);
          throw std::runtime_error("there");
        },
        on(2))
        .get();
  };
  const TimePoint start = now();
  BOOST_CHECK_THROW(weft::gather(sleeps, fails, sleeps), std::runtime_error);
  BOOST_TEST(cancelled == 2);
  BOOST_TEST((now() == start + 1s));
}

BOOST_AUTO_TEST_SUITE_END()
