#include "weft/sync/queue.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/queue_kinds.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/core/context.h"
#include "weft/fiber/core/loop.h"

BOOST_AUTO_TEST_SUITE(queue)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

#if defined(WEFT_TSAN) || defined(WEFT_ASAN)
constexpr int kScale = 10;  // divides how often stress repeats
#else
constexpr int kScale = 1;
#endif

// What is left in the queue, in the order in which it comes out.
template <class Queue>
std::string rest(Queue& queue) {
  std::string items;
  while (auto item = queue.try_pop()) items += *item;
  return items;
}

template <class Queue>
std::string order_of(std::string_view items) {
  Queue queue;
  for (const char item : items) queue.push(item);
  return rest(queue);
}

struct Job {
  int urgency;
  int number;
  bool operator<(const Job& other) const { return urgency < other.urgency; }
};

// Random pushes and pops; next(jobs) is where in `jobs`, the oldest first, the next to come out is.
template <class Queue, class Next>
void check_order(Next next) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      std::mt19937 random(seed);
      Queue queue;
      std::vector<Job> jobs;
      for (int number = 0; number < 2'000; ++number) {
        const unsigned pushes = number / 100 % 2 ? 3 : 5;  // of eight: it grows and shrinks
        if (random() % 8 < pushes) {
          jobs.push_back({static_cast<int>(random() % 10), number});
          queue.push(jobs.back());
        } else if (const auto job = queue.try_pop()) {
          BOOST_TEST_REQUIRE(!jobs.empty());
          const auto expected = next(jobs);
          BOOST_TEST_REQUIRE(job->number == expected->number);
          jobs.erase(expected);
        } else {
          BOOST_TEST_REQUIRE(jobs.empty());
        }
        BOOST_TEST_REQUIRE(queue.size() == jobs.size());
      }
    }
  }
}

}  // namespace

// ---- Order --------------------------------------------------------------------------------------

WEFT_TEST_CASE(each_kind_has_its_order) {
  BOOST_TEST(order_of<Queue<char>>("badc") == "badc");
  BOOST_TEST(order_of<PriorityQueue<char>>("badc") == "abcd");
  BOOST_TEST((order_of<PriorityQueue<char, std::greater<>>>("badc")) == "dcba");
  BOOST_TEST(order_of<LifoQueue<char>>("badc") == "cdab");
}

WEFT_TEST_CASE(the_order_of_a_priority_queue_may_be_an_object) {
  const std::string preference = "xaz";
  const auto less = [&](char a, char b) { return preference.find(a) < preference.find(b); };
  PriorityQueue<char, decltype(less)> queue(0, less);
  for (const char item : {'z', 'a', 'x'}) queue.push(item);
  BOOST_TEST(rest(queue) == "xaz");
}

WEFT_TEST_CASE(any_sequence_of_pushes_and_pops_keeps_the_order) {
  check_order<Queue<Job>>([](auto& jobs) { return jobs.begin(); });
  check_order<LifoQueue<Job>>([](auto& jobs) { return jobs.end() - 1; });
  // The first of the least: of equal ones the oldest.
  check_order<PriorityQueue<Job>>(
      [](auto& jobs) { return std::min_element(jobs.begin(), jobs.end()); });
}

WEFT_TEST_CASE(items_may_be_anything_that_can_be_moved) {
  with_each_kind<bool>(0, [](auto& queue) {
    queue.push(true);
    BOOST_TEST(queue.pop() == true);
  });
  with_each_kind<std::unique_ptr<int>>(0, [](auto& queue) {
    queue.push(std::make_unique<int>(7));
    BOOST_TEST(*queue.pop() == 7);
  });
  with_each_kind<std::string>(0, [](auto& queue) {
    const std::string item(100, 'x');
    queue.push(item);
    BOOST_TEST(queue.try_push(item));
    BOOST_TEST(queue.pop() == item);
    BOOST_TEST(queue.pop() == item);
  });
}

// ---- Room ---------------------------------------------------------------------------------------

WEFT_TEST_CASE(without_a_capacity_any_number_fits) {
  with_each_kind<int>(0, [](auto& queue) {
    BOOST_TEST(queue.capacity() == 0u);
    for (int i = 0; i < 10'000; ++i) queue.push(i);
    BOOST_TEST(queue.size() == 10'000u);
  });
}

WEFT_TEST_CASE(so_many_fit_as_the_capacity_says) {
  with_each_kind<int>(3, [](auto& queue) {
    BOOST_TEST(queue.capacity() == 3u);
    for (int i = 0; i < 3; ++i) {
      BOOST_TEST(queue.size() == static_cast<unsigned>(i));
      BOOST_TEST(queue.try_push(i));
    }
    BOOST_TEST(!queue.try_push(3));
    BOOST_TEST(queue.size() == 3u);
    queue.pop();
    BOOST_TEST(queue.try_push(3));
    BOOST_TEST(!queue.try_push(4));
  });
}

WEFT_SHUFFLED_TEST_CASE(a_push_waits_until_there_is_room) {
  with_each_kind<char>(2, [](auto& queue) {
    queue.push('a');
    queue.push('a');
    auto pusher = spawn([&] { queue.push('b'); });
    sleep_for(1h);
    BOOST_TEST(!pusher.done());
    BOOST_TEST(queue.size() == 2u);
    queue.pop();
    BOOST_TEST(queue.size() == 2u);  // it has moved up
    pusher.get();
    BOOST_TEST(rest(queue).size() == 2u);
  });
}

WEFT_SHUFFLED_TEST_CASE(a_queue_of_one_passes_everything_on) {
  with_each_kind<int>(1, [](auto& queue) {
    auto pusher = spawn([&] {
      for (int i = 0; i < 100; ++i) queue.push(i);
    });
    for (int i = 0; i < 100; ++i) {
      BOOST_TEST(queue.pop() == i);
      BOOST_TEST(queue.size() <= 1u);
    }
    pusher.get();
    BOOST_TEST(queue.size() == 0u);
  });
}

WEFT_SHUFFLED_TEST_CASE(a_push_that_waits_keeps_its_place) {
  with_each_kind<char>(1, [](auto& queue) {
    queue.push('-');
    TaskGroup pushers;
    for (const char item : {'b', 'a', 'c'}) {
      pushers.spawn([&, item] { queue.push(item); });
      run_until_blocked();
    }
    std::string order;
    for (int i = 0; i < 4; ++i) {
      order += queue.pop();
      BOOST_TEST(queue.try_push('x') == (i == 3));  // whoever waits is not overtaken
    }
    pushers.join();
    BOOST_TEST(order == "-bac");
    BOOST_TEST(rest(queue) == "x");
  });
}

WEFT_SHUFFLED_TEST_CASE(an_item_that_had_to_wait_comes_out_in_the_order_of_the_kind) {
  const auto order = [](auto&& queue) {
    queue.push('c');
    queue.push('d');
    TaskGroup pushers;
    for (const char item : {'b', 'a'}) {
      pushers.spawn([&, item] { queue.push(item); });
      run_until_blocked();
    }
    std::string items;
    for (int i = 0; i < 4; ++i) items += queue.pop();
    pushers.join();
    return items;
  };
  BOOST_TEST(order(Queue<char>(2)) == "cdba");
  BOOST_TEST(order(PriorityQueue<char>(2)) == "cbad");
  BOOST_TEST(order(LifoQueue<char>(2)) == "dbac");
}

// ---- Waiting for items --------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(an_item_goes_to_whoever_waited_longest_for_one) {
  with_each_kind<int>(0, [](auto& queue) {
    std::vector<Task<int>> poppers;
    const auto add = [&](auto pop) {
      poppers.push_back(spawn(pop));
      run_until_blocked();
    };
    add([&] { return queue.pop(); });
    add([&] { return queue.try_pop_for(1h).value(); });
    add([&] { return *queue.begin(); });
    add([&] { return with_timeout(1h, [&] { return queue.pop(); }); });
    for (int i = 0; i < 4; ++i) queue.push(i);
    BOOST_TEST(queue.size() == 0u);
    for (int i = 0; i < 4; ++i) BOOST_TEST(poppers[i].get() == i);
  });
}

WEFT_SHUFFLED_TEST_CASE(nobody_overtakes_who_waits_for_an_item) {
  with_each_kind<int>(0, [](auto& queue) {
    auto popper = spawn([&] { return queue.pop(); });
    run_until_blocked();
    queue.push(1);
    BOOST_TEST(queue.size() == 0u);  // it is the popper's, though that has not run yet
    BOOST_TEST(!queue.try_pop());
    BOOST_TEST(!queue.try_pop_for(Duration::zero()));
    queue.push(2);
    BOOST_TEST(queue.pop() == 2);
    BOOST_TEST(popper.get() == 1);
  });
}

// ---- Limits of time -----------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_wait_ends_at_its_deadline_and_leaves_the_line) {
  with_each_kind<int>(1, [](auto& queue) {
    TimePoint start = now();
    BOOST_TEST(!queue.try_pop_for(1s));
    BOOST_TEST((now() == start + 1s));
    BOOST_TEST(!queue.try_pop_until(start + 2s));
    BOOST_TEST((now() == start + 2s));
    BOOST_CHECK_THROW(with_timeout(1s, [&] { return queue.pop(); }), TimeoutError);
    BOOST_TEST((now() == start + 3s));
    queue.push(1);
    start = now();
    BOOST_TEST(!queue.try_push_for(2, 1s));
    BOOST_TEST((now() == start + 1s));
    BOOST_TEST(!queue.try_push_until(2, start + 2s));
    BOOST_TEST((now() == start + 2s));
    BOOST_CHECK_THROW(with_timeout(1s, [&] { queue.push(2); }), TimeoutError);
    BOOST_TEST((now() == start + 3s));
    BOOST_TEST(queue.pop() == 1);
    BOOST_TEST(queue.size() == 0u);
  });
}

WEFT_SHUFFLED_TEST_CASE(without_time_one_takes_what_is_there) {
  with_each_kind<int>(1, [](auto& queue) {
    const TimePoint start = now();
    for (const Duration time : {Duration(0), Duration(-1h), Duration::min()}) {
      BOOST_TEST(!queue.try_pop_for(time));
      BOOST_TEST(queue.try_push_for(7, time));
      BOOST_TEST(!queue.try_push_for(8, time));
      BOOST_TEST(queue.try_pop_for(time).value() == 7);
    }
    BOOST_TEST(queue.try_push_until(7, kPast));
    BOOST_TEST(!queue.try_push_until(8, kPast));
    BOOST_TEST(queue.try_pop_until(kPast).value() == 7);
    BOOST_TEST(!queue.try_pop_until(kPast));
    BOOST_TEST((now() == start));
  });
}

WEFT_SHUFFLED_TEST_CASE(a_limit_of_time_that_is_not_reached_leaves_no_timer) {
  with_each_kind<int>(1, [](auto& queue) {
    auto popper = spawn([&] { return queue.try_pop_for(Duration::max()).value(); });
    auto next = spawn([&] { return queue.try_pop_for(1h).value(); });
    run_until_blocked();
    queue.push(1);
    queue.push(1);
    BOOST_TEST(popper.get() + next.get() == 2);
    queue.push(1);
    auto pusher = spawn([&] { return queue.try_push_for(2, 1h); });
    run_until_blocked();
    BOOST_TEST(queue.pop() == 1);
    BOOST_TEST(pusher.get());
    BOOST_TEST(Loop::here()->timers().empty());
  });
}

WEFT_SHUFFLED_TEST_CASE(one_that_leaves_makes_room_for_the_next) {
  with_each_kind<int>(1, [](auto& queue) {
    auto first = spawn([&] { return queue.try_pop_for(1s); });
    run_until_blocked();
    auto second = spawn([&] { return queue.pop(); });
    sleep_for(2s);
    queue.push(1);
    BOOST_TEST(!first.get());
    BOOST_TEST(second.get() == 1);

    queue.push(2);
    auto third = spawn([&] { return queue.try_push_for(3, 1s); });
    run_until_blocked();
    auto fourth = spawn([&] { queue.push(4); });
    sleep_for(2s);
    BOOST_TEST(queue.pop() == 2);
    BOOST_TEST(queue.pop() == 4);
    BOOST_TEST(!third.get());
    fourth.get();
  });
}

// ---- Fibers and threads -------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(plain_threads_wait_for_items_and_for_room) {
  with_each_kind<int>(1, [](auto& queue) {
    const int count = 2'000 / kScale;
    int written = 0;  // not atomic: the queue orders the accesses
    std::thread pusher([&] {
      for (int i = 0; i < count; ++i) {
        if (i == count - 1) written = 7;
        queue.push(i);
      }
    });
    for (int i = 0; i < count; ++i) BOOST_REQUIRE(queue.pop() == i);
    BOOST_TEST(written == 7);
    pusher.join();
    const TimePoint start = Clock::now();
    BOOST_TEST(!queue.try_pop_for(1ms));
    BOOST_TEST(queue.try_push_for(1, 1ms));
    BOOST_TEST(!queue.try_push_for(2, 1ms));
    BOOST_TEST((Clock::now() >= start + 2ms));
    BOOST_TEST(queue.pop() == 1);
  });
}

BOOST_AUTO_TEST_CASE(fibers_of_all_schedulers_and_threads_share_a_queue) {
  const long count = 4'000 / kScale;  // by each
  for (const std::size_t capacity : {0, 1, 3}) {
    with_each_kind<int>(capacity, [&](auto& queue) {
      std::atomic<long> popped{0};
      const auto push = [&] {
        for (int i = 1; i <= count; ++i) queue.push(i);
      };
      const auto pop = [&] {
        for (int i = 1; i <= count; ++i) popped += queue.pop();
      };
      SchedulerThread one, two;
      std::vector<Task<void>> tasks;
      for (Scheduler* scheduler : {one.get(), two.get()}) {
        tasks.push_back(spawn(push, {.on = scheduler}));
        tasks.push_back(spawn(pop, {.on = scheduler}));
      }
      std::thread pusher(push), popper(pop);
      for (auto& task : tasks) task.get();
      pusher.join();
      popper.join();
      BOOST_TEST(popped == 3 * count * (count + 1) / 2);
      BOOST_TEST(queue.size() == 0u);
    });
  }
}

BOOST_AUTO_TEST_CASE(the_one_that_was_woken_may_destroy_the_queue) {
  const int rounds = 1'000 / kScale;
  SchedulerThread one, two;
  for (int i = 0; i < rounds; ++i) {
    for (const bool wait_for_item : {true, false}) {
      auto owned = std::make_unique<Queue<int>>(1);
      Queue<int>& queue = *owned;
      if (!wait_for_item) queue.push(1);
      const auto wait_and_destroy = [&] {
        if (wait_for_item) {
          owned->pop();
        } else {
          owned->push(2);
        }
        owned.reset();
      };
      const auto wake = [&] {
        if (wait_for_item) {
          queue.push(1);
        } else {
          queue.pop();
        }
      };
      auto waiter = i % 3 < 2 ? spawn(wait_and_destroy, {.on = one.get()}) : Task<void>();
      auto waker = i % 3 > 0 ? spawn(wake, {.on = two.get()}) : Task<void>();
      if (!waker.valid()) wake();
      if (!waiter.valid()) wait_and_destroy();
      if (waiter.valid()) waiter.get();
      if (waker.valid()) waker.get();
      BOOST_REQUIRE(!owned);
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
