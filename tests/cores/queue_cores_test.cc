// Queues between the schedulers of a runtime and plain threads.

#include <atomic>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/cores.h"
#include "tests/support/crowd.h"
#include "tests/support/queue_kinds.h"
#include "weft/sync/queue.h"

BOOST_AUTO_TEST_SUITE(queue_cores)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

template <class Queue>
int drain(Queue& queue) {
  int items = 0;
  while (queue.try_pop()) ++items;
  return items;
}

}  // namespace

// ---- Order --------------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(an_item_goes_to_whoever_waited_longest_on_whatever_scheduler) {
  with_each_kind<int>(0, [](auto& queue) {
    std::vector<Task<int>> poppers;
    for (const std::size_t i : {1, 2, 0, 2, 0, 1}) {
      poppers.push_back(spawn_in_turn(i, [&] { return queue.pop(); }));
    }
    for (int item = 0; item < 5; ++item) {
      spawn([&] { queue.push(item); }, on(item % 3)).get();
    }
    std::thread([&] { queue.push(5); }).join();
    for (int item = 0; item < 6; ++item) BOOST_TEST(poppers[item].get() == item);
  });
}

WEFT_CORES_TEST_CASE(room_goes_to_the_push_that_waited_longest_on_whatever_scheduler) {
  with_each_kind<int>(1, [](auto& queue) {
    std::vector<Task<void>> pushers;
    for (int item = 0; item < 7; ++item) {
      pushers.push_back(spawn_in_turn((item + 1) % 3, [&, item] { queue.push(item); }));
    }
    for (int item = 0; item < 7; ++item) {
      BOOST_TEST(queue.size() == 1u);
      BOOST_TEST(spawn([&] { return queue.pop(); }, on(item % 3)).get() == item);
      if (item < 6) pushers[item + 1].get();
    }
    BOOST_TEST(queue.empty());
  });
}

WEFT_CORES_TEST_CASE(items_of_one_producer_come_in_its_order_to_each_consumer) {
  for (const std::size_t capacity : {1, 4, 0}) {
    Queue<std::pair<std::size_t, int>> queue(capacity);
    std::atomic<int> out_of_order{0}, popped{0};
    const auto consume = [&] {
      std::vector<int> last(3, -1);
      for (auto&& [producer, item] : queue) {
        out_of_order += item <= last[producer];
        last[producer] = item;
        ++popped;
      }
    };
    TaskGroup consumers;
    for (std::size_t i = 0; i < 3; ++i) consumers.spawn(consume, on(i));
    std::thread thread(consume);
    spread([&](std::size_t i) {
      for (int item = 0; item < kRounds; ++item) queue.push({i, item});
    });
    queue.close();
    consumers.join();
    thread.join();
    BOOST_TEST(out_of_order == 0);
    BOOST_TEST(popped == 3 * kRounds);
  }
}

WEFT_CORES_TEST_CASE(what_was_done_before_a_push_is_seen_after_the_pop) {
  Queue<std::unique_ptr<std::string>> there, back(1);
  auto echo = spawn(
      [&] {
        for (auto&& item : there) {
          *item += "!";
          back.push(std::move(item));
        }
      },
      on(1));
  int wrong = 0;
  for (int round = 0; round < kRounds; ++round) {
    there.push(std::make_unique<std::string>(std::to_string(round)));
    wrong += *back.pop() != std::to_string(round) + "!";
  }
  there.close();
  echo.get();
  BOOST_TEST(wrong == 0);
}

// ---- Cancellation and time-outs -----------------------------------------------------------------

WEFT_CORES_TEST_CASE(an_item_that_meets_a_cancellation_is_taken_or_stays) {
  int ends[2] = {};
  for (int round = 0; round < kRounds; ++round) {
    with_each_kind<int>(round % 2, [&](auto& queue) {
      auto popper = spawn_in_turn(1, [&] { queue.pop(); });
      const End end = give_while_cancelled(round, popper, [&] { queue.push(7); });
      ++ends[static_cast<int>(end)];
      BOOST_REQUIRE(drain(queue) == (end == End::kCancelled));
    });
  }
  BOOST_TEST(ends[0] > 0);
  BOOST_TEST(ends[1] > 0);
}

WEFT_CORES_TEST_CASE(room_that_meets_a_cancellation_is_used_or_stays) {
  int ends[2] = {};
  for (int round = 0; round < kRounds; ++round) {
    with_each_kind<std::shared_ptr<int>>(1, [&](auto& queue) {
      queue.push(nullptr);
      auto item = std::make_shared<int>(7);
      auto pusher = spawn_in_turn(1, [&] { queue.push(std::move(item)); });
      const End end = give_while_cancelled(round, pusher, [&] { queue.pop(); });
      ++ends[static_cast<int>(end)];
      BOOST_REQUIRE((item != nullptr) == (end == End::kCancelled));
      BOOST_REQUIRE(drain(queue) == (end == End::kResult));
    });
  }
  BOOST_TEST(ends[0] > 0);
  BOOST_TEST(ends[1] > 0);
}

WEFT_CORES_TEST_CASE(an_item_beats_a_cancellation_that_comes_later) {
  with_each_kind<int>(0, [](auto& queue) {
    int item = 0;
    std::atomic<bool> went_on{false};
    auto popper = spawn_in_turn(2, [&] {
      item = queue.pop();
      queue.pop();
      went_on = true;
    });
    {
      const Stopped stopped(2);
      queue.push(7);
      popper.cancel();
      queue.push(8);  // the popper has not run yet, and does not wait: that is no cancellation
    }
    popper.get();
    BOOST_TEST(item == 7);
    BOOST_TEST(went_on);
  });
}

WEFT_CORES_TEST_CASE(items_that_come_when_the_time_of_pops_is_over_are_taken_or_stay) {
  int all_got = 0, all_missed = 0;
  for (int round = 0; round < kRounds / 8; ++round) {
    with_each_kind<int>(0, [&](auto& queue) {
      const TimePoint instant = now() + 1s;
      std::atomic<int> got{0};
      const auto push_some = [&] {
        sleep_until(instant);
        for (int item = 0; item < 4; ++item) queue.push(item);
      };
      TaskGroup group;
      for (int i = 0; i < 6; ++i) {
        if (i == 3) group.spawn(push_some, on(round % 3));
        run_until_blocked();
        const TimePoint deadline = instant + (i == 5) * 1ms;
        group.spawn([&, deadline] { got += queue.try_pop_until(deadline).has_value(); }, on(i % 3));
      }
      group.join();
      BOOST_REQUIRE(got + drain(queue) == 4);
      all_got += got;
      all_missed += 6 - got;
    });
  }
  BOOST_TEST(all_got > 0);
  BOOST_TEST(all_missed > 0);
}

WEFT_CORES_TEST_CASE(room_that_comes_when_the_time_of_pushes_is_over_is_used_or_stays) {
  int all_added = 0, all_missed = 0;
  for (int round = 0; round < kRounds / 8; ++round) {
    with_each_kind<int>(2, [&](auto& queue) {
      const TimePoint instant = now() + 1s;
      std::atomic<int> added{0}, popped{0};
      const auto pop_some = [&] {
        sleep_until(instant);
        for (int times = 0; times < 4; ++times) popped += queue.try_pop().has_value();
      };
      queue.push(0);
      queue.push(0);
      TaskGroup group;
      for (int i = 0; i < 6; ++i) {
        if (i == 3) group.spawn(pop_some, on(round % 3));
        run_until_blocked();
        const TimePoint deadline = instant + (i == 5) * 1ms;
        group.spawn([&, i, deadline] { added += queue.try_push_until(i, deadline); }, on(i % 3));
      }
      group.join();
      BOOST_REQUIRE(2 + added - popped == drain(queue));
      all_added += added;
      all_missed += 6 - added;
    });
  }
  BOOST_TEST(all_added > 0);
  BOOST_TEST(all_missed > 0);
}

// ---- Capacity -----------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(tries_of_all_schedulers_at_once_fill_a_queue_and_empty_it) {
  with_each_kind<int>(10, [](auto& queue) {
    const auto sum = [](const std::vector<int>& parts) {
      return std::accumulate(parts.begin(), parts.end(), 0);
    };
    for (int round = 0; round < kRounds / 10; ++round) {
      BOOST_REQUIRE(10 == sum(spread([&] {
                      int pushed = 0;
                      for (int i = 0; i < 10; ++i) pushed += queue.try_push(i);
                      return pushed;
                    })));
      BOOST_REQUIRE(queue.size() == 10u);
      BOOST_REQUIRE(10 == sum(spread([&] { return drain(queue); })));
      BOOST_REQUIRE(queue.empty());
    }
  });
}

WEFT_CORES_TEST_CASE(there_is_never_more_in_a_queue_than_fits) {
  with_each_kind<int>(3, [](auto& queue) {
    std::atomic<int> too_many{0};
    const auto pass_along = [&] {
      for (int i = 0; i < kRounds; ++i) {
        queue.push(i);
        too_many += queue.size() > 3;
        queue.pop();
      }
    };
    std::thread thread(pass_along);
    spread(pass_along);
    thread.join();
    BOOST_TEST(too_many == 0);
    BOOST_TEST(queue.empty());
  });
}

// ---- The end ------------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(closing_wakes_who_waits_for_an_item_on_every_scheduler_and_thread) {
  with_each_kind<int>(0, [](auto& queue) {
    std::atomic<int> ended{0};
    const auto pop = [&] {
      try {
        queue.pop();
      } catch (const QueueClosed&) {
        ++ended;
      }
      ended += !queue.try_pop_for(1h);
    };
    const TimePoint start = now();
    std::thread thread(pop);
    TaskGroup group;
    for (std::size_t i = 0; i < 9; ++i) group.spawn(pop, on(i % 3));
    run_until_blocked();
    spawn([&] { queue.close(); }, on(1)).get();
    group.join();
    thread.join();
    BOOST_TEST(ended == 20);
    BOOST_TEST((now() < start + 1s));
  });
}

WEFT_CORES_TEST_CASE(closing_wakes_who_waits_for_room_on_every_scheduler_and_takes_nothing) {
  with_each_kind<int>(1, [](auto& queue) {
    std::atomic<int> refused{0};
    queue.push(7);
    TaskGroup group;
    for (std::size_t i = 0; i < 9; ++i) {
      group.spawn(
          [&] {
            try {
              queue.push(8);
            } catch (const QueueClosed&) {
              ++refused;
            }
          },
          on(i % 3));
    }
    run_until_blocked();
    queue.close();
    group.join();
    BOOST_TEST(refused == 9);
    BOOST_TEST(queue.pop() == 7);
    BOOST_CHECK_THROW(queue.pop(), QueueClosed);
  });
}

WEFT_CORES_TEST_CASE(what_is_pushed_while_a_queue_is_closed_is_refused_or_comes_out) {
  for (int round = 0; round < kRounds / 10; ++round) {
    with_each_kind<int>(round % 3, [&](auto& queue) {
      std::atomic<int> pushed{0}, popped{0};
      TaskGroup group;
      for (std::size_t i = 0; i < 3; ++i) {
        group.spawn(
            [&] {
              for ([[maybe_unused]] const int item : queue) ++popped;
            },
            on(i));
        group.spawn(
            [&] {
              try {
                for (;;) {
                  queue.push(7);
                  if (++pushed % 8 == 0) yield();
                }
              } catch (const QueueClosed&) {
              }
            },
            on(i));
      }
      while (pushed < 20) yield();
      queue.close();
      group.join();
      BOOST_REQUIRE(popped == pushed);
      BOOST_REQUIRE(queue.empty());
    });
  }
}

WEFT_CORES_TEST_CASE(join_waits_for_what_consumers_of_all_schedulers_have_to_do) {
  with_each_kind<int>(0, [](auto& queue) {
    std::atomic<int> done{0};
    for (int item = 0; item < 9; ++item) queue.push(item);
    TaskGroup group;
    for (std::size_t i = 0; i < 3; ++i) {
      group.spawn(
          [&] {
            for ([[maybe_unused]] const int item : queue) {
              sleep_for(1s);
              ++done;
              queue.task_done();
            }
          },
          on(i));
    }
    const std::vector<int> seen = spread([&] {
      queue.join();
      return done.load();
    });
    for (const int all : seen) BOOST_TEST(all == 9);
    queue.close();
    group.join();
  });
}

WEFT_CORES_TEST_CASE(a_queue_may_be_destroyed_by_whoever_was_woken_from_it) {
  for (int round = 0; round < kRounds; ++round) {
    auto owned = std::make_unique<Queue<int>>(1);
    Queue<int>& queue = *owned;
    auto last = spawn(
        [&] {
          queue.pop();
          owned.reset();
        },
        on(1 + round % 2));
    round % 4 < 2 ? run_until_blocked() : yield();
    queue.push(7);
    last.get();
    BOOST_REQUIRE(!owned);
  }
}

BOOST_AUTO_TEST_SUITE_END()
