#include "weft/sync/barrier.h"

#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

#include "tests/support/bound.h"
#include "tests/support/crowd.h"
#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(barrier)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

WEFT_SHUFFLED_TEST_CASE(nobody_goes_on_before_all_have_arrived) {
  constexpr int kParties = 4;
  Barrier barrier(kParties);
  int arrived = 0, passed = 0, last = 0;
  TaskGroup group;
  const auto come = [&] {
    spawn_now(group, [&] {
      ++arrived;
      last += barrier.arrive_and_wait();
      BOOST_TEST(arrived == kParties);
      ++passed;
    });
  };
  for (int i = 1; i < kParties; ++i) come();
  run_until_blocked();
  BOOST_TEST(passed == 0);
  come();
  BOOST_TEST(last == 1);  // it did not wait
  group.join();
  BOOST_TEST(passed == kParties);
  BOOST_TEST(last == 1);
}

WEFT_SHUFFLED_TEST_CASE(it_can_be_used_round_after_round) {
  constexpr int kParties = 5, kTurns = 6;
  Barrier barrier(kParties);
  std::array<int, kTurns> arrived{}, last{};
  TaskGroup group;
  for (int i = 0; i < kParties; ++i) {
    group.spawn([&, i] {
      for (int turn = 0; turn < kTurns; ++turn) {
        ++arrived[turn];
        last[turn] += barrier.arrive_and_wait();
        BOOST_TEST(arrived[turn] == kParties);
        (i + turn) % 3 ? yield() : sleep_for(i * 1s);
      }
    });
  }
  group.join();
  for (const int count : last) BOOST_TEST(count == 1);
}

WEFT_SHUFFLED_TEST_CASE(more_fibers_than_parties_pass_in_rounds) {
  Barrier barrier(3);
  int passed = 0, last = 0;
  TaskGroup group;
  for (int i = 0; i < 9; ++i) {
    group.spawn([&] {
      last += barrier.arrive_and_wait();
      ++passed;
    });
  }
  group.join();
  BOOST_TEST(passed == 9);
  BOOST_TEST(last == 3);
}

WEFT_SHUFFLED_TEST_CASE(one_alone_passes_at_once) {
  Barrier barrier(1);
  auto other = spawn([] { BOOST_ERROR("it ran"); });
  for (int i = 0; i < 3; ++i) BOOST_TEST(barrier.arrive_and_wait());
  other.cancel();
}

WEFT_TEST_CASE(there_is_no_barrier_for_nobody) {
  BOOST_CHECK_THROW(Barrier(0), std::invalid_argument);
  BOOST_CHECK_THROW(Barrier(-1), std::invalid_argument);
}

// ---- Cancellation -------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(who_is_cancelled_has_not_arrived) {
  Barrier barrier(2);
  auto cancelled = spawn_now([&] { barrier.arrive_and_wait(); });
  cancelled.cancel();
  BOOST_CHECK_THROW(cancelled.get(), TaskCancelled);
  BOOST_CHECK_THROW(with_timeout(1s, [&] { barrier.arrive_and_wait(); }), TimeoutError);
  auto first = spawn_now([&] { return barrier.arrive_and_wait(); });
  run_until_blocked();
  BOOST_TEST(!first.done());
  BOOST_TEST(barrier.arrive_and_wait());
  BOOST_TEST(!first.get());
}

WEFT_SHUFFLED_TEST_CASE(one_that_is_cancelled_already_arrives_only_as_the_last) {
  Barrier barrier(2);
  int thrown = 0;
  bool passed = false;
  auto cancelled = spawn_now([&] {
    try {
      sleep_for(1h);
    } catch (const Cancelled&) {
    }
    for (int i = 0; i < 3; ++i) {
      try {
        barrier.arrive_and_wait();
      } catch (const Cancelled&) {
        ++thrown;
      }
    }
    shield([&] { sleep_for(1s); });
    passed = barrier.arrive_and_wait();
  });
  cancelled.cancel();
  run_until_blocked();
  BOOST_TEST(thrown == 3);
  BOOST_TEST(!barrier.arrive_and_wait());
  cancelled.get();
  BOOST_TEST(passed);
}

WEFT_SHUFFLED_TEST_CASE(who_is_cancelled_after_the_barrier_opened_has_passed) {
  Barrier barrier(2);
  bool passed = false, seen = false;
  auto task = spawn_now([&] {
    passed = !barrier.arrive_and_wait();
    try {
      yield();
    } catch (const Cancelled&) {
      seen = true;
    }
  });
  BOOST_TEST(barrier.arrive_and_wait());
  task.cancel();
  task.wait();
  BOOST_TEST(passed);
  BOOST_TEST(seen);
}

WEFT_SHUFFLED_TEST_CASE(an_arrival_is_not_taken_back_twice_where_the_barrier_opens_before_that) {
  Barrier barrier(3);
  auto cancelled = spawn_now([&] { barrier.arrive_and_wait(); });
  auto waits = spawn_now([&] { barrier.arrive_and_wait(); });
  cancelled.cancel();
  BOOST_TEST(barrier.arrive_and_wait());  // before it has run
  BOOST_CHECK_THROW(cancelled.get(), TaskCancelled);
  waits.get();
  auto a = spawn_now([&] { return barrier.arrive_and_wait(); });
  auto b = spawn_now([&] { return barrier.arrive_and_wait(); });
  run_until_blocked();
  BOOST_TEST((!a.done() && !b.done()));
  BOOST_TEST(barrier.arrive_and_wait());
  BOOST_TEST((!a.get() && !b.get()));
}

WEFT_SHUFFLED_TEST_CASE(a_destructor_called_by_unwinding_may_wait) {
  Barrier barrier(2);
  bool passed = false;
  struct Arrives {
    Barrier& barrier;
    bool& passed;
    ~Arrives() { passed = !barrier.arrive_and_wait(); }
  };
  auto task = spawn_now([&] {
    const Arrives arrives{barrier, passed};
    sleep_for(1h);
  });
  task.cancel();
  run_until_blocked();
  BOOST_TEST(!task.done());
  BOOST_TEST(barrier.arrive_and_wait());
  task.wait();
  BOOST_TEST(passed);
}

BOOST_AUTO_TEST_CASE(arrivals_cancelled_at_random_leave_a_barrier_that_counts_right) {
  int all_passed = 0, all_cancelled = 0;
  run_shuffled([&] {
    constexpr int kParties = 3;
    Barrier barrier(kParties);
    int passed = 0, last = 0, cancelled = 0;
    std::vector<Task<void>> tasks, cancellers;
    const auto come = [&](Duration wait) {
      tasks.push_back(spawn([&, wait] {
        try {
          sleep_for(wait);
          last += barrier.arrive_and_wait();
          ++passed;
        } catch (const Cancelled&) {
          ++cancelled;
        }
      }));
    };
    for (int i = 0; i < 10; ++i) come(1ms);
    for (int i = 0; i < 10; i += 2) {
      cancellers.push_back(spawn([&, i] {
        sleep_for(1ms);
        tasks[i].cancel();
      }));
    }
    for (auto& canceller : cancellers) canceller.get();
    run_until_blocked();
    const int waiting = 10 - passed - cancelled;
    BOOST_TEST(waiting < kParties);
    BOOST_TEST(passed <= kParties * last);
    BOOST_TEST(passed + cancelled >= kParties * last);
    const int rounds = last;
    for (int missing = kParties - waiting; missing > 0; --missing) {
      BOOST_TEST(last == rounds);
      come(0ms);
      run_until_blocked();
    }
    BOOST_TEST(last == rounds + 1);
    for (auto& task : tasks) BOOST_TEST(task.done());
    all_passed += passed;
    all_cancelled += cancelled;
  });
  BOOST_TEST(all_passed > bound(100, 15));
  BOOST_TEST(all_cancelled > bound(100, 15));
}

// ---- Threads ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(two_meet_whatever_they_are) {
  Crowd crowd;
  for (int kind = 0; kind < 5; ++kind) {
    Barrier barrier(2);
    std::atomic<int> last{0};
    const auto meet = [&] {
      for (int i = 0; i < 200; ++i) last += barrier.arrive_and_wait();
    };
    crowd.run_two(kind, meet, meet);
    BOOST_TEST(last == 200);
  }
}

BOOST_AUTO_TEST_CASE(a_plain_thread_lets_a_fiber_pass_that_waits) {
  Barrier barrier(2);
  Crowd crowd;
  bool last = true;
  auto waiter = crowd.start_until_it_waits([&] { last = barrier.arrive_and_wait(); },
                                           "Barrier::arrive_and_wait");
  BOOST_TEST(barrier.arrive_and_wait());
  waiter.get();
  BOOST_TEST(!last);
}

BOOST_AUTO_TEST_CASE(one_that_was_let_through_may_destroy_it_while_the_last_is_on_its_way_out) {
  Crowd crowd;
  for (int round = 0; round < kRounds; ++round) {
    auto owned = std::make_unique<Barrier>(3);
    Barrier& barrier = *owned;
    std::atomic<int> users{2};
    const auto arrive = [&] {
      if (!barrier.arrive_and_wait() && --users == 0) owned.reset();
    };
    auto third = crowd.start(arrive);
    crowd.run_two(round, arrive, [&] {
      for (int pause = round % 8; pause > 0; --pause) yield();
      arrive();
    });
    third.get();
    BOOST_REQUIRE(!owned);
  }
}

BOOST_AUTO_TEST_CASE(fibers_schedulers_and_threads_see_what_each_did_before_it_arrived) {
  const int turns = 2'000 / kScale;
  Barrier barrier(Crowd::kWorkers);
  std::array<int, Crowd::kWorkers + 1> done{};  // not atomic: the barrier orders the accesses
  std::atomic<int> last{0}, wrong{0};
  Crowd crowd;
  crowd.run_all([&](unsigned seed, Scheduler*) {
    std::mt19937 random(stress_seed() + seed);
    for (int turn = 1; turn <= turns; ++turn) {
      for (unsigned pause = random() % 4; pause > 0; --pause) yield();
      done[seed] = turn;
      last += barrier.arrive_and_wait();
      for (int i = 1; i <= Crowd::kWorkers; ++i) wrong += done[i] != turn;
      last += barrier.arrive_and_wait();
    }
  });
  BOOST_TEST(wrong == 0);
  BOOST_TEST(last == 2 * turns);
}

BOOST_AUTO_TEST_CASE(arrivals_cancelled_from_other_threads_are_taken_back) {
  const int turns = 1'000 / kScale;
  Barrier barrier(2);
  Crowd crowd;
  std::atomic<int> last{0}, cancelled{0};
  for (int turn = 0; turn < turns; ++turn) {
    auto task = crowd.start([&] {
      try {
        last += barrier.arrive_and_wait();
      } catch (const Cancelled&) {
        ++cancelled;
      }
    });
    for (int pause = turn % 8; pause > 0; --pause) yield();
    task.cancel();
    task.wait();
  }
  BOOST_TEST(last == 0);
  crowd.run_two(
      1, [&] { last += barrier.arrive_and_wait(); }, [&] { last += barrier.arrive_and_wait(); });
  BOOST_TEST(last == 1);
  BOOST_TEST_MESSAGE(cancelled << " cancelled in the barrier");
}

BOOST_AUTO_TEST_SUITE_END()
