#include "weft/fiber/stats.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/core/thread_port.h"

BOOST_AUTO_TEST_SUITE(stats)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

SchedulerStats stats_here() { return Scheduler::current().stats(); }

// By a post, not a task: the end of a task's handle would be one more thing that is asked.
SchedulerStats stats_on(std::size_t i) {
  Promise<SchedulerStats> stats;
  const Future<SchedulerStats> result = stats.future();
  Runtime::current().schedulers()[i]->post(
      [stats = std::move(stats)]() mutable { stats.set_value(stats_here()); });
  return result.get();
}

// A Port whose time passes only where a test says so: in its fibers, and in the port.
class OwnClock final : public internal::Port {
 public:
  TimePoint now() const noexcept override { return now_; }
  bool wait(TimePoint deadline) override {
    asleep = deadline == kForever;
    const bool woken = inner_.wait(deadline == kForever ? kForever : kPast);
    if (deadline == kForever) {
      now_ += 1h;
    } else if (deadline > now_ && !woken) {
      now_ = deadline + oversleep;
    } else {
      now_ += look;
    }
    return woken;
  }
  void wake() noexcept override { inner_.wake(); }

  void pass(Duration time) { now_ += time; }

  std::atomic<bool> asleep{false};  // for ever
  Duration oversleep{};
  Duration look{};  // how long it takes to look without a sleep

 private:
  internal::ThreadPort inner_;
  TimePoint now_{1h};
};

// Runs f as a fiber, and returns what is counted at its end.
SchedulerStats stats_after(OwnClock& clock, const std::function<void()>& f, Duration spin = {}) {
  SchedulerStats stats;
  run_on(clock,
         [&] {
           f();
           stats = stats_here();
         },
         {.spin = spin, .trim = false});
  return stats;
}

// Each yield and each end, join() and its wait.
void count_yields(int times) {
  const std::uint64_t before = stats_here().switches;
  TaskGroup group;
  for (int i = 0; i < 3; ++i) {
    group.spawn([=] {
      for (int n = 0; n < times; ++n) yield();
    });
  }
  group.join();
  BOOST_TEST(stats_here().switches - before == static_cast<std::uint64_t>(3 * times + 3 + 2));
}

}  // namespace

// ---- Counters -----------------------------------------------------------------------------------

WEFT_ANY_ORDER_TEST_CASE(three_fibers_that_yield_ten_times_switch_thirty_times) {
  count_yields(10);
}

WEFT_TEST_CASE(switches_of_many_counted_turns_are_all_counted) { count_yields(10'000); }

WEFT_REAL_TIME_TEST_CASE(switches_of_many_timed_turns_are_all_counted) { count_yields(100'000); }

WEFT_TEST_CASE(a_wait_that_is_over_at_once_counts_as_a_switch) {
  Queue<int> queue;
  for (int i = 0; i < 5; ++i) queue.try_push(i);
  const std::uint64_t before = stats_here().switches;
  for (int i = 0; i < 5; ++i) queue.pop();
  BOOST_TEST(stats_here().switches - before == 5u);
}

WEFT_TEST_CASE(a_lock_of_a_free_mutex_counts_as_nothing) {
  Mutex mutex;
  const SchedulerStats before = stats_here();
  mutex.lock(), mutex.unlock();
  BOOST_TEST(stats_here().switches == before.switches);
  BOOST_TEST(stats_here().turns == before.turns);
}

WEFT_TEST_CASE(the_loop_looks_before_each_sleep_and_after_it) {
  sleep_for(5ms);  // afterwards the next deadlines are in order, and need no look before their time
  const SchedulerStats before = stats_here();
  for (int i = 0; i < 3; ++i) sleep_for(1us);
  const SchedulerStats after = stats_here();
  BOOST_TEST(after.sleeps - before.sleeps == 3u);
  BOOST_TEST(after.turns - before.turns == 6u);
  BOOST_TEST(after.switches - before.switches == 3u);
}

WEFT_TEST_CASE(a_counted_turn_is_a_look_without_a_sleep) {
  const SchedulerStats before = stats_here();
  for (int i = 0; i < 3 * 4096; ++i) yield();
  const SchedulerStats after = stats_here();
  BOOST_TEST(after.turns - before.turns == 3u);
  BOOST_TEST(after.sleeps == before.sleeps);
}

WEFT_TEST_CASE(idle_is_by_how_much_a_virtual_clock_has_jumped) {
  const SchedulerStats before = stats_here();
  sleep_for(24h);
  sleep_for(1ns);
  for (int i = 0; i < 10'000; ++i) yield();
  BOOST_TEST((stats_here().idle - before.idle == 24h + 1ns));
}

WEFT_REAL_TIME_TEST_CASE(idle_is_the_time_in_the_kernel) {
  const TimePoint begin = Clock::now();
  const Duration before = stats_here().idle;
  sleep_for(50ms);
  const Duration idle = stats_here().idle - before;
  const TimePoint woken = Clock::now();
  while (Clock::now() < woken + 1ms) yield();
  BOOST_TEST((idle >= 10ms && idle <= woken - begin),
             idle.count());  // some may go to other programs
  BOOST_TEST((stats_here().idle - before == idle));
}

BOOST_AUTO_TEST_CASE(lag_is_how_late_the_latest_timer_was) {
  OwnClock clock;
  const SchedulerStats stats = stats_after(clock, [&] {
    BOOST_TEST((stats_here().max_lag == 0s));
    auto late = spawn([] { sleep_for(1ms); });
    auto later = spawn([] { sleep_for(4ms); });
    yield();
    clock.pass(6ms);  // this fiber does not wait
    late.get(), later.get();
    BOOST_TEST((stats_here().max_lag == 5ms));
    auto less = spawn([] { sleep_for(1ms); });
    yield();
    clock.pass(3ms);
    less.get();
  });
  BOOST_TEST((stats.max_lag == 5ms));
}

BOOST_AUTO_TEST_CASE(a_sleep_that_is_too_long_is_idle_time_and_lag) {
  OwnClock clock;
  clock.oversleep = 3ms;
  const SchedulerStats stats = stats_after(clock, [] { sleep_for(10ms); });
  BOOST_TEST((stats.max_lag == 3ms));
  BOOST_TEST((stats.idle == 13ms));
}

BOOST_AUTO_TEST_CASE(
    a_deadline_that_was_over_when_it_was_set_is_late_by_the_time_since_the_last_look) {
  OwnClock clock;
  const SchedulerStats stats = stats_after(clock, [&] {
    sleep_for(1ms);
    sleep_until(now() - 10min);
    sleep_until(kPast);
    BOOST_TEST((stats_here().max_lag == 0s));
    clock.pass(2ms);
    sleep_until(now() - 10min);
  });
  BOOST_TEST((stats.max_lag == 2ms));
}

BOOST_AUTO_TEST_CASE(a_long_sleep_without_a_deadline_is_idle_time_and_no_lag) {
  OwnClock clock;
  const SchedulerStats stats = stats_after(clock, [&] {
    Event woken;
    std::thread thread([&] {
      while (!clock.asleep) std::this_thread::yield();
      woken.set();
    });
    clock.pass(50us);  // less than a turn: the loop does not read the clock for that
    woken.wait();
    sleep_until(now() - 10min);
    thread.join();
  });
  BOOST_TEST((stats.idle == 1h));
  BOOST_TEST((stats.max_lag == 0s));
  BOOST_TEST(stats.wake_ups == 1u);
}

BOOST_AUTO_TEST_CASE(to_look_for_work_before_a_sleep_is_not_idle) {
  OwnClock clock;
  clock.look = 1us;
  const SchedulerStats stats = stats_after(
      clock, [] { sleep_for(100us); }, 20us);
  BOOST_TEST((stats.idle > 50us && stats.idle <= 80us), stats.idle.count());
  BOOST_TEST(stats.sleeps == 1u);
}

BOOST_AUTO_TEST_CASE(the_time_between_two_runs_is_neither_idle_nor_lag) {
  OwnClock clock;
  Loop loop(clock, {.trim = false});
  auto sleeper = spawn([] { sleep_for(1ms); }, {.on = &loop});
  auto first = spawn([] { yield(); }, {.on = &loop});
  loop.run_until(first.completion());
  clock.pass(1h);
  SchedulerStats stats;
  auto second = spawn(
      [&] {
        sleeper.get();
        stats = stats_here();
      },
      {.on = &loop});
  loop.run_until(second.completion());
  BOOST_TEST((stats.max_lag == 0s));
  BOOST_TEST((stats.idle == 0s));
  loop.shutdown();
}

WEFT_CORES_TEST_CASE(a_post_to_a_scheduler_that_sleeps_is_a_wake_up) {
  run_until_blocked();  // now the others sleep: the clock jumps only then
  const SchedulerStats before = stats_on(1);
  for (int i = 0; i < 3; ++i) {
    run_until_blocked();
    Runtime::current().schedulers()[1]->post([] {});
  }
  run_until_blocked();
  const SchedulerStats after = stats_on(1);
  BOOST_TEST(after.wake_ups - before.wake_ups == 3u + 1u);  // three posts, and the last question
  BOOST_TEST(after.sleeps - before.sleeps == 4u);
}

WEFT_TEST_CASE(a_deadline_is_no_wake_up) {
  const SchedulerStats before = stats_here();
  for (int i = 0; i < 3; ++i) sleep_for(5ms);
  BOOST_TEST(stats_here().wake_ups == before.wake_ups);
}

BOOST_AUTO_TEST_CASE(counters_go_on_from_run_to_run) {
  Runtime runtime({.virtual_time = true});
  const SchedulerStats first = runtime.run([] {
    for (int i = 0; i < 10; ++i) yield();
    sleep_for(1s);
    return stats_here();
  });
  const SchedulerStats second = runtime.run(&stats_here);
  BOOST_TEST(first.switches == 10u + 1u);
  BOOST_TEST(second.switches == first.switches + 1);  // the first one's end
  BOOST_TEST(second.turns > first.turns);
  BOOST_TEST(second.sleeps == first.sleeps);
  BOOST_TEST((second.idle == 1s));
}

// ---- Gauges -------------------------------------------------------------------------------------

WEFT_TEST_CASE(tasks_are_those_that_all_tasks_lists) {
  BOOST_TEST(stats_here().tasks == 1u);
  Event event;
  TaskGroup group;
  for (int i = 0; i < 5; ++i) group.spawn([&] { event.wait(); });
  for (int i = 0; i < 2; ++i) Scheduler::current().post([&] { event.wait(); });
  BOOST_TEST(stats_here().tasks == all_tasks().size());
  run_until_blocked();
  BOOST_TEST(stats_here().tasks == 8u);
  BOOST_TEST(all_tasks().size() == 8u);
  event.set();
  group.join();
  run_until_blocked();
  BOOST_TEST(stats_here().tasks == 1u);
}

WEFT_TEST_CASE(ready_are_those_that_wait_for_their_turn) {
  BOOST_TEST(stats_here().ready == 0u);
  Event event;
  TaskGroup group;
  for (int i = 0; i < 3; ++i) group.spawn([&] { event.wait(); });
  BOOST_TEST(stats_here().ready == 3u);
  yield();
  BOOST_TEST(stats_here().ready == 0u);
  event.set();
  BOOST_TEST(stats_here().ready == 3u);
  group.join();
  BOOST_TEST(stats_here().ready == 0u);
}

WEFT_TEST_CASE(timers_are_the_deadlines_that_are_pending) {
  Event event;
  TaskGroup group;
  group.spawn([] { sleep_for(1s); });
  group.spawn([&] { event.wait_for(1h); });
  group.spawn([&] { event.wait(); });
  group.spawn([&] { with_timeout(1h, [&] { event.wait(); }); });
  Handle call = Scheduler::current().call_later(1min, [] {});
  yield();
  BOOST_TEST(stats_here().timers == 4u);
  call.cancel();
  BOOST_TEST(stats_here().timers == 3u);
  sleep_for(2s);
  BOOST_TEST(stats_here().timers == 2u);
  event.set();
  group.join();
  BOOST_TEST(stats_here().timers == 0u);
}

WEFT_TEST_CASE(stacks_stay_for_later_fibers) {
  constexpr std::size_t kSelfAndSpare = 2;
  const SchedulerStats before = stats_here();
  BOOST_TEST(before.stacks - before.free_stacks == kSelfAndSpare);
  {
    Event event;
    TaskGroup group;
    for (int i = 0; i < 40; ++i) group.spawn([&] { event.wait(); });
    for (int i = 0; i < 2; ++i) {  // of another size
      group.spawn([&] { event.wait(); }, {.stack_size = 1 << 20});
    }
    BOOST_TEST(stats_here().stacks == kSelfAndSpare + 42u);
    BOOST_TEST(stats_here().free_stacks == 0u);
    event.set();
    group.join();
  }
  BOOST_TEST(stats_here().stacks == kSelfAndSpare + 42u);
  BOOST_TEST(stats_here().free_stacks == 42u);
  Task<void> task = spawn([] {});
  BOOST_TEST(stats_here().free_stacks == 41u);
  task.get();
  BOOST_TEST(stats_here().free_stacks == 41u);  // the handle keeps it
}

// ---- Several schedulers -------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(each_scheduler_has_numbers_of_its_own) {
  std::vector<Task<void>> tasks;
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t n = 0; n < i; ++n) tasks.push_back(spawn([] { sleep_for(1h); }, on(i)));
  }
  run_until_blocked();
  const std::vector<SchedulerStats> all = spread(&stats_here);
  BOOST_TEST_REQUIRE(all.size() == 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    BOOST_TEST(all[i].timers == i);
    BOOST_TEST(all[i].tasks == i + 1u + (i == 0));  // and that of spread(); here this one, too
    BOOST_TEST(all[i].ready == 0u);
    BOOST_TEST(all[i].stacks - all[i].free_stacks == all[i].tasks + 1u);  // one for its end
    BOOST_TEST(all[i].awaited_descriptors == 0u);
  }
  run_until_blocked();
  const SchedulerStats before = stats_on(1);
  spawn(
      [] {
        for (int i = 0; i < 10; ++i) yield();
      },
      on(1))
      .get();
  BOOST_TEST(stats_on(1).switches - before.switches == 10u + 2u);  // and two ends
}

WEFT_CORES_TEST_CASE(only_fibers_of_the_scheduler_may_ask) {
  Scheduler& other = *Runtime::current().schedulers()[1];
  BOOST_CHECK_THROW(other.stats(), std::logic_error);
  const Scheduler& own = Scheduler::current();
  std::thread([&] { BOOST_CHECK_THROW(own.stats(), std::logic_error); }).join();
  BOOST_CHECK_NO_THROW(own.stats());
}

BOOST_AUTO_TEST_SUITE_END()
