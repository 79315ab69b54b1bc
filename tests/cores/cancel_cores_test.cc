// Cancellation that comes from another scheduler.

#include <atomic>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/cores.h"
#include "tests/support/fixture.h"
#include "weft/fiber/cancel.h"

BOOST_AUTO_TEST_SUITE(cancel_cores)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

bool sleep_is_cancelled() {
  return throws_cancelled([] { sleep_for(1h); });
}

}  // namespace

// ---- When it comes ------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(a_task_cancelled_elsewhere_before_it_starts_never_runs) {
  std::atomic<bool> ran{false};
  Task<void> task;
  {
    const Stopped busy(1);
    task = spawn([&] { ran = true; }, on(1));
    task.cancel();
    BOOST_TEST(!task.done());
  }
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(!ran);
}

WEFT_CORES_TEST_CASE(a_waiting_task_is_cancelled_at_once) {
  for (const std::size_t home : {0, 1, 2}) {
    for (const std::size_t there : {0, 1, 2}) {
      const TimePoint start = now();
      auto task = spawn([] { sleep_for(1h); }, on(home));
      sleep_for(1s);
      spawn([&] { task.cancel(); }, on(there)).get();
      BOOST_CHECK_THROW(task.get(), TaskCancelled);
      BOOST_TEST((now() == start + 1s));
    }
  }
}

WEFT_CORES_TEST_CASE(a_running_task_is_cancelled_at_its_next_wait) {
  std::atomic<bool> begun{false}, cancelled{false};
  const TimePoint start = now();
  auto task = spawn(
      [&] {
        begun = true;
        while (!cancelled) std::this_thread::yield();
        return sleep_is_cancelled();
      },
      on(1));
  while (!begun) yield();
  task.cancel();
  cancelled = true;
  BOOST_TEST(task.get());
  BOOST_TEST((now() == start));
}

WEFT_CORES_TEST_CASE(a_ready_task_is_cancelled_at_its_next_wait) {
  int steps = 0;
  Promise<void> promise;
  auto task = spawn(
      [&] {
        promise.future().get();
        ++steps;
        sleep_for(1h);
        ++steps;
      },
      on(1));
  run_until_blocked();
  promise.set_value();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(steps == 1);
}

WEFT_CORES_TEST_CASE(a_task_that_only_yields_can_be_cancelled_from_elsewhere) {
  std::atomic<bool> started{false};
  auto task = spawn(
      [&] {
        started = true;
        for (;;) yield();
      },
      on(1));
  while (!started) yield();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
}

WEFT_CORES_TEST_CASE(every_kind_of_wait_can_be_cancelled_from_elsewhere) {
  Promise<void> never;
  const Future<void> future = never.future();
  std::vector<Future<void>> futures{future};
  Mutex locked;
  const std::lock_guard lock(locked);
  const std::map<std::string, std::function<void()>> waits{
      {"sleep_for", [] { sleep_for(1h); }},
      {"sleep_until", [] { sleep_until(kForever); }},
      {"Future::get", [&] { future.get(); }},
      {"Future::wait_for", [&] { future.wait_for(1h); }},
      {"Task::get", [&] { spawn([&] { future.get(); }, on(2)).get(); }},
      {"TaskGroup::join",
       [&] {
         TaskGroup group;
         group.spawn([&] { future.get(); }, on(2));
         group.join();
       }},
      {"gather", [&] { gather([&] { future.get(); }); }},
      {"spread", [&] { spread([&] { future.get(); }); }},
      {"wait", [&] { wait(futures, When::first_completed, 1h); }},
      {"as_completed",
       [&] {
         for (auto i : as_completed(futures)) (void)i;
       }},
      {"Mutex", [&] { const std::lock_guard wait(locked); }},
      {"Semaphore", [] { Semaphore(0).acquire(); }},
      {"Event", [] { Event().wait(); }},
      {"Queue", [] { Queue<int>().pop(); }},
  };
  for (const auto& [name, wait] : waits) {
    auto task = spawn(
        [&wait = wait] {
          const bool during = throws_cancelled(wait);
          return during && throws_cancelled(wait);  // before it
        },
        on(1));
    run_until_blocked();
    task.cancel();
    BOOST_TEST(task.get(), name);
  }
}

WEFT_CORES_TEST_CASE(cancelling_twice_from_elsewhere_is_cancelling_once) {
  std::atomic<int> times{0};
  auto task = spawn(
      [&] {
        times += sleep_is_cancelled();
        shield([] { sleep_for(1s); });
      },
      on(1));
  run_until_blocked();
  task.cancel();
  task.cancel();
  yield();
  task.cancel();
  task.get();
  task.cancel();
  BOOST_TEST(times == 1);
}

// It must not strike whoever uses the stack next.
WEFT_CORES_TEST_CASE(a_cancellation_that_comes_after_the_end_does_nothing) {
  for (int i = 0; i < 100; ++i) {
    auto task = spawn([] { return 7; }, on(1));
    while (!task.done()) yield();
    task.cancel();
    BOOST_REQUIRE(task.get() == 7);
    task = {};
    auto next = spawn([] { return sleep_for(1ns), 8; }, on(1));
    BOOST_REQUIRE(next.get() == 8);
  }
}

WEFT_CORES_TEST_CASE(a_cancellation_may_race_with_the_end) {
  std::atomic<int> wrong{0};
  spread([&](std::size_t self) {
    for (int i = 0; i < 300; ++i) {
      auto task = spawn([] { return yield(), 7; }, on((self + 1) % 3));
      for (int pause = i % 20; pause > 0; --pause) yield();
      task.cancel();
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

WEFT_CORES_TEST_CASE(a_wake_up_beats_a_later_cancel) {
  for (int i = 0; i < 100; ++i) {
    Promise<int> promise;
    auto task = spawn(
        [future = promise.future()] { return future.get() == 7 && sleep_is_cancelled(); }, on(1));
    run_until_blocked();
    promise.set_value(7);
    task.cancel();
    BOOST_REQUIRE(task.get());
  }
}

// ---- A level, not an event ----------------------------------------------------------------------

WEFT_CORES_TEST_CASE(every_later_wait_throws_too) {
  auto task = spawn(
      [] {
        for (int i = 0; i < 10; ++i) {
          if (!sleep_is_cancelled()) return false;
          if (!throws_cancelled([] { spawn([] { sleep_for(1h); }, on(2)).get(); })) return false;
        }
        return true;
      },
      on(1));
  run_until_blocked();
  task.cancel();
  BOOST_TEST(task.get());
}

WEFT_CORES_TEST_CASE(i_was_cancelled_and_it_was_cancelled_differ) {
  auto child = spawn([] { sleep_for(1h); }, on(2));
  auto joins_a_cancelled_one = spawn(
      [&] {
        try {
          child.get();
        } catch (const TaskCancelled&) {
          sleep_for(1s);  // not cancelled itself
          return true;
        }
        return false;
      },
      on(1));
  run_until_blocked();
  child.cancel();
  BOOST_TEST(joins_a_cancelled_one.get());

  auto other = spawn([] { sleep_for(1h); }, on(2));
  auto is_cancelled = spawn([&] { return throws_cancelled([&] { other.get(); }); }, on(1));
  run_until_blocked();
  is_cancelled.cancel();
  BOOST_TEST(is_cancelled.get());
  BOOST_TEST(!other.done());
}

WEFT_CORES_TEST_CASE(a_cancellation_goes_down_from_scheduler_to_scheduler) {
  constexpr std::size_t kDepth = 30;
  const TimePoint start = now();
  std::atomic<std::size_t> ended{0};
  std::function<void(std::size_t)> nest = [&](std::size_t depth) {
    const CountAtEnd ends(ended);
    if (depth == 0) sleep_for(1h);
    spawn([&, depth] { nest(depth - 1); }, on(depth % 3)).get();
  };
  auto outer = spawn([&] { nest(kDepth); }, on(1));
  run_until_blocked();
  outer.cancel();
  BOOST_CHECK_THROW(outer.get(), TaskCancelled);
  BOOST_TEST(ended == kDepth + 1);
  BOOST_TEST((now() < start + 1s));
}

// ---- Shield and cleanup -------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(a_shield_holds_it_back) {
  const TimePoint start = now();
  std::atomic<bool> finished{false};
  auto task = spawn(
      [&] {
        shield([&] {
          sleep_for(5s);
          spawn([] { sleep_for(5s); }, on(2)).get();
          finished = true;
        });
        sleep_for(1h);
      },
      on(1));
  sleep_for(1s);
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(finished);
  BOOST_TEST((now() == start + 10s));
}

WEFT_CORES_TEST_CASE(a_destructor_that_waits_for_elsewhere_during_unwinding_is_not_interrupted) {
  const TimePoint start = now();
  int cleaned = 0;
  struct Cleanup {
    int& cleaned;
    ~Cleanup() {
      spawn([&] { sleep_for(1s), ++cleaned; }, on(0)).get();
      spawn([&] { sleep_for(1s), ++cleaned; }, on(2)).get();
    }
  };
  auto task = spawn(
      [&] {
        const Cleanup cleanup{cleaned};
        sleep_for(1h);
      },
      on(1));
  run_until_blocked();
  task.cancel();
  sleep_for(500ms);
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(cleaned == 2);
  BOOST_TEST((now() >= start + 2s));
}

WEFT_CORES_TEST_CASE(the_end_of_a_handle_is_waited_for_by_a_cancelled_task_too) {
  bool child_ended = false;
  auto parent = spawn(
      [&] {
        {
          auto child = spawn([&] { shield([&] { sleep_for(10s), child_ended = true; }); }, on(2));
          sleep_for(1s);
        }
        return child_ended && sleep_is_cancelled();
      },
      on(1));
  sleep_for(5s);
  parent.cancel();
  BOOST_TEST(parent.get());
}

BOOST_AUTO_TEST_SUITE_END()
