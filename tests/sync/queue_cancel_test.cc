// A wait in a queue that ends without success: nothing is lost, nothing is added.

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/queue_kinds.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/core/context.h"
#include "weft/sync/queue.h"

BOOST_AUTO_TEST_SUITE(queue_cancel)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

constexpr int kEach = 8;

using Numbers = std::vector<int>;

Numbers sorted(Numbers numbers) {
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

Numbers first_numbers(int count) {
  Numbers numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

template <class Queue>
void pop_rest(Queue& queue, Numbers& numbers) {
  while (const auto item = queue.try_pop()) numbers.push_back(*item);
}

// Runs the body under many orders of the ready fibers.
void run_often(const std::function<void()>& body) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    BOOST_TEST_CONTEXT("shuffle_seed " << seed) { run_case(body, {.shuffle_seed = seed}); }
  }
}

}  // namespace

// ---- Pops ---------------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(an_item_that_comes_after_the_cancellation_stays) {
  with_each_kind<int>(0, [](auto& queue) {
    auto popper = spawn([&] { return queue.pop(); });
    run_until_blocked();
    popper.cancel();
    queue.push(7);
    BOOST_TEST(queue.size() == 1u);
    BOOST_CHECK_THROW(popper.get(), TaskCancelled);
    BOOST_TEST(queue.pop() == 7);
  });
}

// The other order: it was handed over, so the popper has it, and learns of the cancellation later.
WEFT_SHUFFLED_TEST_CASE(an_item_that_came_before_the_cancellation_is_delivered) {
  with_each_kind<int>(0, [](auto& queue) {
    int got = 0;
    bool thrown_later = false;
    auto popper = spawn([&] {
      got = queue.pop();
      try {
        queue.pop();
      } catch (const Cancelled&) {
        thrown_later = true;
        throw;
      }
    });
    run_until_blocked();
    queue.push(7);
    popper.cancel();
    BOOST_CHECK_THROW(popper.get(), TaskCancelled);
    BOOST_TEST(got == 7);
    BOOST_TEST(thrown_later);
    BOOST_TEST(queue.size() == 0u);
  });
}

WEFT_SHUFFLED_TEST_CASE(one_that_is_cancelled_makes_room_for_the_next) {
  with_each_kind<int>(0, [](auto& queue) {
    auto first = spawn([&] { return queue.pop(); });
    run_until_blocked();
    auto second = spawn([&] { return queue.pop(); });
    run_until_blocked();
    first.cancel();
    queue.push(7);
    BOOST_CHECK_THROW(first.get(), TaskCancelled);
    BOOST_TEST(second.get() == 7);
  });
}

// Those that pop until this very instant, and those that push in it, in many orders.
BOOST_AUTO_TEST_CASE(an_item_and_a_timeout_at_the_same_instant_lose_nothing) {
  std::size_t popped = 0, timed_out = 0;
  run_often([&] {
    with_each_kind<int>(0, [&](auto& queue) {
      const TimePoint instant = now() + 1s;
      Numbers got;
      TaskGroup group;
      for (int i = 0; i < kEach; ++i) {
        group.spawn([&, i] {
          if (i % 2) sleep_until(instant);  // else in line before it
          std::optional<int> item;
          if (i % 4 < 2) {
            item = queue.try_pop_until(instant);
          } else {
            try {
              item = with_deadline(instant, [&] { return queue.pop(); });
            } catch (const TimeoutError&) {
            }
          }
          if (item) {
            got.push_back(*item);
          } else {
            ++timed_out;
          }
        });
        group.spawn([&, i] {
          if (i < kEach / 2) sleep_until(instant - 1ns);  // its timer is the later one
          sleep_until(instant);
          queue.push(i);
        });
      }
      group.join();
      popped += got.size();
      pop_rest(queue, got);
      BOOST_TEST(sorted(got) == first_numbers(kEach));
    });
  });
  BOOST_TEST(popped > 100u);
  BOOST_TEST(timed_out > 100u);
}

BOOST_AUTO_TEST_CASE(pops_cancelled_at_random_lose_nothing) {
  std::size_t popped = 0, cancelled = 0;
  run_often([&] {
    with_each_kind<int>(0, [&](auto& queue) {
      Numbers got;
      std::vector<Task<void>> poppers, others;
      for (int i = 0; i < kEach; ++i) {
        poppers.push_back(spawn([&] {
          sleep_for(1ms);
          got.push_back(queue.pop());
        }));
      }
      for (int i = 0; i < kEach; ++i) {
        others.push_back(spawn([&, i] {
          sleep_for(1ms);
          queue.push(i);
        }));
        others.push_back(spawn([&, i] {
          sleep_for(1ms);
          poppers[i].cancel();
        }));
      }
      for (auto& other : others) other.get();
      for (auto& popper : poppers) popper.wait();
      popped += got.size();
      cancelled += kEach - got.size();
      pop_rest(queue, got);
      BOOST_TEST(sorted(got) == first_numbers(kEach));
    });
  });
  BOOST_TEST(popped > 100u);
  BOOST_TEST(cancelled > 100u);
}

// ---- Pushes -------------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_cancelled_push_adds_nothing_and_changes_no_order) {
  with_each_kind<int>(1, [](auto& queue) {
    queue.push(0);
    std::vector<Task<void>> pushers;
    for (int i = 1; i <= 4; ++i) {
      pushers.push_back(spawn([&, i] { queue.push(i); }));
      run_until_blocked();
    }
    pushers[2].cancel();
    run_until_blocked();
    pushers[0].cancel();
    Numbers order;
    for (int i = 0; i < 3; ++i) order.push_back(queue.pop());
    BOOST_TEST(order == (Numbers{0, 2, 4}));
    BOOST_TEST(queue.size() == 0u);
    BOOST_CHECK_THROW(pushers[0].get(), TaskCancelled);
    pushers[1].get();
    BOOST_CHECK_THROW(pushers[2].get(), TaskCancelled);
    pushers[3].get();
  });
}

WEFT_SHUFFLED_TEST_CASE(a_push_that_was_let_in_before_the_cancellation_has_succeeded) {
  with_each_kind<int>(1, [](auto& queue) {
    queue.push(1);
    bool pushed = false;
    auto pusher = spawn([&] {
      queue.push(2);
      pushed = true;
    });
    run_until_blocked();
    BOOST_TEST(queue.pop() == 1);
    pusher.cancel();
    BOOST_TEST(queue.pop() == 2);
    pusher.get();
    BOOST_TEST(pushed);
  });
}

WEFT_SHUFFLED_TEST_CASE(an_item_that_was_not_added_is_untouched) {
  with_each_kind<std::unique_ptr<int>>(1, [](auto& queue) {
    auto item = std::make_unique<int>(7);
    queue.push(std::make_unique<int>(1));
    BOOST_TEST(!queue.try_push(std::move(item)));
    BOOST_TEST(!queue.try_push_for(std::move(item), 1s));
    BOOST_TEST(!queue.try_push_until(std::move(item), now()));
    BOOST_CHECK_THROW(with_timeout(1s, [&] { queue.push(std::move(item)); }), TimeoutError);
    auto pusher = spawn([&] { queue.push(std::move(item)); });
    run_until_blocked();
    pusher.cancel();
    BOOST_CHECK_THROW(pusher.get(), TaskCancelled);

    auto closer = spawn([&] {
      sleep_for(1s);
      queue.close();
    });
    BOOST_CHECK_THROW(queue.push(std::move(item)), QueueClosed);  // was waiting
    BOOST_CHECK_THROW(queue.push(std::move(item)), QueueClosed);
    BOOST_CHECK_THROW(queue.try_push(std::move(item)), QueueClosed);
    BOOST_CHECK_THROW(queue.try_push_for(std::move(item), 1s), QueueClosed);
    closer.get();
    BOOST_TEST_REQUIRE(item);
    BOOST_TEST(*item == 7);
    BOOST_TEST(queue.size() == 1u);
  });
}

BOOST_AUTO_TEST_CASE(room_and_a_timeout_at_the_same_instant_lose_nothing) {
  int pushed = 0, timed_out = 0;
  run_often([&] {
    with_each_kind<int>(1, [&](auto& queue) {
      const TimePoint instant = now() + 1s;
      Numbers added{-1}, got;
      queue.push(-1);
      TaskGroup group;
      for (int i = 0; i < kEach; ++i) {
        group.spawn([&, i] {
          if (i % 2) sleep_until(instant);
          bool success = false;
          if (i % 4 < 2) {
            success = queue.try_push_until(int(i), instant);
          } else {
            try {
              with_deadline(instant, [&] { queue.push(i); });
              success = true;
            } catch (const TimeoutError&) {
            }
          }
          if (success) added.push_back(i);
          ++(success ? pushed : timed_out);
        });
        group.spawn([&, i] {
          if (i < kEach / 2) sleep_until(instant - 1ns);
          sleep_until(instant);
          if (const auto item = queue.try_pop()) got.push_back(*item);
        });
      }
      group.join();
      pop_rest(queue, got);
      BOOST_TEST(sorted(got) == sorted(added));
    });
  });
  BOOST_TEST(pushed > 100);
  BOOST_TEST(timed_out > 100);
}

BOOST_AUTO_TEST_CASE(pushes_cancelled_at_random_lose_and_repeat_nothing) {
  int pushed = 0, cancelled = 0;
  run_often([&] {
    with_each_kind<int>(1, [&](auto& queue) {
      Numbers added{-1}, got;
      queue.push(-1);
      std::vector<Task<void>> pushers, others;
      for (int i = 0; i < kEach; ++i) {
        pushers.push_back(spawn([&, i] {
          sleep_for(1ms);
          queue.push(i);
          added.push_back(i);
        }));
      }
      for (int i = 0; i < kEach; ++i) {
        others.push_back(spawn([&] {
          sleep_for(1ms);
          if (const auto item = queue.try_pop()) got.push_back(*item);
        }));
        others.push_back(spawn([&, i] {
          sleep_for(1ms);
          pushers[i].cancel();
        }));
      }
      for (auto& other : others) other.get();
      for (auto& pusher : pushers) pusher.wait();
      pushed += static_cast<int>(added.size()) - 1;
      cancelled += kEach + 1 - static_cast<int>(added.size());
      pop_rest(queue, got);
      BOOST_TEST(sorted(got) == sorted(added));
    });
  });
  BOOST_TEST(pushed > 100);
  BOOST_TEST(cancelled > 100);
}

// ---- Where it is noticed ------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_cancelled_fiber_may_push_and_pop_as_long_as_it_need_not_wait) {
  with_each_kind<int>(1, [](auto& queue) {
    bool done = false;
    auto task = spawn(when_cancelled([&] {
      queue.join();
      queue.push(7);
      BOOST_TEST(!queue.try_push(8));
      BOOST_TEST(queue.pop() == 7);
      BOOST_TEST(!queue.try_pop());
      queue.task_done();
      queue.join();
      queue.push(8);
      queue.close();
      BOOST_TEST(queue.try_pop_for(1s).value() == 8);
      BOOST_CHECK_THROW(queue.pop(), QueueClosed);
      BOOST_TEST(!queue.try_pop_for(1s));
      done = true;
    }));
    run_until_blocked();
    task.cancel();
    task.wait();
    BOOST_TEST(done);
  });
}

WEFT_SHUFFLED_TEST_CASE(a_cancelled_fiber_does_not_get_in_line) {
  with_each_kind<int>(1, [](auto& queue) {
    int thrown = 0;
    auto task = spawn([&] {
      const auto expect_cancelled = [&](auto wait) {
        try {
          wait();
        } catch (const Cancelled&) {
          ++thrown;
        }
      };
      expect_cancelled([&] { queue.pop(); });
      expect_cancelled([&] { queue.pop(); });
      expect_cancelled([&] { queue.try_pop_for(1s); });
      queue.push(1);
      expect_cancelled([&] { queue.push(2); });
      expect_cancelled([&] { queue.try_push_for(2, 1s); });
      expect_cancelled([&] { queue.join(); });
    });
    run_until_blocked();
    task.cancel();
    task.wait();
    BOOST_TEST(thrown == 6);
    BOOST_TEST(queue.pop() == 1);
    BOOST_TEST(!queue.try_pop());
    queue.push(3);
    BOOST_TEST(queue.size() == 1u);
  });
}

// ---- Several threads ----------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(pops_cancelled_from_another_thread_lose_nothing) {
#if defined(WEFT_TSAN) || defined(WEFT_ASAN)
  const int rounds = 200;
#else
  const int rounds = 2'000;
#endif
  SchedulerThread one, two;
  Queue<int> queue(1);
  std::atomic<int> popped{0};
  int left = 0;
  for (int i = 0; i < rounds; ++i) {
    auto popper = spawn([&] { popped += queue.pop(); }, {.on = one.get()});
    auto pusher = spawn([&] { queue.push(1); }, {.on = two.get()});
    if (i % 2) popper.cancel();
    pusher.get();
    popper.cancel();
    popper.wait();
    if (queue.try_pop()) ++left;
  }
  BOOST_TEST(popped + left == rounds);
  BOOST_TEST_MESSAGE(left << " of " << rounds << " were left");
}

BOOST_AUTO_TEST_SUITE_END()
