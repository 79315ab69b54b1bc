// Timeouts, and the clock, where what is waited for is on another scheduler.

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/fixture.h"
#include "weft/fiber/timeout.h"

BOOST_AUTO_TEST_SUITE(timeout_cores)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

// ---- Timeouts -----------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(a_timeout_ends_the_wait_for_a_task_of_elsewhere_and_not_the_task) {
  const TimePoint start = now();
  auto task = spawn([] { return sleep_for(1h), 7; }, on(1));
  BOOST_CHECK_THROW(with_timeout(1s, [&] { return task.get(); }), TimeoutError);
  BOOST_TEST((now() == start + 1s));
  BOOST_TEST(!task.done());
  BOOST_TEST(with_timeout(1h, [&] { return task.get(); }) == 7);
  BOOST_TEST((now() == start + 1h));
}

WEFT_CORES_TEST_CASE(a_task_of_elsewhere_that_a_timeout_destroys_is_cancelled_and_joined) {
  const TimePoint start = now();
  bool cleaned = false;
  const auto work = when_cancelled([&] {
    shield([] { sleep_for(1s); });
    cleaned = true;
    throw;
  });
  BOOST_CHECK_THROW(with_timeout(1s, [&] { spawn(work, on(1)).get(); }), TimeoutError);
  BOOST_TEST(cleaned);
  BOOST_TEST((now() == start + 2s));
}

WEFT_CORES_TEST_CASE(a_timeout_ends_groups_and_spreads) {
  const TimePoint start = now();
  std::atomic<int> ended{0};
  const auto sleeper = [&] {
    const CountAtEnd ends(ended);
    sleep_for(1h);
  };
  BOOST_CHECK_THROW(with_timeout(1s, [&] { spread(sleeper); }), TimeoutError);
  BOOST_CHECK_THROW(with_timeout(1s,
                                 [&] {
                                   TaskGroup group;
                                   for (const std::size_t i : {0, 1, 2}) {
                                     group.spawn(sleeper, on(i));
                                   }
                                   group.join();
                                 }),
                    TimeoutError);
  BOOST_TEST(ended == 6);
  BOOST_TEST((now() == start + 2s));
}

WEFT_CORES_TEST_CASE(timeouts_nest_across_schedulers) {
  const TimePoint start = now();
  const auto inner = [] { return spawn([] { with_timeout(10s, [] { sleep_for(1h); }); }, on(2)); };
  BOOST_CHECK_THROW(with_timeout(1s, [&] { inner().get(); }), TimeoutError);
  BOOST_TEST((now() == start + 1s));
  BOOST_CHECK_THROW(with_timeout(1h, [&] { inner().get(); }), TimeoutError);
  BOOST_TEST((now() == start + 11s));
}

WEFT_CORES_TEST_CASE(a_result_that_comes_at_the_deadline_is_not_lost) {
  for (int i = 0; i < 50; ++i) {
    auto task = spawn([] { return sleep_for(1s), std::make_unique<int>(7); }, on(1));
    std::unique_ptr<int> result;
    try {
      result = with_timeout(1s, [&] { return task.get(); });
    } catch (const TimeoutError&) {
      result = task.get();
    }
    BOOST_REQUIRE(*result == 7);
  }
}

// ---- The clock ----------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(all_schedulers_have_one_clock) {
  const TimePoint start = now();
  spawn([] { sleep_for(1h); }, on(1)).get();
  BOOST_TEST((now() == start + 1h));
  for (const TimePoint there : spread([] { return now(); })) BOOST_TEST((there == start + 1h));
}

WEFT_CORES_TEST_CASE(the_clock_stands_still_while_one_scheduler_runs) {
  const TimePoint start = now();
  std::atomic<bool> go{false};
  auto sleeper = spawn([] { sleep_for(1s); }, on(1));
  auto busy = spawn(
      [&] {
        while (!go) std::this_thread::yield();  // it keeps its thread
        return now();
      },
      on(2));
  for (int i = 0; i < 1000; ++i) yield();
  BOOST_TEST(!sleeper.done());
  BOOST_TEST((now() == start));
  go = true;
  BOOST_TEST((busy.get() == start));
  sleeper.get();
  BOOST_TEST((now() == start + 1s));
}

WEFT_CORES_TEST_CASE(sleeps_end_in_the_order_of_their_deadlines) {
  const TimePoint start = now();
  std::string order;  // only one of them runs at a time
  TaskGroup group;
  for (int i = 0; i < 26; ++i) {
    group.spawn(
        [&, i] {
          sleep_until(start + (26 - i) * 1s);
          order += static_cast<char>('z' - i);
        },
        on(static_cast<std::size_t>(i) % 3));
  }
  group.join();
  BOOST_TEST(order == "abcdefghijklmnopqrstuvwxyz");
}

WEFT_CORES_TEST_CASE(equal_deadlines_come_on_all_schedulers_before_a_later_one) {
  const TimePoint start = now();
  std::atomic<int> woken{0};
  TaskGroup group;
  for (std::size_t i = 0; i < 9; ++i) {
    group.spawn(
        [&] {
          sleep_until(start + 1s);
          for (int turn = 0; turn < 100; ++turn) yield();
          woken += now() == start + 1s;
        },
        on(i % 3));
  }
  sleep_until(start + 1s + 1ns);
  BOOST_TEST(woken == 9);
  group.join();
}

WEFT_CORES_TEST_CASE(what_one_hands_to_another_takes_no_time) {
  const TimePoint start = now();
  auto alarm = spawn([] { sleep_for(1ns); }, on(2));  // where a jump would go
  Semaphore there(0), back(0);
  auto echo = spawn(
      [&] {
        for (int i = 0; i < 500; ++i) there.acquire(), back.release();
      },
      on(1));
  auto busy = spawn([&] {
    for (int i = 0; i < 500; ++i) there.release(), back.acquire();
    return now();
  });
  // The alarm is the only one who could let time pass.
  BOOST_TEST((busy.get() <= start + 1ns));
  echo.get(), alarm.get();
}

WEFT_CORES_TEST_CASE(a_lone_jump_wakes_only_whom_it_is_for) {
  const TimePoint start = now();
  auto first = spawn([] { return sleep_for(1s), now(); }, on(1));
  auto second = spawn([] { return sleep_for(2s), now(); }, on(2));
  BOOST_TEST((first.get() == start + 1s));
  BOOST_TEST(!second.done());
  BOOST_TEST((second.get() == start + 2s));
}

BOOST_AUTO_TEST_CASE(the_clock_stands_still_outside_of_run) {
  Runtime runtime({.threads = 3, .virtual_time = true});
  const TimePoint start = runtime.run([] { return now(); });
  Scheduler* const there = runtime.schedulers()[1];
  auto task = spawn([] { return sleep_for(1h), now(); }, {.on = there});
  BOOST_TEST(!task.wait_for(5ms), "the clock went on without the first scheduler");
  BOOST_TEST((runtime.run([] { return now(); }) == start));
  BOOST_TEST((runtime.run([&] { return task.get(); }) == start + 1h));
}

WEFT_CORES_TEST_CASE(jobs_of_several_schedulers_end_before_the_clock_jumps) {
  const TimePoint start = now();
  const std::vector<TimePoint> ends = spread([](std::size_t i) {
    for (int n = 0; n < 5; ++n) {
      run_in_executor([i] { std::this_thread::sleep_for(std::chrono::milliseconds(i)); });
      yield();
    }
    return now();
  });
  for (const TimePoint end : ends) BOOST_TEST((end == start));
  BOOST_TEST((now() == start));
}

// The scheduler with the next deadline is not the one to which the event comes.
WEFT_CORES_TEST_CASE(a_wake_up_by_a_job_comes_before_a_jump) {
  for (int round = 0; round < 20; ++round) {
    const TimePoint start = now();
    auto alarm = spawn([] { sleep_for(1h); }, on(1));
    Event event;
    auto woken = spawn([&] { return event.wait(), now(); }, on(2));
    run_in_executor([&] { event.set(); });
    BOOST_REQUIRE((woken.get() == start));
  }
}

WEFT_CORES_TEST_CASE(a_post_by_a_job_comes_before_a_jump) {
  for (int round = 0; round < 20; ++round) {
    const TimePoint start = now();
    auto alarm = spawn([] { sleep_for(1h); });
    Promise<TimePoint> seen;
    Scheduler* const there = on(2).on;
    auto job = spawn([&] { run_in_executor([&] { there->post([&] { seen.set_value(now()); }); }); },
                     on(1));
    BOOST_REQUIRE((seen.future().get() == start));
    job.get();
  }
}

// A job that waits for the clock gets 100 ms of the machine's time, and then the clock goes on.
WEFT_CORES_TEST_CASE(a_job_that_waits_for_a_sleeper_of_elsewhere_does_not_keep_the_clock) {
  const TimePoint start = now();
  Event event;
  auto sleeper = spawn(
      [&] {
        sleep_for(1h);
        event.set();
      },
      on(1));
  spawn([&] { run_in_executor([&] { event.wait(); }); }, on(2)).get();
  BOOST_TEST((now() == start + 1h));
}

// ---- CancelScope --------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(a_scope_can_be_cancelled_from_any_scheduler) {
  for (const std::size_t home : {0, 1, 2}) {
    for (const std::size_t there : {0, 1, 2}) {
      const TimePoint start = now();
      CancelScope* scope = nullptr;
      Event left;
      auto task = spawn(
          [&] {
            CancelScope its;
            scope = &its;
            const bool cut = throws_cancelled([] { sleep_for(1h); }) && its.caused();
            shield([&] { left.wait(); });
            return cut && !its.expired();
          },
          on(home));
      sleep_for(1s);
      spawn([&] { scope->cancel(); }, on(there)).get();
      left.set();
      BOOST_TEST(task.get());
      BOOST_TEST((now() == start + 1s));
    }
  }
}

// In time, too late, or while it is left: the scope outlives the call.
WEFT_CORES_TEST_CASE(a_cancel_of_a_scope_may_race_with_its_deadline_its_waits_and_its_end) {
  std::atomic<int> wrong{0};
  spread([&](std::size_t self) {
    for (int i = 0; i < 300; ++i) {
      const TimePoint start = now();
      Task<void> canceller;
      bool cut = false;
      {
        CancelScope scope(start + 1ns * (i % 3 + 1));
        canceller = spawn(
            [&] {
              for (int pause = i % 5; pause > 0; --pause) yield();
              scope.cancel();
            },
            on((self + 1) % 3));
        cut = throws_cancelled([] {
          yield();
          sleep_for(1h);
        });
        if (!cut || !scope.cancelled() || !scope.caused()) ++wrong;
        shield([&] { canceller.wait(); });
      }
      sleep_for(1ns);  // not cancelled any more
    }
  });
  BOOST_TEST(wrong == 0);
}

BOOST_AUTO_TEST_SUITE_END()
