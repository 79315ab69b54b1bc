// Semaphore, ConditionVariable, Event and Barrier between the schedulers of a runtime and plain
// threads.

#include <atomic>
#include <cassert>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/cores.h"
#include "tests/support/crowd.h"
#include "weft/sync/barrier.h"
#include "weft/sync/condition_variable.h"
#include "weft/sync/event.h"
#include "weft/sync/mutex.h"
#include "weft/sync/semaphore.h"

BOOST_AUTO_TEST_SUITE(signals_cores)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

int permits_of(Semaphore& semaphore) {
  int permits = 0;
  while (semaphore.try_acquire()) ++permits;
  semaphore.release(permits);
  return permits;
}

}  // namespace

// ---- Semaphore ----------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(permits_go_to_those_who_waited_longest_on_whatever_scheduler) {
  Semaphore semaphore(0);
  std::string order;
  std::vector<Task<void>> tasks;
  for (const std::size_t i : {1, 2, 0, 2, 1, 0}) {
    tasks.push_back(spawn_in_turn(i, [&, i] {
      semaphore.acquire();
      order += static_cast<char>('0' + i);
    }));
  }
  for (std::size_t i = 0; i < 6; ++i) {
    spawn_in_turn(i % 3, [&] { semaphore.release(); }).get();
    BOOST_TEST(tasks[i].done());
  }
  BOOST_TEST(order == "120210");
}

WEFT_CORES_TEST_CASE(several_permits_at_once_go_to_as_many_and_what_is_left_stays) {
  Semaphore semaphore(0);
  std::vector<Task<void>> tasks;
  for (std::size_t i = 0; i < 5; ++i) {
    tasks.push_back(spawn_in_turn(i % 3, [&] { semaphore.acquire(); }));
  }
  std::thread([&] { semaphore.release(3); }).join();
  for (std::size_t i = 0; i < 3; ++i) tasks[i].get();
  run_until_blocked();
  BOOST_TEST((!tasks[3].done() && !tasks[4].done()));
  spawn([&] { semaphore.release(4); }, on(2)).get();
  tasks[3].get();
  tasks[4].get();
  BOOST_TEST(permits_of(semaphore) == 2);
}

WEFT_CORES_TEST_CASE(a_permit_that_meets_a_cancellation_is_taken_or_stays) {
  int ends[2] = {};
  for (int round = 0; round < kRounds; ++round) {
    Semaphore semaphore(0);
    auto taker = spawn_in_turn(1, [&] { semaphore.acquire(); });
    const End end = give_while_cancelled(round, taker, [&] { semaphore.release(); });
    ++ends[static_cast<int>(end)];
    BOOST_REQUIRE(permits_of(semaphore) == (end == End::kCancelled));
  }
  BOOST_TEST(ends[0] > 0);
  BOOST_TEST(ends[1] > 0);
}

WEFT_CORES_TEST_CASE(a_permit_beats_a_cancellation_that_comes_later) {
  Semaphore semaphore(0);
  auto taker = spawn_in_turn(1, [&] { semaphore.acquire(); });
  {
    const Stopped stopped(1);
    semaphore.release();
    taker.cancel();
  }
  BOOST_TEST((end_of(taker) == End::kResult));
  BOOST_TEST(permits_of(semaphore) == 0);
}

WEFT_CORES_TEST_CASE(permits_that_come_when_the_time_is_over_are_taken_or_stay) {
  int all_got = 0, all_missed = 0;
  for (int round = 0; round < kRounds / 4; ++round) {
    Semaphore semaphore(0);
    const TimePoint instant = now() + 1s;
    std::atomic<int> got{0};
    TaskGroup group;
    for (int i = 0; i < 6; ++i) {
      if (i == 3) group.spawn([&] { sleep_until(instant), semaphore.release(4); }, on(round % 3));
      run_until_blocked();
      group.spawn([&, i] { got += semaphore.try_acquire_until(instant + (i == 5) * 1ms); },
                  on(i % 3));
    }
    group.join();
    BOOST_REQUIRE(got + permits_of(semaphore) == 4);
    all_got += got;
    all_missed += 6 - got;
  }
  BOOST_TEST(all_got > 0);
  BOOST_TEST(all_missed > 0);
}

WEFT_CORES_TEST_CASE(a_semaphore_may_be_destroyed_by_whoever_took_its_last_permit) {
  for (int round = 0; round < kRounds; ++round) {
    auto owned = std::make_unique<Semaphore>(0);
    Semaphore& semaphore = *owned;
    auto last = spawn(
        [&] {
          semaphore.acquire();
          owned.reset();
        },
        on(1 + round % 2));
    round % 4 < 2 ? run_until_blocked() : yield();
    semaphore.release();
    last.get();
    BOOST_REQUIRE(!owned);
  }
}

// ---- ConditionVariable --------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(whoever_waited_longest_is_notified_on_whatever_scheduler) {
  Mutex mutex;
  ConditionVariable changed;
  std::string order;
  std::vector<Task<void>> tasks;
  for (const std::size_t i : {2, 1, 0, 1, 2, 0}) {
    tasks.push_back(spawn_in_turn(i, [&, i] {
      std::unique_lock lock(mutex);
      changed.wait(lock);
      order += static_cast<char>('0' + i);
    }));
  }
  for (std::size_t i = 0; i < 4; ++i) {
    spawn_in_turn(i % 3, [&] { changed.notify_one(); }).get();
    BOOST_TEST(tasks[i].done());
    BOOST_TEST(!tasks[i + 1].done());
  }
  std::thread([&] { changed.notify_all(); }).join();
  for (auto& task : tasks) task.get();
  BOOST_TEST(order.substr(0, 4) == "2101");
  BOOST_TEST(order.size() == 6u);
}

WEFT_CORES_TEST_CASE(a_notification_that_meets_a_cancellation_goes_to_the_next) {
  int ends[2] = {};
  for (int round = 0; round < kRounds; ++round) {
    Mutex mutex;
    ConditionVariable changed;
    const auto wait = [&] {
      std::unique_lock lock(mutex);
      changed.wait(lock);
    };
    auto waiter = spawn_in_turn(1, wait);
    auto next = spawn_in_turn(round % 3, wait);
    const End end = give_while_cancelled(round, waiter, [&] { changed.notify_one(); });
    ++ends[static_cast<int>(end)];
    run_until_blocked();
    BOOST_REQUIRE(next.done() == (end == End::kCancelled));
    changed.notify_one();
    next.get();
  }
  BOOST_TEST(ends[0] > 0);
  BOOST_TEST(ends[1] > 0);
}

WEFT_CORES_TEST_CASE(notifications_that_come_when_the_time_of_some_is_over_reach_the_others) {
  int all_timed_out = 0;
  for (int round = 0; round < kRounds / 4; ++round) {
    Mutex mutex;
    ConditionVariable changed;
    const TimePoint instant = now() + 1s;
    std::atomic<int> notified{0}, timed_out{0};
    TaskGroup group;
    const auto wait_until = [&](TimePoint deadline) {
      std::unique_lock lock(mutex);
      ++(changed.wait_until(lock, deadline) == std::cv_status::timeout ? timed_out : notified);
      assert(mutex.is_held());
    };
    for (int i = 0; i < 9; ++i) {
      if (i == 3) {
        group.spawn(
            [&] {
              sleep_until(instant);
              for (int times = 0; times < 3; ++times) changed.notify_one();
            },
            on(round % 3));
        run_until_blocked();
      }
      group.spawn([&, i] { wait_until(i < 6 ? instant : kForever); }, on(i % 3));
      run_until_blocked();
    }
    sleep_until(instant + 1s);
    BOOST_REQUIRE(notified == 3);  // there is always somebody who waits for longer
    all_timed_out += timed_out;
    changed.notify_all();
    group.join();
    BOOST_REQUIRE(notified + timed_out == 9);
  }
  BOOST_TEST(all_timed_out > 0);
}

WEFT_CORES_TEST_CASE(the_mutex_is_held_after_a_wait_however_it_ended) {
  Mutex mutex;
  ConditionVariable changed;
  std::atomic<int> held{0};
  const auto wait_and_look = [&](Duration time) {
    std::unique_lock lock(mutex);
    const struct Look {
      ~Look() { held += mutex.is_held(); }
      Mutex& mutex;
      std::atomic<int>& held;
    } look{mutex, held};
    changed.wait_for(lock, time);
  };
  auto notified = spawn_in_turn(1, [&] { wait_and_look(2h); });
  auto timed_out = spawn_in_turn(2, [&] { wait_and_look(1s); });
  auto cancelled = spawn_in_turn(1, [&] { wait_and_look(2h); });
  const std::lock_guard lock(mutex);  // on this scheduler
  sleep_for(1h);
  changed.notify_one();
  run_until_blocked();
  notified.cancel();  // too late: it waits for the mutex
  cancelled.cancel();
  run_until_blocked();
  BOOST_TEST((!notified.done() && !timed_out.done() && !cancelled.done()));
  mutex.unlock();
  BOOST_TEST((end_of(notified) == End::kResult));
  timed_out.get();
  BOOST_TEST((end_of(cancelled) == End::kCancelled));
  BOOST_TEST(held == 3);
  mutex.lock();
}

WEFT_CORES_TEST_CASE(a_condition_variable_may_be_destroyed_as_soon_as_all_are_notified) {
  for (int round = 0; round < kRounds; ++round) {
    Mutex mutex;
    auto owned = std::make_unique<ConditionVariable>();
    ConditionVariable& changed = *owned;
    auto waiter = spawn_in_turn(1 + round % 2, [&] {
      std::unique_lock lock(mutex);
      changed.wait(lock);
      owned.reset();
    });
    changed.notify_one();
    waiter.get();
    BOOST_REQUIRE(!owned);
  }
}

// ---- Event --------------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(an_event_wakes_who_waits_on_every_scheduler_and_shows_what_came_before) {
  for (int round = 0; round < kRounds / 4; ++round) {
    Event event;
    int value = 0;  // not atomic: the event orders the accesses
    std::atomic<int> seen{0};
    const auto wait = [&] {
      event.wait();
      seen += value == 7;
    };
    std::thread thread(wait);
    TaskGroup group;
    for (int i = 0; i < 6; ++i) group.spawn(wait, on(i % 3));
    if (round % 2) run_until_blocked();
    spawn(
        [&] {
          value = 7;
          event.set();
        },
        on(round % 3))
        .get();
    group.join();
    thread.join();
    BOOST_REQUIRE(seen == 7);
  }
}

WEFT_CORES_TEST_CASE(who_waits_is_woken_though_the_event_is_cleared_before_it_runs) {
  Event event;
  bool was_set = true;
  auto waiter = spawn_in_turn(1, [&] {
    event.wait();
    was_set = event.is_set();
  });
  {
    const Stopped stopped(1);
    event.set();
    event.clear();
  }
  waiter.get();
  BOOST_TEST(!was_set);
}

WEFT_CORES_TEST_CASE(an_event_that_is_set_when_the_time_is_over_is_seen_or_not_by_each) {
  int all_seen = 0, all_missed = 0;
  for (int round = 0; round < kRounds / 4; ++round) {
    Event event;
    const TimePoint instant = now() + 1s;
    std::atomic<int> seen{0}, missed{0};
    TaskGroup group;
    for (int i = 0; i < 6; ++i) {
      if (i == 3) group.spawn([&] { sleep_until(instant), event.set(); }, on(round % 3));
      run_until_blocked();
      group.spawn([&, i] { ++(event.wait_until(instant + (i == 5) * 1ms) ? seen : missed); },
                  on(i % 3));
    }
    group.join();
    BOOST_REQUIRE(event.is_set());
    BOOST_REQUIRE(seen + missed == 6);
    all_seen += seen;
    all_missed += missed;
  }
  BOOST_TEST(all_seen > 0);
  BOOST_TEST(all_missed > 0);
}

WEFT_CORES_TEST_CASE(an_event_may_be_destroyed_by_whoever_saw_it_set) {
  for (int round = 0; round < kRounds; ++round) {
    auto owned = std::make_unique<Event>();
    Event& event = *owned;
    auto waiter = spawn(
        [&] {
          event.wait();
          owned.reset();
        },
        on(1 + round % 2));
    round % 4 < 2 ? run_until_blocked() : yield();
    event.set();
    waiter.get();
    BOOST_REQUIRE(!owned);
  }
}

// ---- Barrier ------------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(a_barrier_holds_back_schedulers_and_threads_until_all_have_come) {
  Barrier barrier(4);
  int arrived[4] = {};  // not atomic: the barrier orders the accesses
  std::atomic<int> early{0}, last{0};
  const auto go_along = [&](std::size_t self) {
    for (int round = 1; round <= kRounds; ++round) {
      arrived[self] = round;
      last += barrier.arrive_and_wait();
      for (const int other : arrived) early += other != round;
      barrier.arrive_and_wait();
    }
  };
  std::thread thread(go_along, 3);
  spread(go_along);
  thread.join();
  BOOST_TEST(early == 0);
  BOOST_TEST(last == kRounds);
}

WEFT_CORES_TEST_CASE(who_is_cancelled_at_a_barrier_has_not_arrived_unless_it_opened_before) {
  int ends[2] = {};
  for (int round = 0; round < kRounds; ++round) {
    Barrier barrier(2);
    auto first = spawn_in_turn(1, [&] { barrier.arrive_and_wait(); });
    Task<void> second;
    const auto come = [&] { second = spawn([&] { barrier.arrive_and_wait(); }, on(round % 3)); };
    const End end = give_while_cancelled(round, first, come);
    ++ends[static_cast<int>(end)];
    run_until_blocked();
    BOOST_REQUIRE((second.done() || end == End::kCancelled));
    if (round % 4 == 1) BOOST_REQUIRE(!second.done());
    if (!second.done()) barrier.arrive_and_wait();
    second.get();
  }
  BOOST_TEST(ends[0] > 0);
  BOOST_TEST(ends[1] > 0);
}

BOOST_AUTO_TEST_SUITE_END()
