#include "weft/sync/semaphore.h"

#include <atomic>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/bound.h"
#include "tests/support/crowd.h"
#include "tests/support/fixture.h"
#include "tests/support/together.h"
#include "weft/fiber/core/loop.h"

BOOST_AUTO_TEST_SUITE(semaphore)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

int take_all(Semaphore& semaphore) {
  int taken = 0;
  while (semaphore.try_acquire()) ++taken;
  return taken;
}

}  // namespace

WEFT_SHUFFLED_TEST_CASE(so_many_hold_a_permit_as_there_are) {
  Semaphore semaphore(3);
  int holders = 0, most = 0;
  TaskGroup group;
  for (int i = 0; i < 10; ++i) {
    group.spawn([&, i] {
      for (int turn = 0; turn < 3; ++turn) {
        semaphore.acquire();
        most = std::max(most, ++holders);
        i % 2 ? yield() : sleep_for(1s);
        --holders;
        semaphore.release();
      }
    });
  }
  group.join();
  BOOST_TEST(most == 3);
  BOOST_TEST(take_all(semaphore) == 3);
}

WEFT_TEST_CASE(a_permit_goes_to_whoever_waited_longest) {
  Semaphore semaphore(0);
  std::string order;
  TaskGroup group;
  for (const char name : {'a', 'b', 'c', 'd', 'e'}) {
    group.spawn([&, name] {
      semaphore.acquire();
      order += name;
    });
  }
  run_until_blocked();
  semaphore.release();
  semaphore.release();
  run_until_blocked();
  BOOST_TEST(order == "ab");
  semaphore.release(2);
  run_until_blocked();
  BOOST_TEST(order == "abcd");
  semaphore.release(3);
  group.join();
  BOOST_TEST(order == "abcde");
  BOOST_TEST(take_all(semaphore) == 2);
}

WEFT_SHUFFLED_TEST_CASE(nobody_overtakes) {
  Semaphore semaphore(0);
  bool got = false;
  auto waiter = spawn_now([&] {
    semaphore.acquire();
    got = true;
    sleep_for(1s);
    semaphore.release();
  });
  semaphore.release();
  BOOST_TEST(!got);  // it was offered to the waiter, though that has not run yet
  BOOST_TEST(!semaphore.try_acquire_for(0s));
  BOOST_TEST(!semaphore.try_acquire_for(999ms));
  semaphore.acquire();
  BOOST_TEST(got);
  waiter.get();
}

WEFT_SHUFFLED_TEST_CASE(what_is_there_is_taken_without_waiting) {
  Semaphore semaphore(5);
  auto other = spawn([] { BOOST_ERROR("it ran"); });
  semaphore.acquire();
  BOOST_TEST(semaphore.try_acquire());
  BOOST_TEST(semaphore.try_acquire_for(-1s));
  BOOST_TEST(semaphore.try_acquire_for(1s));
  BOOST_TEST(semaphore.try_acquire_until(kPast));
  BOOST_TEST(!semaphore.try_acquire());
  other.cancel();
}

// ---- Several at once, and offers ----------------------------------------------------------------

WEFT_ANY_ORDER_TEST_CASE(permits_of_several_can_be_taken_in_any_order) {
  lock_two_in_opposite_orders<Permit, Permit>(7);
  lock_three_in_rotation<Permit>();
  transfer_between_accounts<Permit>();
  dine<Permit>();
  back_off<Permit>(true);
  back_off<Permit>(false);
}

WEFT_ANY_ORDER_TEST_CASE(two_of_several_permits_can_be_taken_in_any_order) {
  Semaphore a(3), b(3);
  int failed = 0, done = 0;
  TaskGroup group;
  for (int i = 0; i < 40; ++i) {
    group.spawn([&, i] {
      Semaphore& first = i % 2 ? a : b;
      Semaphore& second = i % 2 ? b : a;
      for (;; first.release()) {
        first.acquire();
        if (second.try_acquire()) break;
        if (++failed > 1000) throw std::runtime_error("a thousand tries have failed");
      }
      sleep_for(1ms);
      a.release();
      b.release();
      ++done;
    });
  }
  group.join();
  BOOST_TEST(done == 40);
  BOOST_TEST((take_all(a) == 3 && take_all(b) == 3));
}

WEFT_ANY_ORDER_TEST_CASE(a_try_takes_the_last_offer_and_the_heir_keeps_its_place) {
  for (const bool heirs_run : {false, true}) {
    Semaphore semaphore(0);
    std::string order;
    TaskGroup group;
    for (const char name : std::string("abcde")) {
      spawn_now(group, [&, name] {
        semaphore.acquire();
        order += name;
      });
    }
    semaphore.release(4);
    BOOST_TEST(semaphore.try_acquire());
    BOOST_TEST(semaphore.try_acquire());
    BOOST_TEST(semaphore.try_acquire());
    if (heirs_run) {
      run_until_blocked();
      BOOST_TEST(order == "a");
    }
    semaphore.release();
    run_until_blocked();
    BOOST_TEST((order == "ab" || (!heirs_run && order == "ba")));
    semaphore.release();
    run_until_blocked();
    BOOST_TEST(order.substr(2) == "c");
    semaphore.release();
    run_until_blocked();
    BOOST_TEST(order.substr(2) == "cd");
    semaphore.release();
    group.join();
    BOOST_TEST(order.substr(2) == "cde");
    BOOST_TEST(take_all(semaphore) == 0);
  }
}

WEFT_ANY_ORDER_TEST_CASE(free_permits_are_taken_before_offers) {
  Semaphore semaphore(0);
  bool got = false;
  auto heir = spawn_now([&] {
    semaphore.acquire();
    got = true;
  });
  semaphore.release(3);
  BOOST_TEST(semaphore.try_acquire());
  semaphore.acquire();  // without waiting
  BOOST_TEST(!got);
  BOOST_TEST(semaphore.try_acquire());  // the heir's
  BOOST_TEST(!semaphore.try_acquire());
  semaphore.release(2);
  heir.get();
  BOOST_TEST(take_all(semaphore) == 1);
}

WEFT_ANY_ORDER_TEST_CASE(one_that_was_passed_over_may_give_up_and_no_permit_is_lost) {
  for (const bool by_time : {false, true}) {
    Semaphore semaphore(0);
    auto heir = spawn_now([&] {
      if (!by_time) semaphore.acquire();
      BOOST_TEST(!semaphore.try_acquire_for(1s));
    });
    bool got = false;
    auto next = spawn_now([&] {
      semaphore.acquire();
      got = true;
    });
    semaphore.release();
    BOOST_TEST(semaphore.try_acquire());
    if (!by_time) heir.cancel();
    sleep_for(2s);
    BOOST_TEST((heir.done() && !got));
    semaphore.release();
    next.get();
    heir.wait();
    BOOST_TEST(take_all(semaphore) == 0);
  }
}

WEFT_TEST_CASE(tries_without_end_pass_over_a_waiter_only_so_often) {
  wait_beside_one_that_keeps_trying<Permit>();
}

WEFT_TEST_CASE(more_permits_than_fit_are_refused_also_while_one_is_offered) {
  Semaphore semaphore(0);
  auto heir = spawn_now([&] { semaphore.acquire(); });
  semaphore.release(kMax);
  BOOST_CHECK_THROW(semaphore.release(2), std::overflow_error);
  semaphore.release(1);
  heir.get();
}

// ---- Timeouts -----------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_try_ends_when_its_time_is_over_and_not_before) {
  Semaphore semaphore(0);
  const TimePoint start = now();
  for (const Duration time : {Duration::min(), Duration(-1s), Duration(0)}) {
    BOOST_TEST(!semaphore.try_acquire_for(time));
  }
  BOOST_TEST(!semaphore.try_acquire_until(kPast));
  BOOST_TEST((now() == start));
  BOOST_TEST(!semaphore.try_acquire_for(1s));
  BOOST_TEST((now() == start + 1s));
  BOOST_CHECK_THROW(with_timeout(1s, [&] { semaphore.acquire(); }), TimeoutError);
  BOOST_TEST((now() == start + 2s));
  auto releaser = spawn([&] {
    sleep_for(1s);
    semaphore.release();
  });
  BOOST_TEST(semaphore.try_acquire_for(1h));
  BOOST_TEST((now() == start + 3s));
  BOOST_TEST(Loop::here()->timers().empty());
  semaphore.release();
  BOOST_TEST(take_all(semaphore) == 1);
}

WEFT_SHUFFLED_TEST_CASE(those_that_give_up_make_room_for_the_next) {
  Semaphore semaphore(0);
  int got = 0;
  TaskGroup group;
  for (int i = 0; i < 9; ++i) {
    spawn_now(group, [&, i] {
      if (i % 3 == 0) got += semaphore.try_acquire_for(1s);
      if (i % 3 == 1) {
        semaphore.acquire();
        ++got;
      }
      if (i % 3 == 2) {
        BOOST_CHECK_THROW(with_timeout(1s, [&] { semaphore.acquire(); }), TimeoutError);
      }
    });
  }
  sleep_for(2s);
  semaphore.release(2);
  run_until_blocked();
  BOOST_TEST(got == 2);
  semaphore.release(2);
  group.join();
  BOOST_TEST(got == 3);
  BOOST_TEST(take_all(semaphore) == 1);
}

BOOST_AUTO_TEST_CASE(no_permit_is_lost_to_those_who_give_up_at_the_same_instant) {
  int all_got = 0, missed = 0, cancelled = 0;
  run_shuffled([&] {
    Semaphore semaphore(0);
    const TimePoint instant = now() + 1s;
    int got = 0;
    std::vector<Task<void>> tasks, others;
    for (int i = 0; i < 12; ++i) {
      tasks.push_back(spawn([&, i] {
        if (i % 2) sleep_until(instant);
        try {
          semaphore.try_acquire_until(i % 3 ? instant : kForever) ? ++got : ++missed;
        } catch (const Cancelled&) {
          ++cancelled;
        }
      }));
      others.push_back(spawn([&, i] {
        sleep_until(instant);
        i % 2 ? semaphore.release() : tasks[i].cancel();
      }));
    }
    for (auto& other : others) other.get();
    run_until_blocked();
    const int left = take_all(semaphore);
    BOOST_TEST(got + left == 6);
    for (auto& task : tasks) {
      BOOST_TEST((task.done() || left == 0));
      task.cancel();
      task.wait();
    }
    all_got += got;
  });
  BOOST_TEST(all_got > bound(20, 3));
  BOOST_TEST(missed > bound(20, 3));
  BOOST_TEST(cancelled > bound(20, 3));
}

// ---- Cancellation -------------------------------------------------------------------------------

// asyncio lost it (its #90155).
WEFT_SHUFFLED_TEST_CASE(the_permit_of_one_that_was_cancelled_goes_to_the_next_in_line) {
  Semaphore semaphore(0);
  std::string got;
  const auto wait = [&](char name) {
    return spawn_now([&, name] {
      semaphore.acquire();
      got += name;
    });
  };
  auto a = wait('a'), b = wait('b'), c = wait('c'), d = wait('d');
  a.cancel();
  semaphore.release();  // before it has run
  c.cancel();
  auto e = wait('e');
  run_until_blocked();
  BOOST_TEST(got == "b");
  semaphore.release();
  run_until_blocked();
  BOOST_TEST(!semaphore.try_acquire());
  BOOST_TEST(got == "bd");
  semaphore.release();
  e.get();
  BOOST_TEST(got == "bde");
  BOOST_CHECK_THROW(a.get(), TaskCancelled);
  BOOST_CHECK_THROW(c.get(), TaskCancelled);
  BOOST_TEST(take_all(semaphore) == 0);
}

WEFT_SHUFFLED_TEST_CASE(who_is_cancelled_after_it_was_handed_a_permit_has_it) {
  Semaphore semaphore(0);
  std::string log;
  auto first = spawn_now([&] {
    semaphore.acquire();
    log += 'p';
    try {
      semaphore.acquire();
    } catch (const Cancelled&) {
      log += 'c';
      semaphore.release();
    }
  });
  auto second = spawn_now([&] {
    semaphore.acquire();
    log += 's';
  });
  semaphore.release();
  first.cancel();
  second.get();
  BOOST_TEST(log == "pcs");
  BOOST_TEST(take_all(semaphore) == 0);
}

WEFT_SHUFFLED_TEST_CASE(a_cancelled_fiber_takes_what_is_there_and_waits_for_nothing_else) {
  Semaphore semaphore(1);
  std::string log;
  auto task = spawn_now([&] {
    for (const int turn : {1, 2, 3, 4}) {
      try {
        turn == 1 ? sleep_for(1h) : semaphore.acquire();
        log += 'p';
      } catch (const Cancelled&) {
        log += 'c';
      }
    }
    shield([&] { semaphore.acquire(); });
    log += 's';
  });
  task.cancel();
  run_until_blocked();
  BOOST_TEST(log == "cpcc");
  semaphore.release();
  task.wait();
  BOOST_TEST(log == "cpccs");
}

// ---- Edges --------------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(there_are_no_negative_permits) {
  BOOST_CHECK_THROW(Semaphore(-1), std::invalid_argument);
  Semaphore semaphore(1);
  BOOST_CHECK_THROW(semaphore.release(-1), std::invalid_argument);
  semaphore.release(0);
  BOOST_TEST(take_all(semaphore) == 1);
  bool got = false;
  auto waiter = spawn_now([&] {
    semaphore.acquire();
    got = true;
  });
  BOOST_CHECK_THROW(semaphore.release(-1), std::invalid_argument);
  semaphore.release(0);
  run_until_blocked();
  BOOST_TEST(!got);
  semaphore.release();
  waiter.get();
}

WEFT_SHUFFLED_TEST_CASE(there_are_at_most_as_many_permits_as_can_be_counted) {
  Semaphore full(kMax);
  BOOST_CHECK_THROW(full.release(), std::overflow_error);
  BOOST_CHECK_THROW(full.release(kMax), std::overflow_error);
  BOOST_TEST(full.try_acquire());
  BOOST_CHECK_THROW(full.release(2), std::overflow_error);
  full.release();
  BOOST_CHECK_THROW(full.release(), std::overflow_error);

  Semaphore empty(0);
  int got = 0;
  TaskGroup group;
  for (int i = 0; i < 2; ++i) {
    spawn_now(group, [&] {
      empty.acquire();
      ++got;
    });
  }
  empty.release(kMax);  // two of them are handed over
  group.join();
  BOOST_TEST(got == 2);
  empty.release(2);
  BOOST_CHECK_THROW(empty.release(), std::overflow_error);
}

// ---- Threads ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_plain_thread_gives_up_when_the_time_is_over_and_not_before) {
  Semaphore semaphore(0);
  check_it_tries_in_vain([&](Duration time) { return semaphore.try_acquire_for(time); });
  semaphore.release();
  BOOST_TEST(semaphore.try_acquire_for(-1s));
  BOOST_TEST(!semaphore.try_acquire());
}

BOOST_AUTO_TEST_CASE(two_take_turns_whatever_they_are) {
  Crowd crowd;
  for (int kind = 0; kind < 5; ++kind) {
    Semaphore ping(0), pong(0);
    int count = 0;  // not atomic: the permits order the accesses
    std::atomic<int> wrong{0};
    crowd.run_two(
        kind,
        [&] {
          for (int i = 0; i < 500; ++i) {
            ping.acquire();
            ++count;
            pong.release();
          }
        },
        [&] {
          for (int i = 0; i < 500; ++i) {
            ping.release();
            pong.acquire();
            wrong += count != i + 1;
          }
        });
    BOOST_TEST(wrong == 0);
  }
}

BOOST_AUTO_TEST_CASE(the_one_that_was_woken_may_destroy_it_while_release_is_on_its_way_out) {
  Crowd crowd;
  for (int round = 0; round < kRounds; ++round) {
    auto owned = std::make_unique<Semaphore>(0);
    Semaphore& semaphore = *owned;
    std::atomic<int> users{2};
    const auto take = [&] {
      semaphore.acquire();
      if (--users == 0) owned.reset();
    };
    auto third = crowd.start(take);
    crowd.run_two(round, take, [&] {
      for (int pause = round % 8; pause > 0; --pause) yield();
      if (round % 2) semaphore.release();
      semaphore.release(round % 2 ? 1 : 2);
    });
    third.get();
    BOOST_REQUIRE(!owned);
  }
}

BOOST_AUTO_TEST_CASE(no_permit_is_lost_among_fibers_schedulers_and_threads) {
  constexpr int kPermits = 3;
  Semaphore semaphore(kPermits);
  std::atomic<int> holders{0}, too_many{0};
  Crowd crowd;
  const int in_vain = crowd.stress(20'000 / kScale, [&](TimePoint deadline, bool linger, unsigned) {
    if (!semaphore.try_acquire_until(deadline)) return false;
    too_many += ++holders > kPermits;
    if (linger) yield();
    --holders;
    semaphore.release();
    return true;
  });
  BOOST_TEST(too_many == 0);
  BOOST_TEST(in_vain > 0);
  BOOST_TEST(take_all(semaphore) == kPermits);
}

BOOST_AUTO_TEST_SUITE_END()
