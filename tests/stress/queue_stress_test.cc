// Queues between fibers of two schedulers and plain threads, some of which are cancelled or have no
// time: what goes in comes out, once.

#include <atomic>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <utility>

#include "tests/support/crowd.h"
#include "weft/sync/queue.h"

BOOST_AUTO_TEST_SUITE(queue_stress)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

// Calls test.operator()<Kind>() for each kind of queue.
template <class Test>
void for_each_kind(Test test) {
  BOOST_TEST_CONTEXT("Queue") { test.template operator()<Queue<std::uint64_t>>(); }
  BOOST_TEST_CONTEXT("PriorityQueue") { test.template operator()<PriorityQueue<std::uint64_t>>(); }
  BOOST_TEST_CONTEXT("LifoQueue") { test.template operator()<LifoQueue<std::uint64_t>>(); }
}

// Of all items, whatever their order.
struct Sum {
  std::atomic<std::uint64_t> items{0}, sum{0}, squares{0};

  void add(std::uint64_t item) {
    ++items;
    sum += item;
    squares += item * item;
  }
  bool operator==(const Sum& other) const {
    return items == other.items && sum == other.sum && squares == other.squares;
  }
};

// Nobody waits for ever: all others could have ended.
TimePoint soon(TimePoint deadline) { return std::min(deadline, Clock::now() + 100us); }

BOOST_AUTO_TEST_CASE(no_item_is_lost_or_doubled) {
  for_each_kind([]<class Kind> {
    for (const std::size_t capacity : {1, 3, 0}) {
      Crowd crowd;
      Kind queue(capacity);
      Sum pushed, popped;
      std::atomic<std::uint64_t> last{0};
      crowd.stress(6'000 / kScale, [&](TimePoint deadline, bool, unsigned draw) {
        if (draw % 2) {
          std::uint64_t item = ++last;
          const std::uint64_t copy = item;
          if (!queue.try_push_until(std::move(item), soon(deadline))) return false;
          pushed.add(copy);
          return true;
        }
        const std::optional<std::uint64_t> item = queue.try_pop_until(soon(deadline));
        if (item) popped.add(*item);
        return item.has_value();
      });
      while (const auto item = queue.try_pop()) popped.add(*item);
      BOOST_TEST((pushed == popped));
      for (std::uint64_t i = 0; i < pushed.items; ++i) queue.task_done();
      queue.join();
      BOOST_CHECK_THROW(queue.task_done(), std::logic_error);
    }
  });
}

// All of them find it full, and each gets memory for what it saw.
BOOST_AUTO_TEST_CASE(many_producers_may_make_a_queue_grow) {
  for_each_kind([]<class Kind> {
    for (int round = 0; round < kRounds / 20; ++round) {
      Crowd crowd;
      Kind queue;
      Sum pushed, popped;
      crowd.run_all([&](unsigned seed, Scheduler*) {
        for (std::uint64_t i = 0; i < 400; ++i) {
          queue.push(seed * 1000 + i);
          pushed.add(seed * 1000 + i);
        }
      });
      queue.close();
      for (const std::uint64_t item : queue) popped.add(item);
      BOOST_TEST((pushed == popped));
    }
  });
}

BOOST_AUTO_TEST_CASE(a_queue_may_be_closed_in_the_middle) {
  for_each_kind([]<class Kind> {
    Crowd crowd;
    for (int round = 0; round < kRounds / 10; ++round) {
      Kind queue(round % 3);
      Sum pushed, popped;
      crowd.run_all([&](unsigned seed, Scheduler*) {
        if (seed % 2) {
          for (const std::uint64_t item : queue) popped.add(item);
          return;
        }
        try {
          for (std::uint64_t i = 0;; ++i) {
            queue.push(i);
            pushed.add(i);
            if (i == 50 && seed == 2) queue.close();
            if (i % 16 == 15) yield();
          }
        } catch (const QueueClosed&) {
        }
      });
      BOOST_TEST((pushed == popped));
      BOOST_TEST(queue.size() == 0);
    }
  });
}

BOOST_AUTO_TEST_SUITE_END()
