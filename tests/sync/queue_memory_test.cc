// What a queue does with its items and with memory: every item is destroyed once, and none costs an
// allocation once there is room.

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/queue_kinds.h"
#include "tests/support/scheduler_thread.h"
#include "weft/sync/queue.h"

namespace {

std::atomic<long> allocations{0};

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size ? size : 1)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

BOOST_AUTO_TEST_SUITE(queue_memory)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// An item that knows all of its like. It can only be moved, and owns memory.
class Item {
 public:
  explicit Item(int number) : number_(std::make_unique<int>(number)) { enter(); }
  Item(Item&& other) noexcept : number_(std::move(other.number_)) {
    other.check();
    enter();
  }
  Item& operator=(Item&& other) noexcept {
    check();
    other.check();
    number_ = std::move(other.number_);
    return *this;
  }
  ~Item() {
    check();
    alive().erase(this);
  }

  int number() const { return *number_; }
  bool operator<(const Item& other) const { return number() < other.number(); }

  static std::set<const Item*>& alive() {
    static std::set<const Item*> items;
    return items;
  }

 private:
  void enter() { BOOST_TEST(alive().insert(this).second, "an item is on top of another"); }
  void check() const { BOOST_TEST(alive().contains(this), "an item that is not alive is used"); }

  std::unique_ptr<int> number_;
};

// with_each_kind() with a check that no item is left.
template <class Test>
void with_each_kind_of_items(std::size_t capacity, Test test) {
  with_each_kind<Item>(capacity, test);
  BOOST_TEST(Item::alive().empty());
}

// Calls f, and returns how often it allocated.
template <class F>
long allocations_in(F f) {
  const long before = allocations;
  f();
  return allocations - before;
}

struct alignas(64) Aligned {
  explicit Aligned(int its_number) : number(its_number) { check(); }
  Aligned(Aligned&& other) noexcept : number(other.number) { check(); }
  Aligned& operator=(Aligned&& other) noexcept = default;
  bool operator<(const Aligned& other) const { return number < other.number; }
  void check() const { BOOST_TEST(reinterpret_cast<std::uintptr_t>(this) % 64 == 0u); }
  int number;
};

}  // namespace

// ---- Items --------------------------------------------------------------------------------------

WEFT_TEST_CASE(what_is_left_is_destroyed_with_the_queue) {
  for (const int count : {0, 1, 15, 16, 17, 100}) {
    with_each_kind_of_items(0, [&](auto& queue) {
      for (int i = 0; i < count; ++i) queue.push(Item(i));
      BOOST_TEST(Item::alive().size() == static_cast<unsigned>(count));
    });
  }
}

WEFT_TEST_CASE(what_is_left_is_destroyed_also_where_the_ring_has_turned) {
  for (int turn = 0; turn <= 40; ++turn) {
    with_each_kind_of_items(0, [&](auto& queue) {
      for (int i = 0; i < 10; ++i) queue.push(Item(i));
      for (int i = 0; i < turn; ++i) {
        queue.push(Item(10 + i));
        queue.pop();
      }
      BOOST_TEST(Item::alive().size() == 10u);
    });
  }
}

WEFT_TEST_CASE(growing_moves_items_and_loses_none) {
  for (int turn = 0; turn < 20; ++turn) {
    with_each_kind_of_items(0, [&](auto& queue) {
      std::set<int> numbers;
      for (int i = 0; i < turn; ++i) {
        queue.push(Item(-1));
        queue.pop();
      }
      for (int i = 0; i < 100; ++i) {
        queue.push(Item(i));
        if (i % 3 == 0) numbers.insert(queue.pop().number());
      }
      BOOST_TEST(Item::alive().size() == queue.size());
      while (auto item = queue.try_pop()) numbers.insert(item->number());
      BOOST_TEST(numbers.size() == 100u);
    });
  }
}

WEFT_SHUFFLED_TEST_CASE(items_of_those_who_wait_are_destroyed_once) {
  with_each_kind_of_items(1, [](auto& queue) {
    auto popper = spawn([&] { return queue.pop(); });
    auto late = spawn([&] { return queue.try_pop_for(1s); });
    auto cancelled_popper = spawn([&] { return queue.pop(); });
    run_until_blocked();
    cancelled_popper.cancel();
    queue.push(Item(1));
    queue.push(Item(2));
    sleep_for(2s);
    BOOST_TEST(queue.size() == 0u);
    popper.wait();
    late.wait();

    queue.push(Item(3));
    auto pusher = spawn([&] { queue.push(Item(4)); });
    auto late_pusher = spawn([&] { return queue.try_push_for(Item(5), 1s); });
    auto cancelled_pusher = spawn([&] { queue.push(Item(6)); });
    sleep_for(1ms);
    cancelled_pusher.cancel();
    sleep_for(2s);
    queue.pop();
    auto closed_out = spawn([&] { queue.push(Item(7)); });
    run_until_blocked();
    queue.close();
    BOOST_CHECK_THROW(closed_out.get(), QueueClosed);
    pusher.get();
    BOOST_TEST(!late_pusher.get());
    BOOST_TEST(queue.size() == 1u);
    popper.get();
    late.get();
  });
}

WEFT_TEST_CASE(a_loop_destroys_each_item_before_it_takes_the_next) {
  with_each_kind_of_items(0, [](auto& queue) {
    for (int i = 0; i < 5; ++i) queue.push(Item(i));
    queue.close();
    std::size_t left = 5;
    for (auto&& item : queue) {
      BOOST_TEST(item.number() < 5);
      BOOST_TEST(Item::alive().size() == left--);
    }
    BOOST_TEST(left == 0u);
  });
}

WEFT_TEST_CASE(items_lie_where_their_alignment_wants_them) {
  with_each_kind<Aligned>(0, [](auto& queue) {
    for (int i = 0; i < 40; ++i) queue.push(Aligned(7));
    for (int i = 0; i < 40; ++i) BOOST_TEST(queue.pop().number == 7);
  });
}

// ---- Memory -------------------------------------------------------------------------------------

WEFT_TEST_CASE(an_item_costs_no_allocation_once_there_is_memory) {
  with_each_kind<int>(0, [](auto& queue) {
    for (int i = 0; i < 1'000; ++i) queue.push(i);
    for (int i = 0; i < 1'000; ++i) queue.pop();
    BOOST_TEST(allocations_in([&] {
                 for (int round = 0; round < 5; ++round) {
                   for (int i = 0; i < 1'000; ++i) queue.push(i);
                   for (int i = 0; i < 1'000; ++i) queue.pop();
                 }
                 for (int i = 0; i < 1'000; ++i) {
                   queue.try_push(i);
                   queue.try_pop();
                 }
               }) == 0);
  });
}

WEFT_TEST_CASE(an_empty_queue_has_no_memory) {
  BOOST_TEST(allocations_in([] { Queue<int> queue(1'000'000); }) == 0);
  BOOST_TEST(allocations_in([] { PriorityQueue<int> queue(1'000'000); }) == 0);
  BOOST_TEST(allocations_in([] { LifoQueue<int> queue(1'000'000); }) == 0);
}

WEFT_TEST_CASE(growing_costs_few_allocations) {
  with_each_kind<int>(0, [](auto& queue) {
    const long count = allocations_in([&] {
      for (int i = 0; i < 100'000; ++i) queue.push(i);
    });
    BOOST_TEST(count <= 20);
  });
}

WEFT_TEST_CASE(handing_over_costs_no_allocation) {
  with_each_kind<int>(1, [](auto& queue) {
    long count = -1;
    auto pusher = spawn([&] {
      for (int i = 0; i < 300; ++i) queue.push(i);
    });
    for (int i = 0; i < 100; ++i) queue.pop();
    count = allocations_in([&] {
      for (int i = 0; i < 100; ++i) queue.pop();
    });
    for (int i = 0; i < 100; ++i) queue.pop();
    pusher.get();
    auto popper = spawn([&] {
      for (int i = 0; i < 300; ++i) queue.try_pop_for(1h);
    });
    for (int i = 0; i < 100; ++i) queue.push(i);
    count += allocations_in([&] {
      for (int i = 0; i < 100; ++i) {
        queue.push(i);
        yield();
      }
    });
    for (int i = 0; i < 100; ++i) queue.push(i);
    popper.get();
    BOOST_TEST(count == 0);
  });
}

BOOST_AUTO_TEST_CASE(handing_over_between_threads_costs_no_allocation) {
  Queue<int> there(1), back(1);
  for (Queue<int>* queue : {&there, &back}) {
    queue->push(0);  // it has memory now
    queue->pop();
  }
  SchedulerThread other;
  auto task = spawn(
      [&] {
        for (;;) back.push(there.pop());
      },
      {.on = other.get()});
  const auto pass = [&] {
    for (int i = 0; i < 200; ++i) {
      there.push(i);
      back.pop();
    }
  };
  pass();
  BOOST_TEST(allocations_in(pass) == 0);
  task.cancel();
  task.wait();
}

BOOST_AUTO_TEST_SUITE_END()
