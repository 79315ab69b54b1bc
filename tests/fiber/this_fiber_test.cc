#include "weft/fiber/this_fiber.h"

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(this_fiber)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// The one task of this name, as all_tasks() shows it.
TaskInfo info_of(std::string_view name) {
  std::optional<TaskInfo> found;
  for (const TaskInfo& task : all_tasks()) {
    if (task.name != name) continue;
    BOOST_TEST(!found, "listed twice: " << name);
    found = task;
  }
  BOOST_TEST_REQUIRE(found, "not listed: " << name);
  return *found;
}

}  // namespace

WEFT_TEST_CASE(fibers_start_in_the_order_of_their_spawn) {
  std::string order;
  TaskGroup group;
  for (char name : {'a', 'b', 'c'}) group.spawn([&order, name] { order += name; });
  BOOST_TEST(order == "");
  group.join();
  BOOST_TEST(order == "abc");
}

WEFT_TEST_CASE(yield_lets_all_other_ready_fibers_run_once) {
  std::string order;
  TaskGroup group;
  for (char name : {'a', 'b', 'c'}) {
    group.spawn([&order, name] {
      for (int i = 0; i < 3; ++i) {
        order += name;
        yield();
      }
    });
  }
  group.join();
  BOOST_TEST(order == "abcabcabc");
}

WEFT_TEST_CASE(yield_takes_no_time) {
  const TimePoint start = now();
  for (int i = 0; i < 10'000; ++i) yield();
  BOOST_TEST((now() == start));
}

WEFT_SHUFFLED_TEST_CASE(sleepers_wake_in_the_order_of_their_deadlines) {
  std::string order;
  TaskGroup group;
  group.spawn([&] { sleep_for(3s), order += 'c'; });
  group.spawn([&] { sleep_for(1ns), order += 'a'; });
  group.spawn([&] { sleep_for(24h), order += 'd'; });
  group.spawn([&] { sleep_for(2ns), order += 'b'; });
  group.join();
  BOOST_TEST(order == "abcd");
}

WEFT_TEST_CASE(of_equal_deadlines_the_first_sleeper_wakes_first) {
  const TimePoint noon = now() + 12h;
  std::string order;
  TaskGroup group;
  for (char name : {'a', 'b', 'c', 'd'}) {
    group.spawn([&order, noon, name] {
      sleep_until(noon);
      order += name;
    });
  }
  group.join();
  BOOST_TEST(order == "abcd");
  BOOST_TEST((now() == noon));
}

WEFT_SHUFFLED_TEST_CASE(a_sleep_takes_exactly_its_virtual_time) {
  const TimePoint start = now();
  sleep_for(0s);
  BOOST_TEST((now() == start));
  sleep_for(1ns);
  BOOST_TEST((now() == start + 1ns));
  sleep_until(start + 1000h);
  BOOST_TEST((now() == start + 1000h));
  sleep_until(start);
  BOOST_TEST((now() == start + 1000h));
}

WEFT_TEST_CASE(a_sleep_of_no_time_lets_the_others_run) {
  bool ran = false;
  auto other = spawn([&] { ran = true; });
  sleep_for(0s);
  BOOST_TEST(ran);
}

WEFT_TEST_CASE(a_negative_sleep_counts_as_zero_and_lets_the_others_run) {
  const TimePoint start = now();
  bool ran = false;
  auto other = spawn([&] { ran = true; });
  sleep_for(-1ns);
  sleep_for(Duration::min());
  BOOST_TEST(ran);
  BOOST_TEST((now() == start));
}

WEFT_TEST_CASE(a_sleep_beyond_the_end_of_time_lasts_for_ever) {
  auto sleeper = spawn([] { sleep_for(Duration::max()); });
  auto other = spawn([] { sleep_until(kForever); });
  sleep_for(24h * 365 * 100);
  BOOST_TEST(!sleeper.done());
  BOOST_TEST(!other.done());
}

BOOST_AUTO_TEST_CASE(waits_work_on_a_plain_thread) {
  const TimePoint start = now();
  yield();
  sleep_for(2ms);
  BOOST_TEST((now() - start >= 2ms));
  sleep_until(start + 4ms);
  BOOST_TEST((Clock::now() - start >= 4ms));
  sleep_for(0ms);
  sleep_until(kPast);
  sleep_for(-1ms);
}

BOOST_AUTO_TEST_CASE(a_plain_thread_is_no_task) {
  BOOST_CHECK_THROW(current_task(), std::logic_error);
  BOOST_CHECK_THROW(all_tasks(), std::logic_error);
}

WEFT_TEST_CASE(a_task_knows_itself) {
  auto task = spawn([] { return current_task(); }, {.name = "me"});
  const std::uint64_t id = task.id();
  const TaskInfo info = task.get();
  BOOST_TEST(info.id == id);
  BOOST_TEST(info.name == "me");
  BOOST_TEST((info.state == TaskInfo::State::kRunning));
  BOOST_TEST(info.waiting_for == "");
}

WEFT_TEST_CASE(a_long_name_is_cut) {
  const std::string name(100, 'n');
  auto task = spawn([] { return current_task().name; }, {.name = name});
  BOOST_TEST(task.name() == name.substr(0, 31));
  BOOST_TEST(task.get() == name.substr(0, 31));
}

WEFT_TEST_CASE(a_reused_stack_keeps_no_name_and_no_id) {
  auto first = spawn([] { return current_task(); }, {.name = "first"});
  const TaskInfo before = first.get();
  first = {};
  const TaskInfo after = spawn([] { return current_task(); }).get();
  BOOST_TEST(after.name == "");
  BOOST_TEST(after.id != before.id);
}

WEFT_TEST_CASE(all_tasks_tells_what_each_is_doing) {
  auto sleeper = spawn([] { sleep_until(now() + 1h); }, {.name = "sleeper"});
  auto other = spawn([] { sleep_for(1h); }, {.name = "other"});
  auto done = spawn([] {}, {.name = "done"});
  run_until_blocked();
  auto ready = spawn([] {}, {.name = "ready"});

  BOOST_TEST(all_tasks().size() == 4u);
  BOOST_TEST(done.done());
  BOOST_TEST((info_of("main").state == TaskInfo::State::kRunning));
  BOOST_TEST((info_of("ready").state == TaskInfo::State::kReady));
  BOOST_TEST(info_of("ready").waiting_for == "");
  BOOST_TEST((info_of("sleeper").state == TaskInfo::State::kWaiting));
  BOOST_TEST(info_of("sleeper").waiting_for == "sleep_until");
  BOOST_TEST(info_of("other").waiting_for == "sleep_for");
  BOOST_TEST(info_of("other").id == other.id());
}

WEFT_TEST_CASE(all_tasks_names_the_call_that_a_task_waits_in) {
  Promise<void> never;
  const Future<void> future = never.future();
  auto target = spawn([&] { future.get(); }, {.name = "Future::wait"});
  auto joiner = spawn([&] { target.wait(); }, {.name = "Task::wait"});
  auto grouped = spawn(
      [&] {
        TaskGroup group;
        group.spawn([&] { future.get(); }, {.name = "child"});
        group.join();
      },
      {.name = "TaskGroup::join"});
  std::vector futures{future};
  auto waiter = spawn([&] { wait(futures, When::first_completed); }, {.name = "wait"});
  auto runner = spawn([&] { (void)as_completed(futures).begin(); }, {.name = "as_completed"});
  run_until_blocked();
  for (const char* name :
       {"Future::wait", "Task::wait", "TaskGroup::join", "wait", "as_completed"}) {
    BOOST_TEST(info_of(name).waiting_for == name);
  }
  BOOST_TEST(info_of("child").waiting_for == "Future::wait");
  never.set_value();
  for (auto* task : {&target, &joiner, &grouped, &waiter, &runner}) task->wait();
}

WEFT_TEST_CASE(a_woken_task_is_ready_and_waits_for_nothing) {
  Promise<void> promise;
  auto task = spawn([future = promise.future()] { future.get(); }, {.name = "woken"});
  run_until_blocked();
  promise.set_value();
  BOOST_TEST((info_of("woken").state == TaskInfo::State::kReady));
  BOOST_TEST(info_of("woken").waiting_for == "");
  task.get();
}

WEFT_TEST_CASE(ids_are_never_used_twice) {
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 1000; ++i) {
    auto task = spawn([] {});
    ids.push_back(task.id());
    task.get();
  }
  std::sort(ids.begin(), ids.end());
  BOOST_TEST((std::adjacent_find(ids.begin(), ids.end()) == ids.end()));
}

BOOST_AUTO_TEST_SUITE_END()
