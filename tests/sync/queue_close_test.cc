// The end of a queue: close(), iteration until then, task_done() and join().

#include <algorithm>
#include <atomic>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/queue_kinds.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/core/loop.h"
#include "weft/sync/queue.h"

BOOST_AUTO_TEST_SUITE(queue_close)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

// ---- Closing ------------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(closing_wakes_all_who_wait_for_an_item) {
  with_each_kind<int>(0, [](auto& queue) {
    auto popper = spawn([&] { return queue.pop(); });
    auto other = spawn([&] { return with_timeout(1h, [&] { return queue.pop(); }); });
    auto limited = spawn([&] { return queue.try_pop_for(1h); });
    auto iterating = spawn([&] {
      for ([[maybe_unused]] const int item : queue) BOOST_ERROR("there is none");
    });
    const TimePoint start = now();
    sleep_for(1s);
    BOOST_TEST(!queue.is_closed());
    queue.close();
    BOOST_TEST(queue.is_closed());
    BOOST_CHECK_THROW(popper.get(), QueueClosed);
    BOOST_CHECK_THROW(other.get(), QueueClosed);
    BOOST_TEST(!limited.get());
    iterating.get();
    BOOST_TEST((now() == start + 1s));
    BOOST_TEST(Loop::here()->timers().empty());
  });
}

WEFT_SHUFFLED_TEST_CASE(closing_wakes_all_who_wait_for_room_and_adds_nothing_of_theirs) {
  with_each_kind<int>(1, [](auto& queue) {
    queue.push(1);
    auto pusher = spawn([&] { queue.push(2); });
    auto limited = spawn([&] { queue.try_push_for(3, 1h); });
    run_until_blocked();
    queue.close();
    BOOST_TEST(queue.pop() == 1);
    BOOST_TEST(queue.size() == 0u);
    BOOST_CHECK_THROW(pusher.get(), QueueClosed);
    BOOST_CHECK_THROW(limited.get(), QueueClosed);
    BOOST_CHECK_THROW(queue.pop(), QueueClosed);
  });
}

WEFT_TEST_CASE(what_is_in_a_closed_queue_can_still_be_taken) {
  with_each_kind<char>(0, [](auto& queue) {
    for (int i = 0; i < 4; ++i) queue.push('a');
    queue.close();
    BOOST_TEST(queue.size() == 4u);
    BOOST_TEST(queue.pop() == 'a');
    BOOST_TEST(queue.try_pop().value() == 'a');
    BOOST_TEST(queue.try_pop_for(1s).value() == 'a');
    BOOST_TEST(queue.try_pop_until(kPast).value() == 'a');
    BOOST_TEST(!queue.try_pop());
    BOOST_TEST(!queue.try_pop_for(1s));
    BOOST_TEST(!queue.try_pop_until(kForever));
    BOOST_CHECK_THROW(queue.pop(), QueueClosed);
    BOOST_CHECK_THROW(queue.pop(), QueueClosed);
  });
}

WEFT_TEST_CASE(nothing_can_be_added_to_a_closed_queue) {
  with_each_kind<int>(2, [](auto& queue) {
    const int item = 7;
    queue.push(item);
    queue.close();
    BOOST_CHECK_THROW(queue.push(item), QueueClosed);
    BOOST_CHECK_THROW(queue.push(7), QueueClosed);
    BOOST_CHECK_THROW(queue.try_push(item), QueueClosed);
    BOOST_CHECK_THROW(queue.try_push(7), QueueClosed);
    BOOST_CHECK_THROW(queue.try_push_for(7, 1s), QueueClosed);
    BOOST_CHECK_THROW(queue.try_push_until(7, kPast), QueueClosed);
    BOOST_TEST(queue.size() == 1u);
    BOOST_TEST(queue.capacity() == 2u);
  });
}

WEFT_TEST_CASE(closing_again_has_no_effect) {
  with_each_kind<int>(0, [](auto& queue) {
    queue.push(7);
    queue.close();
    queue.close();
    BOOST_TEST(queue.is_closed());
    BOOST_TEST(queue.pop() == 7);
    queue.close();
    BOOST_CHECK_THROW(queue.pop(), QueueClosed);
  });
}

WEFT_TEST_CASE(the_error_says_that_the_queue_is_closed) {
  Queue<int> queue;
  queue.close();
  BOOST_CHECK_EXCEPTION(queue.pop(), std::runtime_error, [](const std::runtime_error& error) {
    return std::string(error.what()).find("closed") != std::string::npos;
  });
}

WEFT_SHUFFLED_TEST_CASE(what_was_handed_over_before_closing_arrives) {
  with_each_kind<int>(1, [](auto& queue) {
    auto popper = spawn([&] { return queue.pop(); });
    run_until_blocked();
    queue.push(1);
    queue.close();
    BOOST_TEST(popper.get() == 1);
  });
  with_each_kind<int>(1, [](auto& queue) {
    queue.push(1);
    auto pusher = spawn([&] { queue.push(2); });
    run_until_blocked();
    BOOST_TEST(queue.pop() == 1);  // lets the other one in
    queue.close();
    pusher.get();
    BOOST_TEST(queue.pop() == 2);
    BOOST_CHECK_THROW(queue.pop(), QueueClosed);
  });
}

WEFT_SHUFFLED_TEST_CASE(closing_and_a_timeout_or_a_cancellation_may_come_together) {
  with_each_kind<int>(1, [](auto& queue) {
    const TimePoint instant = now() + 1s;
    auto popper = spawn([&] { return queue.try_pop_until(instant); });
    auto cancelled = spawn([&] { return queue.pop(); });
    auto late = spawn([&] {
      sleep_until(instant);
      return queue.pop();
    });
    sleep_until(instant);
    queue.close();
    cancelled.cancel();
    BOOST_TEST(!popper.get());
    BOOST_CHECK_THROW(cancelled.get(), QueueClosed);
    BOOST_CHECK_THROW(late.get(), QueueClosed);
  });
}

BOOST_AUTO_TEST_CASE(closing_wakes_fibers_and_threads_of_all_kinds) {
  SchedulerThread one, two;
  for (int round = 0; round < 100; ++round) {
    Queue<int> empty, full(1);
    full.push(1);
    std::atomic<int> closed{0};
    const auto count = [&](auto wait) {
      try {
        wait();
      } catch (const QueueClosed&) {
        ++closed;
      }
    };
    const auto pop = [&] { count([&] { empty.pop(); }); };
    const auto push = [&] { count([&] { full.push(2); }); };
    std::vector<Task<void>> tasks;
    for (Scheduler* scheduler : {one.get(), two.get()}) {
      tasks.push_back(spawn(pop, {.on = scheduler}));
      tasks.push_back(spawn(push, {.on = scheduler}));
    }
    std::thread popper(pop), pusher(push);
    if (round % 2) std::this_thread::yield();
    empty.close();
    full.close();
    for (auto& task : tasks) task.get();
    popper.join();
    pusher.join();
    BOOST_TEST(closed == 6);
  }
}

// ---- Discarding ---------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(closing_may_drop_what_is_there) {
  with_each_kind<int>(0, [](auto& queue) {
    for (int i = 0; i < 20; ++i) queue.push(i);
    queue.close(kDiscard);
    BOOST_TEST(queue.is_closed());
    BOOST_TEST(queue.empty());
    BOOST_TEST(!queue.try_pop());
    BOOST_CHECK_THROW(queue.pop(), QueueClosed);
    BOOST_CHECK_THROW(queue.push(1), QueueClosed);
    for ([[maybe_unused]] const int item : queue) BOOST_ERROR("there is none");
    queue.close(kDiscard);
    queue.close();
    queue.join();
  });
}

WEFT_TEST_CASE(what_a_closed_queue_still_has_may_be_dropped) {
  with_each_kind<int>(0, [](auto& queue) {
    queue.push(1);
    queue.close();
    BOOST_TEST(queue.size() == 1u);
    queue.close(kDiscard);
    BOOST_TEST(queue.empty());
    queue.join();
  });
}

WEFT_SHUFFLED_TEST_CASE(pushes_that_wait_keep_their_items_where_the_rest_is_dropped) {
  Queue<std::unique_ptr<int>> queue(1);
  queue.push(std::make_unique<int>(1));
  auto mine = std::make_unique<int>(2);
  auto pusher = spawn([&] { queue.push(std::move(mine)); });
  run_until_blocked();
  queue.close(kDiscard);
  BOOST_CHECK_THROW(pusher.get(), QueueClosed);
  BOOST_REQUIRE(mine);
  BOOST_TEST(*mine == 2);
  BOOST_TEST(queue.empty());
}

WEFT_SHUFFLED_TEST_CASE(what_is_dropped_is_done_and_what_was_popped_is_not) {
  with_each_kind<int>(0, [](auto& queue) {
    for (int i = 0; i < 5; ++i) queue.push(i);
    queue.pop();
    auto joiner = spawn([&] { queue.join(); });
    run_until_blocked();
    queue.close(kDiscard);
    run_until_blocked();
    BOOST_TEST(!joiner.done());
    queue.task_done();
    joiner.get();
    BOOST_CHECK_THROW(queue.task_done(), std::logic_error);
  });
}

WEFT_SHUFFLED_TEST_CASE(a_join_returns_if_all_that_was_left_is_dropped) {
  with_each_kind<int>(0, [](auto& queue) {
    queue.push(1);
    queue.push(2);
    auto joiner = spawn([&] { queue.join(); });
    run_until_blocked();
    queue.task_done();  // ahead of its pop
    queue.close(kDiscard);
    joiner.get();
  });
}

WEFT_TEST_CASE(what_is_dropped_may_use_the_queue_and_wait) {
  struct Item {
    explicit Item(Queue<std::shared_ptr<Item>>& its_queue) : queue(its_queue) {}
    ~Item() {
      sleep_for(1s);
      BOOST_TEST(queue.is_closed());
      BOOST_TEST(queue.empty());
    }
    Queue<std::shared_ptr<Item>>& queue;
  };
  Queue<std::shared_ptr<Item>> queue;
  for (int i = 0; i < 3; ++i) queue.push(std::make_shared<Item>(queue));
  const TimePoint start = now();
  auto popper = spawn([&] {
    sleep_for(1ms);
    BOOST_CHECK_THROW(queue.pop(), QueueClosed);
  });
  queue.close(kDiscard);
  BOOST_TEST((now() == start + 3s));
  BOOST_TEST(popper.done());
}

WEFT_SHUFFLED_TEST_CASE(what_was_handed_over_before_the_rest_was_dropped_arrives) {
  Queue<int> queue;
  auto popper = spawn([&] { return queue.pop(); });
  run_until_blocked();
  queue.push(1);
  queue.push(2);
  queue.close(kDiscard);
  BOOST_TEST(popper.get() == 1);
}

// ---- Late, or closed ----------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_pop_tells_late_from_closed) {
  with_each_kind<int>(0, [](auto& queue) {
    std::optional<int> item = 7;
    const TimePoint start = now();
    BOOST_TEST((queue.pop_for(item, 1s) == PopStatus::kLate));
    BOOST_TEST(!item);
    BOOST_TEST((queue.pop_until(item, start + 2s) == PopStatus::kLate));
    BOOST_TEST((queue.pop_for(item, -1s) == PopStatus::kLate));
    BOOST_TEST((now() == start + 2s));
    queue.push(1);
    item = 7;
    BOOST_TEST((queue.pop_for(item, 0s) == PopStatus::kItem));
    BOOST_TEST(item.value() == 1);
    auto waits = spawn([&] { return queue.pop_until(item, kForever); });
    run_until_blocked();
    queue.push(2);
    BOOST_TEST((waits.get() == PopStatus::kItem));
    BOOST_TEST(item.value() == 2);
    auto ends = spawn([&] { return queue.pop_for(item, 1h); });
    run_until_blocked();
    queue.close();
    BOOST_TEST((ends.get() == PopStatus::kClosed));
    BOOST_TEST(!item);
    BOOST_TEST((queue.pop_for(item, 1h) == PopStatus::kClosed));
    BOOST_TEST((queue.pop_until(item, kPast) == PopStatus::kClosed));
  });
}

WEFT_TEST_CASE(a_closed_queue_gives_its_items_before_it_says_closed) {
  Queue<int> queue;
  queue.push(1);
  queue.close();
  std::optional<int> item;
  BOOST_TEST((queue.pop_for(item, 1s) == PopStatus::kItem));
  BOOST_TEST((queue.pop_for(item, 1s) == PopStatus::kClosed));
}

WEFT_TEST_CASE(a_pop_whose_item_can_only_be_constructed_has_a_status_too) {
  struct Item {
    explicit Item(int its_number) : number(its_number) {}
    Item(Item&&) = default;
    Item& operator=(Item&&) = delete;
    const int number;
  };
  Queue<Item> queue;
  queue.push(Item(7));
  std::optional<Item> item;
  BOOST_TEST((queue.pop_for(item, 1s) == PopStatus::kItem));
  BOOST_TEST(item->number == 7);
}

// ---- Iterating ----------------------------------------------------------------------------------

static_assert(std::input_iterator<Queue<int>::Iterator>);
static_assert(std::input_iterator<Queue<std::unique_ptr<int>>::Iterator>);
static_assert(std::sentinel_for<std::default_sentinel_t, Queue<int>::Iterator>);

WEFT_SHUFFLED_TEST_CASE(a_loop_over_a_queue_takes_items_until_it_is_closed) {
  with_each_kind<int>(1, [](auto& queue) {
    auto producer = spawn([&] {
      for (int i = 0; i < 10; ++i) {
        queue.push(i);
        if (i % 3 == 0) sleep_for(1s);
      }
      queue.close();
    });
    std::vector<int> items;
    for (const int item : queue) items.push_back(item);
    BOOST_TEST(items == (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
    for ([[maybe_unused]] const int item : queue) BOOST_ERROR("there is none left");
    producer.get();
  });
}

WEFT_SHUFFLED_TEST_CASE(several_may_iterate_and_each_item_is_one_ones) {
  with_each_kind<int>(2, [](auto& queue) {
    std::vector<int> taken(100);
    TaskGroup consumers;
    for (int i = 0; i < 4; ++i) {
      consumers.spawn([&] {
        for (const int item : queue) {
          ++taken[item];
          if (item % 5 == 0) yield();
        }
      });
    }
    for (int i = 0; i < 100; ++i) queue.push(i);
    queue.close();
    consumers.join();
    BOOST_TEST(std::count(taken.begin(), taken.end(), 1) == 100);
  });
}

WEFT_TEST_CASE(a_loop_may_take_items_that_can_only_be_moved) {
  with_each_kind<std::unique_ptr<int>>(0, [](auto& queue) {
    for (int i = 1; i <= 4; ++i) queue.push(std::make_unique<int>(i));
    queue.close();
    int sum = 0;
    std::unique_ptr<int> kept;
    for (auto item : queue) {
      sum += *item;
      kept = std::move(item);
      if (sum >= 3) break;
    }
    for (auto&& item : queue) sum += *item;
    BOOST_TEST(sum == 10);
    BOOST_TEST(kept);
  });
}

WEFT_TEST_CASE(leaving_a_loop_leaves_the_other_items) {
  with_each_kind<int>(0, [](auto& queue) {
    for (int i = 0; i < 3; ++i) queue.push(i);
    for ([[maybe_unused]] const int item : queue) break;
    BOOST_TEST(queue.size() == 2u);
  });
}

WEFT_SHUFFLED_TEST_CASE(a_loop_ends_when_its_fiber_is_cancelled) {
  with_each_kind<int>(0, [](auto& queue) {
    int items = 0;
    auto consumer = spawn([&] {
      for ([[maybe_unused]] const int item : queue) ++items;
      BOOST_ERROR("it goes on");
    });
    queue.push(1);
    run_until_blocked();
    consumer.cancel();
    queue.push(2);
    BOOST_CHECK_THROW(consumer.get(), TaskCancelled);
    BOOST_TEST(items == 1);
    BOOST_TEST(queue.pop() == 2);
  });
}

// ---- Counting what is done ----------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_join_waits_until_all_items_are_done) {
  with_each_kind<int>(0, [](auto& queue) {
    for (int i = 0; i < 3; ++i) queue.push(i);
    auto joiner = spawn([&] { queue.join(); });
    auto other = spawn([&] { queue.join(); });
    for (int i = 0; i < 3; ++i) {
      run_until_blocked();
      BOOST_TEST(!joiner.done());
      queue.pop();
      run_until_blocked();
      BOOST_TEST(!joiner.done());  // taken is not done
      queue.task_done();
    }
    joiner.get();
    other.get();
    queue.join();
  });
}

WEFT_TEST_CASE(without_items_a_join_does_not_wait) {
  with_each_kind<int>(0, [](auto& queue) {
    const TimePoint start = now();
    queue.join();
    BOOST_TEST(queue.try_push(7));
    queue.pop();
    queue.task_done();
    queue.join();
    BOOST_TEST((now() == start));
  });
}

WEFT_SHUFFLED_TEST_CASE(workers_finish_what_was_queued) {
  with_each_kind<int>(2, [](auto& queue) {
    int done = 0;
    std::vector<Task<void>> workers;
    for (int i = 0; i < 3; ++i) {
      workers.push_back(spawn([&] {
        for (;;) {
          sleep_for(queue.pop() * 1ms);
          ++done;
          queue.task_done();
        }
      }));
    }
    for (int i = 0; i < 20; ++i) queue.push(i);
    queue.join();
    BOOST_TEST(done == 20);
    for (auto& worker : workers) worker.cancel();
    for (auto& worker : workers) BOOST_CHECK_THROW(worker.get(), TaskCancelled);
  });
}

WEFT_SHUFFLED_TEST_CASE(items_count_however_they_came) {
  with_each_kind<int>(1, [](auto& queue) {
    auto popper = spawn([&] { return queue.pop(); });
    run_until_blocked();
    queue.push(1);  // goes to the popper
    queue.push(2);
    auto pusher = spawn([&] { queue.push(3); });  // waits for room
    auto cancelled = spawn([&] { queue.push(4); });
    run_until_blocked();
    cancelled.cancel();
    BOOST_TEST(!queue.try_push(5));
    BOOST_TEST(!queue.try_push_for(6, 1s));
    queue.pop();
    queue.pop();
    for (int i = 0; i < 3; ++i) queue.task_done();
    queue.join();
    BOOST_CHECK_THROW(queue.task_done(), std::logic_error);
    BOOST_TEST(popper.get() == 1);
    pusher.get();
    cancelled.wait();
  });
}

WEFT_TEST_CASE(to_be_done_more_often_than_pushed_is_an_error) {
  with_each_kind<int>(0, [](auto& queue) {
    BOOST_CHECK_THROW(queue.task_done(), std::logic_error);
    queue.push(1);
    queue.task_done();
    BOOST_CHECK_THROW(queue.task_done(), std::logic_error);
    queue.join();
    queue.push(2);
    BOOST_CHECK_THROW(with_timeout(1s, [&] { queue.join(); }), TimeoutError);
    queue.task_done();
    queue.join();
  });
}

WEFT_SHUFFLED_TEST_CASE(a_join_returns_also_if_more_is_pushed_before_it_runs) {
  with_each_kind<int>(0, [](auto& queue) {
    queue.push(1);
    auto joiner = spawn([&] { queue.join(); });
    run_until_blocked();
    queue.task_done();
    queue.push(2);
    joiner.get();
    auto next = spawn([&] { queue.join(); });
    run_until_blocked();
    BOOST_TEST(!next.done());
    queue.task_done();
    next.get();
  });
}

WEFT_SHUFFLED_TEST_CASE(a_join_can_be_cancelled) {
  with_each_kind<int>(0, [](auto& queue) {
    queue.push(1);
    auto joiner = spawn([&] { queue.join(); });
    auto other = spawn([&] { queue.join(); });
    run_until_blocked();
    joiner.cancel();
    queue.task_done();
    BOOST_CHECK_THROW(joiner.get(), TaskCancelled);
    other.get();
  });
}

WEFT_SHUFFLED_TEST_CASE(closing_does_not_count_as_done) {
  with_each_kind<int>(0, [](auto& queue) {
    queue.push(1);
    auto joiner = spawn([&] { queue.join(); });
    run_until_blocked();
    queue.close();
    sleep_for(1s);
    BOOST_TEST(!joiner.done());
    for ([[maybe_unused]] const int item : queue) queue.task_done();
    joiner.get();
  });
}

BOOST_AUTO_TEST_CASE(fibers_and_threads_join) {
  SchedulerThread one, two;
  for (int round = 0; round < 100; ++round) {
    auto queue = std::make_unique<Queue<int>>();
    int done = 0;  // not atomic: join() orders the accesses
    auto worker = spawn(
        [&] {
          for (int i = 0; i < 3; ++i) {
            done += queue->pop();
            queue->task_done();
          }
        },
        {.on = one.get()});
    for (int i = 0; i < 3; ++i) queue->push(1);
    auto joiner = spawn(
        [&] {
          queue->join();
          return done;
        },
        {.on = two.get()});
    queue->join();
    BOOST_TEST(done == 3);
    BOOST_TEST(joiner.get() == 3);
    if (round % 2) queue.reset();  // the worker may be on its way out
    worker.get();
  }
}

BOOST_AUTO_TEST_SUITE_END()
