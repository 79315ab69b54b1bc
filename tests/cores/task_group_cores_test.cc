// Groups whose children are on several schedulers.

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/failure.h"
#include "tests/support/fixture.h"
#include "weft/fiber/core/context.h"
#include "weft/fiber/task_group.h"

BOOST_AUTO_TEST_SUITE(task_group_cores)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// Sleeps until it is cancelled, and counts that.
auto sleeper(std::atomic<int>& cancelled) {
  return when_cancelled([&cancelled] {
    ++cancelled;
    throw;
  });
}

#if defined(WEFT_TSAN) || defined(WEFT_ASAN)
constexpr int kMany = 1'000;
#else
constexpr int kMany = 10'000;
#endif

}  // namespace

// ---- Joining ------------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(join_waits_for_the_children_of_all_schedulers) {
  const TimePoint start = now();
  std::atomic<int> ended{0};
  TaskGroup group;
  for (std::size_t i = 0; i < 9; ++i)
    group.spawn([&, i] { sleep_for(i * 1s), ++ended; }, on(i % 3));
  group.join();
  BOOST_TEST(ended == 9);
  BOOST_TEST((now() == start + 8s));
}

WEFT_CORES_TEST_CASE(who_joins_sees_what_the_children_did) {
  for (int round = 0; round < 100; ++round) {
    std::array<int, 6> written{};
    TaskGroup group;
    for (std::size_t i = 0; i < 6; ++i) group.spawn([&, i] { written[i] = 7; }, on(i % 3));
    group.join();
    for (const int value : written) BOOST_REQUIRE(value == 7);
  }
}

WEFT_CORES_TEST_CASE(another_scheduler_than_that_which_made_it_may_join_a_group) {
  std::atomic<int> ended{0};
  TaskGroup group;
  for (const std::size_t there : {1, 2, 0}) {
    for (std::size_t i = 0; i < 3; ++i) group.spawn([&] { sleep_for(1s), ++ended; }, on(i));
    group.spawn([] { throw Failure("there"); }, on(2));
    auto joiner = spawn(
        [&] {
          try {
            group.join();
          } catch (const Failure&) {
            return true;
          }
          return false;
        },
        on(there));
    BOOST_TEST(joiner.get());
    group.join();
  }
  BOOST_TEST(ended <= 9);
}

WEFT_CORES_TEST_CASE(a_child_on_any_scheduler_cannot_join_its_own_group) {
  std::atomic<int> refused{0};
  TaskGroup group;
  for (const std::size_t i : {0, 1, 2}) {
    group.spawn(
        [&] {
          try {
            group.join();
          } catch (const std::logic_error&) {
            ++refused;
          }
        },
        on(i));
  }
  group.join();
  BOOST_TEST(refused == 3);
}

WEFT_CORES_TEST_CASE(a_cancelled_join_waits_for_the_children_of_elsewhere) {
  std::atomic<int> cancelled{0};
  std::atomic<bool> all_left{false};
  auto parent = spawn(
      [&] {
        TaskGroup group;
        group.spawn(sleeper(cancelled), on(0));
        group.spawn(sleeper(cancelled), on(2));
        try {
          group.join();
        } catch (const Cancelled&) {
          all_left = cancelled == 2;
          throw;
        }
      },
      on(1));
  run_until_blocked();
  parent.cancel();
  BOOST_CHECK_THROW(parent.get(), TaskCancelled);
  BOOST_TEST(all_left);
}

// ---- Failures -----------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(the_first_failure_cancels_the_children_of_all_schedulers) {
  for (const std::size_t failing : {0, 1, 2}) {
    const TimePoint start = now();
    std::atomic<int> cancelled{0};
    TaskGroup group;
    for (std::size_t i = 0; i < 6; ++i) group.spawn(sleeper(cancelled), on(i % 3));
    group.spawn(
        [] {
          sleep_for(1s);
          throw Failure("first");
        },
        on(failing));
    BOOST_CHECK_EXCEPTION(group.join(), Failure, says("first"));
    BOOST_TEST(cancelled == 6);
    BOOST_TEST((now() == start + 1s));
    group.join();
  }
}

WEFT_CORES_TEST_CASE(of_failures_at_once_one_is_thrown) {
  for (int round = 0; round < 50; ++round) {
    TaskGroup group;
    for (const std::size_t i : {0, 1, 2}) {
      group.spawn(
          [i] {
            sleep_for(1s);
            throw Failure(std::to_string(i));
          },
          on(i));
    }
    BOOST_CHECK_THROW(group.join(), Failure);
    group.join();
  }
}

WEFT_CORES_TEST_CASE(join_waits_for_the_cleanup_of_the_cancelled_of_elsewhere) {
  const TimePoint start = now();
  std::atomic<int> cleaned{0};
  TaskGroup group;
  for (const std::size_t i : {0, 1, 2}) {
    group.spawn(when_cancelled([&, i] {
                  shield([i] { sleep_for((i + 1) * 1s); });
                  ++cleaned;
                }),
                on(i));
  }
  group.spawn([] { throw Failure("first"); }, on(1));
  BOOST_CHECK_THROW(group.join(), Failure);
  BOOST_TEST(cleaned <= 3);  // one that had not begun has nothing to clean up
  BOOST_TEST((now() <= start + 3s));
  BOOST_TEST(count_fibers() == 1u);
}

WEFT_CORES_TEST_CASE(a_failure_elsewhere_that_no_join_threw_reaches_the_handler_of_who_destroys) {
  Unhandled told;
  {
    TaskGroup group;
    group.spawn([] { throw Failure("kept"); }, on(1));
    sleep_for(1s);
    BOOST_TEST(told.said == "");
  }
  BOOST_TEST(told.said == "kept");
}

// ---- Cancelling ---------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(any_scheduler_may_cancel_the_children_of_all) {
  for (const std::size_t there : {0, 1, 2}) {
    const TimePoint start = now();
    std::atomic<int> cancelled{0};
    TaskGroup group;
    for (std::size_t i = 0; i < 6; ++i) group.spawn(sleeper(cancelled), on(i % 3));
    run_until_blocked();
    spawn([&] { group.cancel(); }, on(there)).get();
    group.join();
    BOOST_TEST(cancelled == 6);
    BOOST_TEST((now() < start + 1s));
  }
}

WEFT_CORES_TEST_CASE(what_is_spawned_after_the_cancellation_is_refused_on_any_scheduler) {
  std::atomic<int> ran{0};
  TaskGroup group;
  group.spawn([] { shield([] { sleep_for(1s); }); }, on(1));
  run_until_blocked();
  group.cancel();
  for (const std::size_t i : {0, 1, 2}) {
    BOOST_CHECK_THROW(group.spawn([&] { ++ran; }, on(i)), std::runtime_error);
  }
  group.join();
  BOOST_TEST(ran == 0);
  for (const std::size_t i : {0, 1, 2}) group.spawn([&] { ++ran; }, on(i));
  group.join();
  BOOST_TEST(ran == 3);
}

WEFT_CORES_TEST_CASE(the_destructor_cancels_and_joins_the_children_of_all_schedulers) {
  std::atomic<int> left{0};
  for (const std::size_t there : {0, 1, 2}) {
    auto group = std::make_unique<TaskGroup>();
    for (const std::size_t i : {0, 1, 2}) {
      group->spawn(when_cancelled([&] {
                     shield([] { sleep_for(1s); });
                     ++left;
                   }),
                   on(i));
    }
    run_until_blocked();
    spawn([group = std::move(group)] {}, on(there)).get();
    BOOST_TEST(left == 3);
    left = 0;
  }
}

WEFT_CORES_TEST_CASE(a_cancellation_may_race_with_spawns_and_ends) {
  std::atomic<int> begun{0}, ended{0};
  for (int round = 0; round < 100; ++round) {
    TaskGroup group;
    const auto child = [&] {
      ++begun;
      const CountAtEnd ends(ended);
      yield();
      sleep_for(1us);
    };
    std::vector<Task<void>> tasks;
    for (const std::size_t i : {0, 1, 2}) {
      tasks.push_back(spawn(
          [&, i, round] {
            for (int n = 0; n < 10; ++n) {
              try {
                group.spawn(child, on((i + 1) % 3));
              } catch (const std::runtime_error&) {  // it is shutting down
              }
              if (n % 3 == 0) sleep_for(1ns);
              if (n == round % 10) group.cancel();
            }
          },
          on(i)));
    }
    for (auto& task : tasks) task.get();
    group.join();
    BOOST_REQUIRE(begun == ended);
  }
  BOOST_TEST(begun > 0);
}

// ---- Many ---------------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(children_of_all_schedulers_may_start_siblings_everywhere) {
  std::atomic<int> ended{0};
  TaskGroup group;
  std::function<void(int)> grow = [&](int depth) {
    for (std::size_t i = 0; i < 3 && depth > 0; ++i) {
      group.spawn([&, depth] { grow(depth - 1); }, on(i));
    }
    ++ended;
  };
  group.spawn([&] { grow(6); }, on(1));
  group.join();
  BOOST_TEST(ended == (2187 - 1) / 2);
}

WEFT_CORES_TEST_CASE(thousands_of_children_on_all_schedulers_end) {
  std::atomic<int> ended{0};
  TaskGroup group;
  for (int i = 0; i < kMany; ++i) {
    group.spawn(
        [&, i] {
          if (i % 4 == 0) yield();
          if (i % 16 == 0) sleep_for(1ms);
          ++ended;
        },
        {.on = round_robin()});
  }
  group.join();
  BOOST_TEST(ended == kMany);
}

WEFT_CORES_TEST_CASE(thousands_of_sleepers_on_all_schedulers_are_cancelled) {
  std::atomic<int> cancelled{0};
  TaskGroup group;
  for (int i = 0; i < kMany; ++i) group.spawn(sleeper(cancelled), {.on = round_robin()});
  run_until_blocked();
  group.cancel();
  group.join();
  BOOST_TEST(cancelled == kMany);
}

WEFT_CORES_TEST_CASE(groups_of_all_schedulers_may_end_at_any_moment) {
  std::atomic<int> begun{0}, ended{0};
  spread([&](std::size_t self) {
    for (int round = 0; round < 50; ++round) {
      TaskGroup group;
      try {
        for (std::size_t i = 0; i < 6; ++i) {
          group.spawn(
              [&, i, round] {
                ++begun;
                const CountAtEnd ends(ended);
                yield();
                if (static_cast<int>(i) == round % 12) throw Failure("some");
                sleep_for(std::chrono::microseconds(round % 7));
              },
              on((self + i) % 3));
        }
      } catch (const std::runtime_error&) {  // it is shutting down
      }
      try {
        group.join();
      } catch (const Failure&) {
      }
    }
  });
  BOOST_TEST(begun == ended);
}

// ---- One child ----------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(one_child_of_any_scheduler_is_cancelled_by_its_id) {
  const TimePoint start = now();
  std::atomic<int> ended{0};
  TaskGroup group;
  for (const std::size_t home : {0, 1, 2}) {
    group.spawn([&] { sleep_for(5s), ++ended; }, on(home));
    const std::uint64_t id = group.spawn([&] { sleep_for(1h), ++ended; }, on(home));
    run_until_blocked();
    BOOST_TEST(group.cancel(id));
    run_until_blocked();
    BOOST_TEST(!group.cancel(id));
  }
  group.join();
  BOOST_TEST(ended == 3);
  BOOST_TEST((now() < start + 6s));
}

WEFT_CORES_TEST_CASE(a_child_of_any_scheduler_says_that_it_is_up) {
  TaskGroup group;
  for (const std::size_t home : {0, 1, 2}) {
    const unsigned where = group.start<unsigned>(
        [](Promise<unsigned>& up) {
          up.set_value(current_task().scheduler);
          sleep_for(1s);
        },
        on(home));
    BOOST_TEST(where == home);
  }
  group.join();
}

WEFT_CORES_TEST_CASE(a_start_may_race_with_the_end_of_its_group) {
  std::atomic<int> wrong{0};
  spread([&](std::size_t self) {
    for (int i = 0; i < 200; ++i) {
      TaskGroup group;
      auto canceller = spawn(
          [&] {
            for (int pause = i % 7; pause > 0; --pause) yield();
            group.cancel();
          },
          on((self + 1) % 3));
      try {
        const int up = group.start<int>(
            [&](Promise<int>& promise) {
              yield();
              promise.set_value(7);
            },
            on((self + 2) % 3));
        if (up != 7) ++wrong;
      } catch (const std::runtime_error&) {  // TaskCancelled, or the group is shutting down
      }
      canceller.get();
      group.join();
    }
  });
  BOOST_TEST(wrong == 0);
}

BOOST_AUTO_TEST_SUITE_END()
