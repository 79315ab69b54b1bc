// What tasks of several schedulers see and print of each other.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/reports.h"
#include "weft/fiber/core/context.h"

BOOST_AUTO_TEST_SUITE(inspect_cores)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

std::string number(std::uint64_t value) { return std::to_string(value); }

std::size_t count_lines(std::string_view report, std::string_view beginning) {
  return static_cast<std::size_t>(std::ranges::count_if(
      lines_of(report), [&](const std::string& line) { return line.starts_with(beginning); }));
}

// What print_tasks() prints when all schedulers have answered. On a busy machine one may not in
// time.
std::string answered_report() {
  std::string report = printed_tasks();
  for (int i = 0; i < 100 && report.find("does not answer") != std::string::npos; ++i) {
    report = printed_tasks();
  }
  return report;
}

void lock_both(Mutex& first, Mutex& second, Barrier& locked) {
  const std::lock_guard held(first);
  locked.arrive_and_wait();
  const std::lock_guard both(second);
}

}  // namespace

WEFT_CORES_TEST_CASE(a_task_has_the_number_of_its_scheduler) {
  std::vector<unsigned> numbers;
  for (const auto& tasks : spread([] { return all_tasks(); })) {
    for (const TaskInfo& task : tasks) {
      BOOST_TEST(task.scheduler == numbers.size());
    }
    numbers.push_back(tasks.at(0).scheduler);
  }
  BOOST_TEST(numbers == std::vector<unsigned>({0, 1, 2}));
  BOOST_TEST(current_task().scheduler == 0u);
}

WEFT_CORES_TEST_CASE(the_tasks_of_all_schedulers_are_printed_below_theirs) {
  Event event;
  std::vector<Task<void>> tasks;
  for (std::size_t i = 0; i < 3; ++i) {
    tasks.push_back(spawn([&] { event.wait(); }, on(i)));
  }
  sleep_for(1s);
  const std::vector<std::string> lines = lines_of(answered_report());
  BOOST_TEST(lines.at(0).starts_with("weft: 4 tasks on 3 schedulers, pid "), lines[0]);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto begin = std::ranges::find_if(lines, [&](const std::string& line) {
      return line.starts_with("scheduler " + number(i) + ": thread ");
    });
    const auto end = std::find_if(begin + 1, lines.end(), [](const std::string& line) {
      return line.starts_with("scheduler ");
    });
    BOOST_TEST(std::count_if(begin, end, [&](const std::string& line) {
                 return line.starts_with("task " + number(tasks[i].id()) + " waits 1.00 s in ");
               }) == 1);
  }
  event.set();
  for (auto& task : tasks) task.get();
}

WEFT_CORES_TEST_CASE(a_holder_on_another_scheduler_is_known_to_print_tasks_alone) {
  Mutex mutex;
  Event locked, release;
  auto holder = spawn(
      [&] {
        const std::lock_guard held(mutex);
        locked.set();
        release.wait();
      },
      {.name = "holder", .on = on(1).on});
  locked.wait();
  auto waiter = spawn([&] { const std::lock_guard lock(mutex); }, {.eager = true});
  sleep_for(2s);
  for (const TaskInfo& task : all_tasks()) BOOST_TEST(task.waits_for == 0u);
  const std::string report = answered_report();
  BOOST_TEST(count_lines(report, "task " + number(waiter.id()) +
                                     " waits 2.00 s in Mutex::lock, for task " +
                                     number(holder.id()) + " \"holder\"") == 1u,
             report);
  release.set();
  waiter.get();
  holder.get();
}

WEFT_CORES_TEST_CASE(a_task_on_another_scheduler_that_is_joined_is_known) {
  Event event;
  auto task = spawn([&] { event.wait(); }, on(1));
  auto waiter = spawn([&] { task.wait(); });
  run_until_blocked();
  for (const TaskInfo& info : all_tasks()) {
    if (info.id == waiter.id()) BOOST_TEST(info.waits_for == task.id());
  }
  event.set();
  waiter.get();
}

// Schedulers are looked at one after the other: what has just begun may be over at the next one.
WEFT_CORES_TEST_CASE(a_cycle_that_crosses_schedulers_is_named_if_it_lasts) {
  Mutex a, b;
  Barrier locked(2);
  auto first = spawn([&] { lock_both(a, b, locked); }, on(1));
  auto second = spawn([&] { lock_both(b, a, locked); }, on(2));
  run_until_blocked();
  BOOST_TEST(count_lines(answered_report(), "cycle") == 0u);
  sleep_for(1s);
  const std::string report = answered_report();
  const std::string one = "task " + number(first.id()), other = "task " + number(second.id());
  BOOST_TEST(count_lines(report, "cycle: " + one + " -> " + other + " -> " + one) +
                     count_lines(report, "cycle: " + other + " -> " + one + " -> " + other) ==
                 1u,
             report);
  first.cancel();
  second.get();
}

WEFT_CORES_TEST_CASE(a_task_of_another_scheduler_has_no_stack_here_and_keeps_its_name) {
  Event event;
  auto task = spawn([&] { event.wait(); }, {.name = "old", .on = on(1).on});
  run_until_blocked();
  BOOST_TEST(task.stack().empty());
  BOOST_CHECK_THROW(task.set_name("new"), std::logic_error);
  BOOST_TEST(task.name() == "old");
  event.set();
  task.get();
}

WEFT_CORES_TEST_CASE(a_task_of_any_scheduler_can_be_cancelled_by_what_is_known_of_it) {
  for (const std::size_t home : {0, 1, 2}) {
    const TimePoint start = now();
    auto task = spawn([] { sleep_for(1h); }, on(home));
    sleep_for(1s);
    for (const auto& tasks : spread([] { return all_tasks(); })) {
      for (const TaskInfo& info : tasks) {
        if (info.id == task.id()) info.cancel();
      }
    }
    BOOST_CHECK_THROW(task.get(), TaskCancelled);
    BOOST_TEST((now() == start + 1s));
  }
}

WEFT_CORES_TEST_CASE(a_plain_thread_can_cancel_what_is_known) {
  TaskInfo info;
  auto task = spawn([&] { info = current_task(), sleep_for(1h); }, on(1));
  run_until_blocked();
  std::thread([&] { info.cancel(); }).join();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
}

// It finds the task under way, ended, or its block used by the next one.
WEFT_CORES_TEST_CASE(a_cancellation_by_id_may_race_with_the_end) {
  std::atomic<int> wrong{0};
  spread([&](std::size_t self) {
    for (int i = 0; i < 300; ++i) {
      TaskInfo info;
      Event begun;
      auto task = spawn(
          [&] {
            info = current_task();
            begun.set();
            yield();
            return 7;
          },
          on((self + 1) % 3));
      shield([&] { begun.wait(); });
      info.cancel();
      try {
        if (task.get() != 7) ++wrong;
      } catch (const TaskCancelled&) {
      }
      task = spawn([] { return sleep_for(1ns), 8; }, on((self + 1) % 3));
      if (task.get() != 8) ++wrong;
    }
  });
  BOOST_TEST(wrong == 0);
}

BOOST_AUTO_TEST_CASE(what_is_known_of_a_runtime_that_is_gone_cancels_nothing) {
  TaskInfo gone;
  run([&] { gone = current_task(); });
  gone.cancel();
  run([&] {
    gone.cancel();
    yield();
  });
}

// Each then keeps the others waiting, and is interrupted by them.
WEFT_CORES_TEST_CASE(all_schedulers_may_print_at_once) {
  spread([] {});  // all threads have begun
  for (int i = 0; i < 3; ++i) {
    for (const std::string& report : spread([] { return printed_tasks(); })) {
      BOOST_TEST(count_lines(report, "scheduler ") == 3u, report);
#if !defined(WEFT_TSAN)
      BOOST_TEST(report.find("does not") == std::string::npos, report);
#endif
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
