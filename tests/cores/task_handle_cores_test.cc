// Handles of tasks that are joined, dropped and detached on other schedulers than the task's.

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/fixture.h"
#include "weft/fiber/task.h"

BOOST_AUTO_TEST_SUITE(task_handle_cores)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// Counts those of its kind that are alive.
struct Counted {
  Counted() { ++alive; }
  Counted(const Counted&) { ++alive; }
  ~Counted() { --alive; }
  static inline std::atomic<int> alive{0};
};

// Notes the thread that destroys what was moved along.
struct NotesThread {
  explicit NotesThread(std::thread::id& its_where) : where(&its_where) {}
  NotesThread(NotesThread&& other) noexcept : where(std::exchange(other.where, nullptr)) {}
  ~NotesThread() {
    if (where) *where = std::this_thread::get_id();
  }
  std::thread::id* where;
};

std::thread::id thread_of(std::size_t i) {
  return spawn([] { return std::this_thread::get_id(); }, on(i)).get();
}

}  // namespace

// ---- Handles that travel ------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(a_handle_may_be_joined_on_any_scheduler) {
  for (const std::size_t home : {0, 1, 2}) {
    for (const std::size_t there : {0, 1, 2}) {
      auto task = spawn([] { return sleep_for(1s), std::string("result"); }, on(home));
      auto joiner = spawn([task = std::move(task)]() mutable { return task.get(); }, on(there));
      BOOST_TEST(joiner.get() == "result");
    }
  }
}

WEFT_CORES_TEST_CASE(a_handle_destroyed_elsewhere_cancels_and_joins) {
  const TimePoint start = now();
  for (const std::size_t there : {0, 1, 2}) {
    bool left = false;
    auto task = spawn(when_cancelled([&] {
                        shield([] { sleep_for(1s); });
                        left = true;
                        throw;
                      }),
                      on(1));
    run_until_blocked();
    spawn([task = std::move(task)] {}, on(there)).get();
    BOOST_TEST(left);
  }
  BOOST_TEST((now() < start + 1min));
}

WEFT_CORES_TEST_CASE(assigning_to_a_handle_of_elsewhere_cancels_and_joins_what_it_had) {
  bool left = false;
  auto task = spawn(
      [&] {
        struct Leaves {
          bool& left;
          ~Leaves() { left = true; }
        } const leaves{left};
        sleep_for(1h);
      },
      on(1));
  run_until_blocked();
  task = spawn([] {}, on(2));
  BOOST_TEST(left);
  task.get();
}

WEFT_CORES_TEST_CASE(a_callable_is_destroyed_on_its_own_thread_whoever_drops_the_handle) {
  const std::thread::id there = thread_of(1);
  std::thread::id where;
  {
    auto joined = spawn([note = NotesThread(where)] {}, on(1)), &task = joined;
    task.get();
  }
  BOOST_TEST((std::exchange(where, {}) == there));
  {
    auto cancelled = spawn([note = NotesThread(where)] { sleep_for(1h); }, on(1));
  }
  BOOST_TEST((std::exchange(where, {}) == there));
  spawn([note = NotesThread(where)] { sleep_for(1s); }, on(1)).detach();
  sleep_for(2s);
  BOOST_TEST((where == there));
}

WEFT_CORES_TEST_CASE(a_result_that_nobody_takes_is_destroyed_once) {
  struct Large : Counted {
    std::array<char, 1000> bytes{};
  };
  for (const std::size_t there : {0, 1, 2}) {
    auto small = spawn([] { return Counted(); }, on(1));
    auto large = spawn([] { return Large(); }, on(2));
    small.wait(), large.wait();
    BOOST_TEST(Counted::alive == 2);
    spawn([small = std::move(small), large = std::move(large)] {}, on(there)).get();
    BOOST_TEST(Counted::alive == 0);
    spawn([] { return Counted(); }, on(there)).detach();
    run_until_blocked();
    BOOST_TEST(Counted::alive == 0);
  }
}

WEFT_CORES_TEST_CASE(a_result_that_is_a_task_is_cancelled_and_joined_where_it_is_dropped) {
  for (const bool waited_for : {false, true}) {
    bool joined = false;
    {
      auto task = spawn(
          [&] { return spawn([&] { shield([&] { sleep_for(1s), joined = true; }); }, on(2)); },
          on(1));
      run_until_blocked();
      if (waited_for) task.wait();
    }
    BOOST_TEST(joined);
  }
}

WEFT_CORES_TEST_CASE(a_task_detached_elsewhere_goes_on_alone) {
  const TimePoint start = now();
  TimePoint ended;
  auto task = spawn([&] { sleep_for(1h), ended = now(); }, on(1));
  spawn([task = std::move(task)]() mutable { task.detach(); }, on(2)).get();
  sleep_for(2h);
  BOOST_TEST((ended == start + 1h));
}

WEFT_CORES_TEST_CASE(a_task_may_drop_the_handle_of_the_one_that_it_joined_last) {
  auto first = std::make_unique<Task<void>>(spawn([] { sleep_for(1s); }, on(1)));
  spawn([&] { first->get(), first.reset(); }, on(2)).get();
  BOOST_TEST(!first);
}

WEFT_CORES_TEST_CASE(a_task_whose_own_callable_owns_its_handle_goes_on_alone) {
  std::atomic<int> ended{0};
  for (const std::size_t home : {0, 1, 2}) {
    auto handle = std::make_shared<Task<void>>();
    *handle = spawn(
        [handle, &ended] {
          sleep_for(1s);
          ++ended;
        },
        on(home));
    run_until_blocked();
    handle.reset();
  }
  sleep_for(1h);
  BOOST_TEST(ended == 3);
}

WEFT_CORES_TEST_CASE(all_spawn_cancel_join_drop_and_detach_at_once) {
  constexpr int kRounds = 100;
  std::atomic<int> ended{0}, wrong{0};
  const auto end = [&ended] {
    const CountAtEnd count(ended);
    yield();
    sleep_for(1us);
    return 7;
  };
  spread([&](std::size_t self) {
    for (std::size_t i = 0; i < kRounds; ++i) {
      const SpawnOptions there = on((self + i) % 3);
      auto joined = spawn(end, there);
      auto dropped = spawn(end, there);
      auto detached = spawn(end, there);
      auto cancelled = spawn(end, there);
      detached.detach();
      cancelled.cancel();
      if (joined.get() != 7) ++wrong;
      cancelled.wait();
    }
  });
  run_until_blocked();
  sleep_for(1s);
  BOOST_TEST(wrong == 0);
  BOOST_TEST(ended >= 3 * kRounds);
  BOOST_TEST(ended <= 3 * kRounds * 4);
}

// ---- Exceptions that nobody takes ---------------------------------------------------------------

namespace {

// What reached the exception handlers of all schedulers: the scheduler and the fiber's name. The
// handlers keep it.
struct Told {
  Told() {
    spread([this] {
      Scheduler::current().set_exception_handler([this](std::exception_ptr) {
        yield();  // it may wait
        const std::lock_guard lock(mutex);
        by.emplace_back(&Scheduler::current(), current_task().name);
      });
    });
  }
  ~Told() {
    spread([] { Scheduler::current().set_exception_handler(nullptr); });
  }

  Mutex mutex;
  std::vector<std::pair<Scheduler*, std::string>> by;
};

}  // namespace

WEFT_CORES_TEST_CASE(the_handler_of_the_scheduler_that_failed_is_told_whoever_drops_the_task) {
  const std::function<void(Task<void>)> drops[] = {
      [](Task<void> task) { task.detach(); },
      [](Task<void> task) {
        task.wait();
        task.detach();
      },
      [](Task<void> task) { task.wait(); },
  };
  for (const auto& drop : drops) {
    for (const std::size_t there : {0, 1, 2}) {
      Told told;
      for (const std::size_t home : {0, 1, 2}) {
        auto task = spawn([] { throw 1; }, {.name = "failed", .on = on(home).on});
        spawn([&, task = std::move(task)]() mutable { drop(std::move(task)); }, on(there)).get();
        run_until_blocked();
        BOOST_REQUIRE(told.by.size() == home + 1);
        BOOST_TEST(told.by.back().first == on(home).on);
        // Who drops what has ended on its own scheduler runs the handler itself.
        if (home != there) BOOST_TEST(told.by.back().second == "failed");
      }
    }
  }
}

WEFT_CORES_TEST_CASE(an_exception_that_was_taken_elsewhere_is_told_to_nobody) {
  Told told;
  for (const std::size_t home : {0, 1, 2}) {
    auto task = spawn([] { throw 1; }, on(home));
    BOOST_CHECK_THROW(task.get(), int);
  }
  run_until_blocked();
  BOOST_TEST(told.by.empty());
}

WEFT_CORES_TEST_CASE(what_fails_because_its_handle_was_dropped_elsewhere_is_told_at_home) {
  Told told;
  {
    auto task = spawn(when_cancelled([] { throw std::runtime_error("when cancelled"); }), on(2));
    run_until_blocked();
  }
  run_until_blocked();
  BOOST_REQUIRE(told.by.size() == 1u);
  BOOST_TEST(told.by.front().first == on(2).on);
}

// ---- After the runtime --------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(results_of_all_schedulers_may_be_taken_after_the_runtime_ended) {
  std::vector<Task<std::string>> results;
  std::vector<Task<void>> failed, cancelled;
  run(
      [&] {
        for (const std::size_t i : {0, 1, 2}) {
          results.push_back(spawn([] { return std::string(1000, 'x'); }, on(i)));
          failed.push_back(spawn([] { throw std::runtime_error("late"); }, on(i)));
          cancelled.push_back(spawn([] { sleep_for(1h); }, on(i)));
        }
        run_until_blocked();
      },
      {.threads = 3, .virtual_time = true});
  for (auto& task : results) BOOST_TEST(task.get() == std::string(1000, 'x'));
  for (auto& task : failed) BOOST_CHECK_THROW(task.get(), std::runtime_error);
  for (auto& task : cancelled) {
    task.cancel();
    BOOST_CHECK_THROW(task.get(), TaskCancelled);
  }
}

BOOST_AUTO_TEST_CASE(handles_of_all_schedulers_may_be_dropped_after_the_runtime_ended) {
  std::vector<Task<Counted>> tasks;
  run(
      [&] {
        for (std::size_t i = 0; i < 90; ++i) {
          tasks.push_back(spawn([] { return Counted(); }, on(i % 3)));
        }
        run_until_blocked();
      },
      {.threads = 3, .virtual_time = true});
  BOOST_TEST(Counted::alive == 90);
  tasks[7].detach();
  std::thread([&] { tasks.resize(60); }).join();
  BOOST_TEST(Counted::alive == 59);
  run([&] { spawn([&] { tasks.clear(); }, on(1)).get(); }, {.threads = 2});
  BOOST_TEST(Counted::alive == 0);
}

BOOST_AUTO_TEST_CASE(handles_may_be_dropped_by_threads_while_their_runtime_ends) {
  for (int round = 0; round < 30; ++round) {
    std::vector<Task<Counted>> tasks;
    std::thread dropper;
    run(
        [&] {
          for (std::size_t i = 0; i < 30; ++i) {
            tasks.push_back(spawn(
                [i] {
                  if (i % 2) sleep_for(1h);
                  return Counted();
                },
                on(i % 3)));
          }
          tasks.front().wait();
          dropper = std::thread([&] { tasks.clear(); });
        },
        {.threads = 3});
    dropper.join();
    BOOST_TEST(Counted::alive == 0);
  }
}

BOOST_AUTO_TEST_SUITE_END()
