#include "weft/fiber/wait.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"
#include "tests/support/sleepers.h"
#include "weft/fiber/core/context.h"

BOOST_AUTO_TEST_SUITE(wait)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

// ---- wait ---------------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(all_completed_waits_for_all) {
  const TimePoint start = now();
  auto tasks = sleepers({3s, 1s, 2s}, 1);
  check(weft::wait(tasks), {0, 1, 2}, {});
  BOOST_TEST((now() == start + 3s));
  BOOST_TEST(tasks[0].get() == 0, "the results are there to be taken");
  BOOST_CHECK_THROW(tasks[1].get(), std::runtime_error);
}

WEFT_SHUFFLED_TEST_CASE(first_completed_waits_for_one) {
  const TimePoint start = now();
  auto tasks = sleepers({3s, 1s, 2s});
  check(weft::wait(tasks, When::first_completed), {1}, {0, 2});
  BOOST_TEST((now() == start + 1s));
  check(weft::wait(tasks, When::first_completed), {1}, {0, 2});
  BOOST_TEST((now() == start + 1s));
}

WEFT_SHUFFLED_TEST_CASE(first_exception_waits_for_a_failure_or_for_all) {
  const TimePoint start = now();
  auto tasks = sleepers({3s, 1s, 2s}, 2);
  check(weft::wait(tasks, When::first_exception), {1, 2}, {0});
  BOOST_TEST((now() == start + 2s));
  BOOST_CHECK_THROW(tasks[2].get(), std::runtime_error);
  auto fine = sleepers({1s, 2s});
  check(weft::wait(fine, When::first_exception), {0, 1}, {});
}

WEFT_SHUFFLED_TEST_CASE(a_cancelled_task_is_no_exception) {
  auto tasks = sleepers({1h, 1s});
  tasks[0].cancel();
  check(weft::wait(tasks, When::first_exception), {0, 1}, {});
}

WEFT_SHUFFLED_TEST_CASE(a_wait_ends_when_the_time_is_over) {
  const TimePoint start = now();
  auto tasks = sleepers({1h, 2s, 2h});
  for (When when : {When::all_completed, When::first_completed, When::first_exception}) {
    auto slow = sleepers({1h, 2h});
    const TimePoint begin = now();
    check(weft::wait(slow, when, 1s), {}, {0, 1});
    BOOST_TEST((now() == begin + 1s));
    check(weft::wait(slow, when, 0s), {}, {0, 1});
    BOOST_TEST((now() == begin + 1s));
  }
  check(weft::wait(tasks, When::all_completed, 1s), {1}, {0, 2});
  BOOST_TEST((now() == start + 4s));
}

WEFT_SHUFFLED_TEST_CASE(what_is_done_needs_no_time) {
  auto tasks = sleepers({0s, 0s});
  weft::wait(tasks);
  for (When when : {When::all_completed, When::first_completed, When::first_exception}) {
    check(weft::wait(tasks, when, 0s), {0, 1}, {});
  }
}

WEFT_TEST_CASE(an_empty_range_is_done) {
  std::vector<Task<int>> none;
  for (When when : {When::all_completed, When::first_completed, When::first_exception}) {
    check(weft::wait(none, when), {}, {});
    check(weft::wait(none, when, 1h), {}, {});
  }
  for (std::size_t i : as_completed(none)) BOOST_ERROR("an index: " << i);
}

WEFT_SHUFFLED_TEST_CASE(futures_can_be_waited_for) {
  Promise<int> first, second, third;
  const std::vector futures{first.future(), second.future(), third.future()};
  auto setter = spawn([&] {
    sleep_for(1s);
    second.set_value(7);
    sleep_for(1s);
    third.set_exception(std::make_exception_ptr(std::runtime_error("set")));
    sleep_for(1s);
    Promise<int>(std::move(first));
  });
  check(weft::wait(futures, When::first_completed), {1}, {0, 2});
  check(weft::wait(futures, When::first_exception), {1, 2}, {0});
  check(weft::wait(futures), {0, 1, 2}, {});
  BOOST_CHECK_THROW(futures[2].get(), std::runtime_error);
  setter.get();
}

WEFT_TEST_CASE(a_negative_time_counts_as_zero) {
  auto tasks = sleepers({1s});
  BOOST_TEST(weft::wait(tasks, When::all_completed, -1ns).pending.size() == 1u);
  tasks[0].get();
}

WEFT_SHUFFLED_TEST_CASE(a_cancelled_wait_cancels_nothing_and_leaves_nothing) {
  auto tasks = sleepers({2s, 3s});
  for (When when : {When::all_completed, When::first_completed, When::first_exception}) {
    auto waiter = spawn([&] { weft::wait(tasks, when); });
    run_until_blocked();
    waiter.cancel();
    BOOST_CHECK_THROW(waiter.get(), TaskCancelled);
  }
  BOOST_TEST(tasks[0].get() == 0);
  BOOST_TEST(tasks[1].get() == 1);
}

WEFT_SHUFFLED_TEST_CASE(several_may_wait_for_the_same_tasks) {
  auto tasks = sleepers({1s, 2s, 3s});
  int woken = 0;
  TaskGroup group;
  for (When when : {When::all_completed, When::first_completed, When::first_exception}) {
    for (int i = 0; i < 3; ++i) group.spawn([&, when] { weft::wait(tasks, when), ++woken; });
  }
  group.join();
  BOOST_TEST(woken == 9);
}

WEFT_TEST_CASE(tasks_of_several_schedulers_can_be_waited_for) {
  SchedulerThread other;
  std::vector<Task<int>> tasks;
  for (int i = 0; i < 20; ++i) {
    tasks.push_back(spawn(
        [i] {
          yield();
          return i;
        },
        {.on = i % 2 ? other.get() : nullptr}));
  }
  Indices seen;
  for (std::size_t i : as_completed(tasks)) seen.push_back(i);
  std::sort(seen.begin(), seen.end());
  BOOST_TEST(seen.size() == 20u);
  BOOST_TEST((std::adjacent_find(seen.begin(), seen.end()) == seen.end()));
  check(weft::wait(tasks, When::first_completed),
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}, {});
}

BOOST_AUTO_TEST_CASE(a_plain_thread_may_wait) {
  SchedulerThread other;
  std::vector<Task<int>> tasks;
  tasks.push_back(spawn([] { return sleep_for(1h), 0; }, {.on = other.get()}));
  tasks.push_back(spawn([] { return 1; }, {.on = other.get()}));
  check(weft::wait(tasks, When::first_completed), {1}, {0});
  check(weft::wait(tasks, When::all_completed, 2ms), {1}, {0});
  auto ended = as_completed(tasks);  // made before the other one can have ended
  tasks[0].cancel();
  Indices order;
  for (std::size_t i : ended) order.push_back(i);
  BOOST_TEST(order == (Indices{1, 0}));
}

BOOST_AUTO_TEST_CASE(a_wait_may_give_up_while_threads_complete) {
  SchedulerThread other;
  for (int round = 0; round < 300; ++round) {
    std::vector<Promise<int>> promises(8);
    std::vector<Future<int>> futures;
    for (auto& promise : promises) futures.push_back(promise.future());
    std::thread setter([&] {
      for (auto& promise : promises) promise.set_value(1);
    });
    auto waiter = spawn(
        [&] { weft::wait(futures, When::first_exception, std::chrono::microseconds(round % 60)); },
        {.on = other.get()});
    waiter.get();
    setter.join();
  }
}

// ---- as_completed -------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(indices_come_in_the_order_of_the_ends) {
  const TimePoint start = now();
  auto tasks = sleepers({3s, 1s, 4s, 2s}, 3);  // the last one fails
  Indices order;
  for (std::size_t i : as_completed(tasks)) {
    BOOST_TEST(tasks[i].done());
    order.push_back(i);
    BOOST_TEST((now() == start + order.size() * 1s));
  }
  BOOST_TEST(order == (Indices{1, 3, 0, 2}));
  BOOST_CHECK_THROW(tasks[3].get(), std::runtime_error);
}

WEFT_SHUFFLED_TEST_CASE(what_is_done_already_comes_first) {
  auto tasks = sleepers({2s, 0s, 1s, 0s});
  run_until_blocked();
  Indices order;
  for (std::size_t i : as_completed(tasks)) order.push_back(i);
  BOOST_TEST(order == (Indices{1, 3, 2, 0}));
}

WEFT_SHUFFLED_TEST_CASE(what_ends_while_the_loop_is_busy_is_not_missed) {
  auto tasks = sleepers({1s, 2s, 3s, 4s});
  Indices order;
  for (std::size_t i : as_completed(tasks)) {
    order.push_back(i);
    sleep_for(10s);
  }
  BOOST_TEST(order == (Indices{0, 1, 2, 3}));
}

WEFT_SHUFFLED_TEST_CASE(the_loop_may_be_left_early) {
  auto tasks = sleepers({1s, 2s, 3s});
  for (std::size_t i : as_completed(tasks)) {
    BOOST_TEST(i == 0u);
    break;
  }
  Indices rest;
  for (std::size_t i : as_completed(tasks)) rest.push_back(i);
  BOOST_TEST(rest == (Indices{0, 1, 2}));
}

WEFT_SHUFFLED_TEST_CASE(futures_come_as_they_are_set) {
  std::vector<Promise<void>> promises(3);
  const std::vector futures{promises[0].future(), promises[1].future(), promises[2].future()};
  auto setter = spawn([&] {
    for (int i : {2, 0, 1}) sleep_for(1s), promises[i].set_value();
  });
  Indices order;
  for (std::size_t i : as_completed(futures)) order.push_back(i);
  BOOST_TEST(order == (Indices{2, 0, 1}));
  setter.get();
}

// Of this thread: what else the machine does has no part in it.
static Duration processor_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec);
}

WEFT_TEST_CASE(ten_thousand_take_linear_time) {
#if defined(WEFT_TSAN)
  constexpr std::size_t kTasks = 2'000;
#else
  constexpr std::size_t kTasks = 10'000;
#endif
  const auto took = [](std::size_t count) {
    std::vector<Task<int>> tasks;
    for (std::size_t i = 0; i < count; ++i) {
      tasks.push_back(spawn([i] { return sleep_for(std::chrono::microseconds(i)), 0; }));
    }
    const Duration start = processor_time();
    std::size_t seen = 0;
    for (std::size_t i : as_completed(tasks)) BOOST_REQUIRE(i == seen++);
    BOOST_TEST(seen == count);
    return processor_time() - start;
  };
  took(kTasks);  // touches the stacks
  const Duration few = std::min({took(kTasks / 10), took(kTasks / 10), took(kTasks / 10)});
  const Duration many = std::min(took(kTasks), took(kTasks));
  // Ten thousand stacks fit no cache, which costs up to ten times as much for each. Were the work
  // quadratic, that would come on top of a hundred times.
  BOOST_TEST((many < 200 * few),
             "ten times as many took " << many.count() / few.count() << " times as long");
}

WEFT_TEST_CASE(a_task_cannot_wait_for_itself_among_others) {
  std::vector<Task<void>> tasks;
  tasks.push_back(spawn([] {}));
  tasks.push_back(spawn([&] {
    for (const When when : {When::all_completed, When::first_completed, When::first_exception}) {
      BOOST_CHECK_THROW(weft::wait(tasks, when), std::logic_error);
    }
    BOOST_CHECK_THROW(as_completed(tasks), std::logic_error);
  }));
  tasks[1].get();
}

BOOST_AUTO_TEST_SUITE_END()
