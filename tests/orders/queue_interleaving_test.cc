// What threads and fibers do to queues, in every order of their steps: see explorer.h.

#include <algorithm>
#include <optional>
#include <vector>

#include "tests/orders/explored_check.h"
#include "tests/orders/explored_scheduler.h"
#include "tests/support/check.h"
#include "weft/sync/queue.h"

BOOST_AUTO_TEST_SUITE(queue_interleaving)

using namespace weft;
using namespace weft::test;

namespace {

// Numbers from 1 are pushed; what came out is added up.
struct QueueState {
  Queue<int> queue{1};
  int pushed = 0;
  int popped = 0;

  bool holds() {
    while (const auto item = queue.try_pop()) popped += *item;
    return popped == pushed;
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(no_item_is_lost_by_whose_time_is_over) {
  check<QueueState>(
      {[](QueueState& state) {
         for (int item = 1; item <= 2; ++item) {
           state.queue.push(item);
           state.pushed += item;
         }
       },
       [](QueueState& state) { state.popped += state.queue.pop(); },
       [](QueueState& state) { state.popped += state.queue.try_pop_until(kSoon).value_or(0); }},
      1);
  check<QueueState>({[](QueueState& state) {
                       state.queue.push(1);
                       ++state.pushed;
                     },
                     [](QueueState& state) {
                       if (state.queue.try_push_until(2, kSoon)) state.pushed += 2;
                     },
                     [](QueueState& state) { state.popped += state.queue.pop(); }},
                    2);
}

BOOST_AUTO_TEST_CASE(no_item_is_lost_by_who_is_cancelled) {
  struct Popping : QueueState {
    ExploredFiber fiber{[this] { popped += queue.pop(); }};
  };
  check<Popping>({[](Popping& state) { state.fiber.run(); },
                  [](Popping& state) {
                    state.queue.push(7);
                    state.pushed = 7;
                  },
                  [](Popping& state) { state.fiber.cancel(); }},
                 2);
  struct Pushing : QueueState {
    Pushing() {
      queue.push(1);
      pushed = 1;
    }
    ExploredFiber fiber{[this] {
      queue.push(2);
      pushed += 2;
    }};
  };
  check<Pushing>({[](Pushing& state) { state.fiber.run(); },
                  [](Pushing& state) { state.popped += state.queue.pop(); },
                  [](Pushing& state) { state.fiber.cancel(); }},
                 2);
}

BOOST_AUTO_TEST_CASE(what_was_pushed_before_closing_comes_out) {
  check<QueueState>({[](QueueState& state) {
                       try {
                         for (int item = 1; item <= 2; ++item) {
                           state.queue.push(item);
                           state.pushed += item;
                         }
                       } catch (const QueueClosed&) {
                       }
                     },
                     [](QueueState& state) { state.queue.close(); },
                     [](QueueState& state) {
                       for (const int item : state.queue) state.popped += item;
                     }},
                    2);
}

BOOST_AUTO_TEST_CASE(what_is_pushed_is_popped_or_dropped_or_stays_where_it_was) {
  struct Item {
    explicit Item(int& its_count) : count(&its_count) { ++*count; }
    Item(Item&& other) noexcept : count(std::exchange(other.count, nullptr)) {}
    ~Item() {
      if (count) --*count;
    }
    int* count;
  };
  struct State {
    int left = 0, kept = 0, popped = 0;
    Queue<Item> queue{1};
    void push() {
      try {
        for (int i = 0; i < 2; ++i) {
          Item item(left);
          try {
            queue.push(std::move(item));
          } catch (const QueueClosed&) {
            kept += item.count != nullptr;
            throw;
          }
        }
      } catch (const QueueClosed&) {
      }
    }
    void pop() {
      std::optional<Item> item;
      while (queue.pop_until(item, kForever) != PopStatus::kClosed) {
        ++popped;
        queue.task_done();
      }
    }
    bool holds() {
      queue.join();
      return left == 0 && queue.empty() && kept <= 1 && kept + popped <= 2;
    }
  };
  check<State>({[](State& state) { state.push(); }, [](State& state) { state.pop(); },
                [](State& state) { state.queue.close(kDiscard); }},
               1);
}

BOOST_AUTO_TEST_CASE(a_join_that_dropping_ends_may_destroy_the_queue) {
  struct State {
    std::optional<Queue<int>> queue{std::in_place};
    State() { queue->push(1); }
    bool holds() { return !queue; }
  };
  check<State>({[](State& state) { state.queue->close(kDiscard); },
                [](State& state) {
                  state.queue->join();
                  state.queue.reset();
                }},
               4);
}

namespace {

// A store has memory for 16 items at first, and doubles it. One pushes into the full store, while
// the other makes it grow twice and fills it again.
template <class Queue>
struct Growing {
  Growing() {
    for (int i = 0; i < 16; ++i) queue.push(i);
  }
  Queue queue;
  bool holds() {
    std::vector<int> items;
    while (const auto item = queue.try_pop()) items.push_back(*item);
    std::sort(items.begin(), items.end());
    for (int i = 0; i < 65; ++i) {
      if (items.size() != 65 || items[i] != i) return false;
    }
    return true;
  }
};

template <class Queue>
void check_growing() {
  using State = Growing<Queue>;
  check<State>({[](State& state) { state.queue.push(16); },
                [](State& state) {
                  for (int i = 17; i < 65; ++i) state.queue.push(i);
                }},
               2);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_queue_may_grow_while_another_push_makes_it_grow_more) {
  check_growing<LifoQueue<int>>();
  check_growing<PriorityQueue<int>>();
  check_growing<Queue<int>>();
}

BOOST_AUTO_TEST_CASE(who_was_woken_may_destroy_the_queue) {
  struct State {
    std::optional<Queue<int>> queue{std::in_place, 1};
    bool holds() { return !queue; }
  };
  check<State>({[](State& state) { state.queue->push(1); },
                [](State& state) {
                  state.queue->pop();
                  state.queue.reset();
                }},
               4);
  struct Full : State {
    Full() { queue->push(1); }
  };
  check<Full>({[](Full& state) { state.queue->pop(); },
               [](Full& state) {
                 state.queue->push(2);
                 state.queue.reset();
               }},
              4);
  check<Full>({[](Full& state) { state.queue->task_done(); },
               [](Full& state) {
                 state.queue->join();
                 state.queue.reset();
               }},
              4);
  check<State>({[](State& state) { state.queue->close(); },
                [](State& state) {
                  for ([[maybe_unused]] const int item : *state.queue) break;
                  state.queue.reset();
                }},
               4);
}

BOOST_AUTO_TEST_SUITE_END()
