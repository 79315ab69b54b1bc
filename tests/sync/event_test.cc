#include "weft/sync/event.h"

#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/support/bound.h"
#include "tests/support/crowd.h"
#include "tests/support/fixture.h"
#include "weft/fiber/core/loop.h"

BOOST_AUTO_TEST_SUITE(event)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

WEFT_SHUFFLED_TEST_CASE(set_lets_everybody_go_on_until_it_is_cleared) {
  Event event;
  int passed = 0;
  TaskGroup group;
  const auto come = [&] {
    spawn_now(group, [&] {
      event.wait();
      ++passed;
    });
  };
  BOOST_TEST(!event.is_set());
  for (int i = 0; i < 3; ++i) come();
  run_until_blocked();
  BOOST_TEST(passed == 0);
  event.set();
  BOOST_TEST(event.is_set());
  run_until_blocked();
  BOOST_TEST(passed == 3);
  event.set();
  come();
  BOOST_TEST(passed == 4);
  event.clear();
  event.clear();
  BOOST_TEST(!event.is_set());
  come();
  run_until_blocked();
  BOOST_TEST(passed == 4);
  event.clear();  // while one waits
  event.set();
  group.join();
  BOOST_TEST(passed == 5);
}

WEFT_TEST_CASE(those_who_wait_are_woken_in_their_order) {
  Event event;
  std::string order;
  TaskGroup group;
  for (const char name : {'a', 'b', 'c'}) {
    group.spawn([&, name] {
      event.wait();
      order += name;
    });
  }
  run_until_blocked();
  event.set();
  group.join();
  BOOST_TEST(order == "abc");
}

WEFT_SHUFFLED_TEST_CASE(set_wakes_those_who_wait_though_it_is_cleared_before_they_run) {
  Event event;
  int passed = 0;
  TaskGroup group;
  for (int i = 0; i < 4; ++i) {
    spawn_now(group, [&, i] {
      i % 2 ? event.wait() : (void)(passed += event.wait_for(1s) - 1);
      ++passed;
      BOOST_TEST(!event.is_set());
    });
  }
  event.set();
  event.clear();
  auto late = spawn_now([&] { return event.wait_for(1s); });
  group.join();
  BOOST_TEST(passed == 4);
  BOOST_TEST(!late.get());
}

WEFT_SHUFFLED_TEST_CASE(one_that_is_set_already_does_not_make_wait) {
  Event event;
  event.set();
  auto other = spawn([] { BOOST_ERROR("it ran"); });
  event.wait();
  for (const Duration time : {-1s, 0s, 1s}) BOOST_TEST(event.wait_for(time));
  BOOST_TEST(event.wait_until(kPast));
  other.cancel();
}

// ---- Timeouts and cancellation ------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_wait_ends_when_its_time_is_over_and_not_before) {
  Event event;
  const TimePoint start = now();
  for (const Duration time : {Duration::min(), Duration(-1s), Duration(0)}) {
    BOOST_TEST(!event.wait_for(time));
  }
  BOOST_TEST(!event.wait_until(kPast));
  BOOST_TEST((now() == start));
  BOOST_TEST(!event.wait_for(1s));
  BOOST_TEST((now() == start + 1s));
  BOOST_TEST(!event.wait_until(start + 3s));
  BOOST_TEST((now() == start + 3s));
  BOOST_CHECK_THROW(with_timeout(1s, [&] { event.wait(); }), TimeoutError);
  BOOST_TEST((now() == start + 4s));
  auto setter = spawn([&] {
    sleep_for(1s);
    event.set();
  });
  BOOST_TEST(event.wait_for(1h));
  BOOST_TEST((now() == start + 5s));
  BOOST_TEST(Loop::here()->timers().empty());
}

WEFT_SHUFFLED_TEST_CASE(those_that_give_up_take_nothing_from_the_others) {
  Event event;
  auto cancelled = spawn_now([&] { event.wait(); });
  auto late = spawn_now([&] { return event.wait_for(1s); });
  auto patient = spawn_now([&] { return event.wait_for(3s); });
  auto also = spawn_now([&] { event.wait(); });
  sleep_for(2s);
  cancelled.cancel();
  event.set();  // before it has run
  BOOST_CHECK_THROW(cancelled.get(), TaskCancelled);
  BOOST_TEST(!late.get());
  BOOST_TEST(patient.get());
  also.get();
}

WEFT_SHUFFLED_TEST_CASE(an_event_that_all_have_given_up_on_still_works) {
  Event event;
  BOOST_TEST(!event.wait_for(1s));
  BOOST_TEST(!event.is_set());
  event.clear();
  BOOST_TEST(!event.wait_for(1s));
  event.set();
  BOOST_TEST(event.is_set());
  event.wait();
}

WEFT_SHUFFLED_TEST_CASE(who_is_cancelled_after_it_was_woken_sees_that_at_the_next_wait) {
  Event event;
  std::string log;
  auto task = spawn_now([&] {
    event.wait();
    log += 'w';
    event.wait();  // is set
    log += 'w';
    event.clear();
    for (const bool timed : {false, true}) {
      try {
        timed ? (void)event.wait_for(1s) : event.wait();
      } catch (const Cancelled&) {
        log += 'c';
      }
    }
  });
  event.set();
  task.cancel();
  task.wait();
  BOOST_TEST(log == "wwcc");
}

BOOST_AUTO_TEST_CASE(nobody_is_forgotten_at_the_instant_when_times_are_over) {
  int woken = 0, timed_out = 0, cancelled = 0;
  run_shuffled([&] {
    Event event;
    const TimePoint instant = now() + 1s;
    std::vector<Task<void>> tasks, others;
    for (int i = 0; i < 12; ++i) {
      tasks.push_back(spawn([&, i] {
        if (i % 2) sleep_until(instant);
        try {
          event.wait_until(i % 3 ? instant : kForever) ? ++woken : ++timed_out;
        } catch (const Cancelled&) {
          ++cancelled;
        }
      }));
      others.push_back(spawn([&, i] {
        sleep_until(instant);
        if (i % 4 == 0) tasks[i].cancel();
        if (i == 5) event.set();
        if (i % 4 == 3 && event.is_set()) event.clear(), event.set();
      }));
    }
    for (auto& other : others) other.get();
    for (auto& task : tasks) task.wait();
    BOOST_TEST(event.is_set());
  });
  BOOST_TEST(woken > bound(20, 3));
  BOOST_TEST(timed_out > bound(20, 3));
  BOOST_TEST(cancelled > bound(20, 3));
}

// ---- Threads ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_plain_thread_gives_up_when_the_time_is_over_and_not_before) {
  Event event;
  check_it_tries_in_vain([&](Duration time) { return event.wait_for(time); });
  event.set();
  BOOST_TEST(event.wait_for(-1s));
  event.wait();
}

BOOST_AUTO_TEST_CASE(a_plain_thread_wakes_a_fiber_that_waits) {
  Event event;
  Crowd crowd;
  int value = 0, seen = 0;
  auto waiter = crowd.start_until_it_waits(
      [&] {
        event.wait();
        seen = value;
      },
      "Event::wait");
  value = 1;
  event.set();
  event.clear();
  waiter.get();
  BOOST_TEST(seen == 1);
}

BOOST_AUTO_TEST_CASE(two_take_turns_whatever_they_are) {
  Crowd crowd;
  for (int kind = 0; kind < 5; ++kind) {
    Event ping, pong;
    int count = 0;  // not atomic: the events order the accesses
    std::atomic<int> wrong{0};
    crowd.run_two(
        kind,
        [&] {
          for (int i = 0; i < 500; ++i) {
            ping.wait();
            ping.clear();
            ++count;
            pong.set();
          }
        },
        [&] {
          for (int i = 0; i < 500; ++i) {
            ping.set();
            pong.wait();
            pong.clear();
            wrong += count != i + 1;
          }
        });
    BOOST_TEST(wrong == 0);
  }
}

// Relaxed, so that the event alone orders the accesses.
BOOST_AUTO_TEST_CASE(what_was_done_before_a_set_that_found_it_set_is_seen_after_clear) {
  Crowd crowd;
  Event event;
  event.set();
  int value = 0, seen = 0;
  std::atomic<bool> done{false};
  crowd.run_two(
      1,
      [&] {
        value = 1;
        event.set();
        done.store(true, std::memory_order_relaxed);
      },
      [&] {
        while (!done.load(std::memory_order_relaxed)) yield();
        event.clear();
        seen = event.is_set() ? 1 : value;
      });
  BOOST_TEST(seen == 1);
}

BOOST_AUTO_TEST_CASE(who_sees_it_set_may_destroy_it_while_set_is_on_its_way_out) {
  Crowd crowd;
  for (int round = 0; round < kRounds; ++round) {
    auto owned = std::make_unique<Event>();
    Event& event = *owned;
    std::atomic<int> users{2};
    const auto leave = [&] {
      if (--users == 0) owned.reset();
    };
    auto third = crowd.start([&] {
      event.wait();
      leave();
    });
    crowd.run_two(
        round,
        [&] {
          if (round % 2) {
            event.wait();
          } else {
            while (!event.is_set()) yield();
          }
          leave();
        },
        [&] {
          for (int pause = round % 8; pause > 0; --pause) yield();
          event.set();
        });
    third.get();
    BOOST_REQUIRE(!owned);
  }
}

BOOST_AUTO_TEST_CASE(no_set_is_lost_among_fibers_schedulers_and_threads) {
  const int turns = 2'000 / kScale;
  std::atomic<int> stuck{0}, timed_out{0};
  // A lock made of an event, set when it is free: one takes it by an exchange of its own.
  Event free;
  std::atomic<bool> taken{false};
  int count = 0;
  free.set();
  Crowd crowd;
  crowd.run_all([&](unsigned seed, Scheduler* elsewhere) {
    std::mt19937 random(stress_seed() + seed);
    for (int turn = 0; turn < turns && stuck == 0; ++turn) {
      while (taken.exchange(true)) {
        free.clear();
        if (!taken) free.set();  // it was freed between the two
        const unsigned choice = random() % 8;
        if (choice == 0) {
          auto task = spawn([&] { free.wait(); }, {.on = elsewhere});
          for (unsigned pause = random() % 4; pause > 0; --pause) yield();
          task.cancel();
          task.wait();
        } else if (choice == 1) {
          timed_out += !free.wait_for(Duration(random() % 20'000));
        } else if (!free.wait_for(20s)) {
          ++stuck;
          return;
        }
      }
      ++count;
      if (turn % 2) yield();
      taken = false;
      free.set();
    }
  });
  BOOST_TEST(stuck == 0);
  BOOST_TEST(count == turns * Crowd::kWorkers);
  BOOST_TEST_MESSAGE(count << " turns, " << timed_out << " timed out");
}

BOOST_AUTO_TEST_SUITE_END()
