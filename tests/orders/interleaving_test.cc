// What threads do to each other, in every order of their steps: see explorer.h.

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "tests/orders/explored_check.h"
#include "tests/orders/explored_scheduler.h"
#include "tests/orders/explorer.h"
#include "tests/support/check.h"
#include "tests/support/permits.h"
#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/inbox.h"
#include "weft/fiber/core/parker.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/future.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/task.h"
#include "weft/fiber/this_fiber.h"
#include "weft/fiber/timeout.h"

BOOST_AUTO_TEST_SUITE(interleaving)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

constexpr int kAllOrders = 1000;  // preemptions: more than there are steps

std::string failure_of(const std::function<Scenario()>& make) { return explore(make, 2).failure; }

}  // namespace

// ---- The explorer itself ------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_lost_update_is_found) {
  const auto make = [] {
    auto number = std::make_shared<Atomic<int>>(0);
    const auto add = [number] {
      const int before = number->load(std::memory_order_relaxed);
      number->store(before + 1, std::memory_order_relaxed);
    };
    return Scenario{.threads = {add, add},
                    .holds = [number] { return number->load(std::memory_order_relaxed) == 2; }};
  };
  BOOST_TEST(failure_of(make) == "what must hold does not");
  BOOST_TEST(explore(make, 0).failure == "");
}

BOOST_AUTO_TEST_CASE(a_lost_wake_up_is_found) {
  BOOST_TEST(failure_of([] {
               auto parker = std::make_shared<Parker>();
               auto set = std::make_shared<Atomic<bool>>(false);
               auto waits = std::make_shared<Atomic<bool>>(false);
               const auto wait = [=] {
                 if (set->load(std::memory_order_relaxed)) return;
                 waits->store(true, std::memory_order_relaxed);
                 parker->wait();
               };
               const auto wake = [=] {
                 set->store(true, std::memory_order_relaxed);
                 if (waits->load(std::memory_order_relaxed)) parker->post();
               };
               return Scenario{.threads = {wait, wake}};
             }) == "nobody can go on");
}

BOOST_AUTO_TEST_CASE(a_touch_after_destruction_is_found) {
  BOOST_TEST(failure_of([] {
               auto place = std::make_shared<std::optional<Atomic<int>>>(std::in_place, 0);
               const auto last = [=] {
                 if ((*place)->fetch_add(1, std::memory_order_relaxed) == 1) place->reset();
               };
               const auto looks_back = [=] {
                 if ((*place)->fetch_add(1, std::memory_order_relaxed) == 0) {
                   (*place)->load(std::memory_order_relaxed);
                 } else {
                   place->reset();
                 }
               };
               return Scenario{.threads = {last, looks_back}};
             }) == "an Atomic is accessed after its destruction");
}

BOOST_AUTO_TEST_CASE(every_order_is_tried_once) {
  // Two threads of two accesses each: six orders, and where a thread starts or ends is no access.
  const Exploration exploration = explore(
      [] {
        auto word = std::make_shared<Atomic<int>>(0);
        const auto twice = [word] {
          word->fetch_add(1, std::memory_order_relaxed);
          word->fetch_add(1, std::memory_order_relaxed);
        };
        return Scenario{.threads = {twice, twice}};
      },
      kAllOrders);
  BOOST_TEST(exploration.failure == "");
  BOOST_TEST(exploration.runs == 20);
}

// ---- Locks, tokens, inboxes ---------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_spin_lock_admits_one_at_a_time) {
  check(
      [] {
        struct State {
          SpinLock lock;
          Atomic<int> number{0};
        };
        auto state = std::make_shared<State>();
        const auto add = [state] {
          const std::lock_guard lock(state->lock);
          const int before = state->number.load(std::memory_order_relaxed);
          state->number.store(before + 1, std::memory_order_relaxed);
        };
        return Scenario{.threads = {add, add}, .holds = [state] {
                          return state->number.load(std::memory_order_relaxed) == 2;
                        }};
      },
      kAllOrders);
}

BOOST_AUTO_TEST_CASE(a_token_is_taken_once_or_left) {
  check(
      [] {
        struct State {
          Parker parker;
          int taken = 0;
        };
        auto state = std::make_shared<State>();
        return Scenario{.threads = {[state] {
                                      state->taken += state->parker.wait(kSoon);
                                      state->taken += state->parker.wait(kPast + 2h);
                                      if (state->taken == 0) state->taken += state->parker.wait();
                                    },
                                    [state] { state->parker.post(); }},
                        .holds = [state] { return state->taken == 1; }};
      },
      kAllOrders);
}

BOOST_AUTO_TEST_CASE(no_push_is_missed_by_an_owner_that_goes_to_sleep) {
  check(
      [] {
        struct Node : InboxNode {
          explicit Node(int& done)
              : InboxNode(
                    [](InboxNode& node, Calls*) noexcept { ++static_cast<Node&>(node).count; }),
                count(done) {}
          int& count;
        };
        struct State {
          Inbox inbox;
          Parker parker;
          int done = 0;
          Node first{done};
          Node second{done};

          void push(Node& node) {
            if (!inbox.push(node)) return;
            parker.post();
            inbox.woke();
          }
        };
        auto state = std::make_shared<State>();
        const auto own = [state] {
          for (;;) {
            state->inbox.drain();
            if (state->done == 2) break;
            if (state->inbox.try_sleep()) state->parker.wait();
          }
          state->inbox.settle();
        };
        return Scenario{.threads = {own, [state] { state->push(state->first); },
                                    [state] { state->push(state->second); }}};
      },
      3);
}

// ---- Waiting ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_plain_thread_whose_time_is_over_loses_no_permit) {
  check(
      [] {
        struct State {
          Permits permits;
          int got = 0;
        };
        auto state = std::make_shared<State>();
        return Scenario{.threads = {[state] { state->got += state->permits.acquire(kSoon); },
                                    [state] { state->permits.release(); }},
                        .holds = [state] { return state->got + state->permits.count() == 1; }};
      },
      4);
}

BOOST_AUTO_TEST_CASE(a_fiber_whose_time_is_over_loses_no_permit) {
  check(
      [] {
        struct State {
          Permits permits;
          int got = 0;
          ExploredScheduler scheduler;
        };
        auto state = std::make_shared<State>();
        return Scenario{.threads = {[state] {
                                      state->scheduler.run([state] {
                                        state->got += state->permits.acquire(now() + 1ns);
                                      });
                                    },
                                    [state] { state->permits.release(); }},
                        .holds = [state] { return state->got + state->permits.count() == 1; }};
      },
      2);
}

BOOST_AUTO_TEST_CASE(a_fiber_that_is_cancelled_loses_no_permit) {
  check(
      [] {
        struct State {
          Permits permits;
          int got = 0;
          ExploredScheduler scheduler;
          Task<void> task = spawn([this] { got += permits.acquire(); }, {.on = scheduler.get()});
        };
        auto state = std::make_shared<State>();
        return Scenario{
            .threads = {[state] { state->scheduler.run([state] { state->task.wait(); }); },
                        [state] { state->permits.release(); }, [state] { state->task.cancel(); }},
            .holds = [state] { return state->got + state->permits.count() == 1; }};
      },
      2);
}

BOOST_AUTO_TEST_CASE(who_was_woken_may_destroy_what_it_waited_for) {
  struct State {
    std::optional<Permits> permits{std::in_place};
    ExploredScheduler scheduler;
  };
  const auto wait = [](State& state) {
    state.permits->acquire();
    state.permits.reset();
  };
  const auto wake = [](State& state) { state.permits->release(); };
  check(
      [&] {
        auto state = std::make_shared<State>();
        return Scenario{.threads = {[=] { state->scheduler.run([=] { wait(*state); }); },
                                    [=] { wake(*state); }}};
      },
      3);
}

BOOST_AUTO_TEST_CASE(fibers_of_two_schedulers_hand_over_to_each_other) {
  check(
      [] {
        struct State {
          Permits there;
          Permits back;
          ExploredScheduler first;
          ExploredScheduler second;
        };
        auto state = std::make_shared<State>();
        return Scenario{.threads = {[state] {
                                      state->first.run([state] {
                                        state->there.release();
                                        state->back.acquire();
                                      });
                                    },
                                    [state] {
                                      state->second.run([state] {
                                        state->there.acquire();
                                        state->back.release();
                                      });
                                    }}};
      },
      2);
}

// ---- Futures and tasks --------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(who_sees_the_value_may_destroy_the_promise) {
  check(
      [] {
        auto promise = std::make_shared<std::optional<Promise<int>>>(std::in_place);
        return Scenario{.threads = {[promise] { (*promise)->set_value(7); },
                                    [promise] {
                                      const auto future = (*promise)->future();
                                      while (!future.done()) let_others_run();
                                      promise->reset();
                                    }}};
      },
      kAllOrders);
}

BOOST_AUTO_TEST_CASE(who_waited_for_the_value_may_destroy_the_promise) {
  check(
      [] {
        auto promise = std::make_shared<std::optional<Promise<int>>>(std::in_place);
        return Scenario{.threads = {[promise] { (*promise)->set_value(7); },
                                    [promise] {
                                      (*promise)->future().get();
                                      promise->reset();
                                    }}};
      },
      4);
}

BOOST_AUTO_TEST_CASE(a_scheduler_may_go_when_its_last_post_has_run) {
  check(
      [] {
        auto scheduler = std::make_shared<ExploredScheduler>();
        return Scenario{.threads = {[scheduler] {
                                      (*scheduler)->run();
                                      scheduler->close();
                                    },
                                    [scheduler] {
                                      Loop& there = *scheduler->get();
                                      there.post([&there] { there.stop(); });
                                    }}};
      },
      3);
}

BOOST_AUTO_TEST_CASE(a_scheduler_may_go_while_somebody_stops_it) {
  check(
      [] {
        auto scheduler = std::make_shared<ExploredScheduler>();
        return Scenario{.threads = {[scheduler] {
                                      (*scheduler)->run();
                                      scheduler->close();
                                    },
                                    [there = scheduler->get()] {
                                      there->post([] {});
                                      there->stop();
                                    }}};
      },
      3);
}

namespace {

// A task of another thread's scheduler, which ends while `use` does something to its handle.
void check_handle(void (*use)(Task<int>&), int preemptions) {
  check(
      [use] {
        struct State {
          ExploredScheduler scheduler;
          Task<int> task = spawn([] { return 7; }, {.on = scheduler.get()});
        };
        auto state = std::make_shared<State>();
        return Scenario{.threads = {[state] { state->scheduler.run([] { yield(); }); },
                                    [state, use] {
                                      Task<int> task = std::move(state->task);
                                      use(task);
                                    }}};
      },
      preemptions);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_task_may_end_while_its_handle_is_dropped) {
  check_handle([](Task<int>&) {}, 2);
}

BOOST_AUTO_TEST_CASE(a_task_may_end_while_it_is_detached) {
  check_handle([](Task<int>& task) { task.detach(); }, 2);
}

BOOST_AUTO_TEST_CASE(a_task_may_end_while_it_is_cancelled) {
  check_handle([](Task<int>& task) { task.cancel(); }, 2);
}

BOOST_AUTO_TEST_CASE(a_task_may_end_while_somebody_waits_a_while_for_it) {
  check_handle([](Task<int>& task) { task.wait_until(kSoon); }, 2);
}

BOOST_AUTO_TEST_CASE(a_task_may_end_while_another_thread_drops_the_handle_it_was_given) {
  check(
      [] {
        struct State {
          ExploredScheduler scheduler;
          Permits given;
          Task<int> task;
        };
        auto state = std::make_shared<State>();
        return Scenario{.threads = {[state] {
                                      state->scheduler.run([state] {
                                        state->task = spawn([] { return 7; });
                                        state->given.release();
                                        yield();
                                      });
                                    },
                                    [state] {
                                      state->given.acquire();
                                      Task<int> task = std::move(state->task);
                                      task.detach();
                                    }}};
      },
      2);
}

// The task ends, one waits a while for it, and both drop a future; the last one cancels the task.
BOOST_AUTO_TEST_CASE(a_shared_task_may_end_while_readers_go) {
  check(
      [] {
        struct State {
          ExploredScheduler scheduler;
          Future<int> first = spawn([] { return 7; }, {.on = scheduler.get()}).share();
          Future<int> second = first;
          bool wrong = false;
        };
        auto state = std::make_shared<State>();
        return Scenario{.threads = {[state] {
                                      state->scheduler.run([state] {
                                        state->first = {};
                                        yield();
                                      });
                                    },
                                    [state] {
                                      Future<int> future = std::move(state->second);
                                      if (future.wait_until(kSoon)) {
                                        state->wrong = future.get() != 7;
                                      }
                                    }},
                        .holds = [state] { return !state->wrong; }};
      },
      2);
}

BOOST_AUTO_TEST_CASE(a_promise_is_abandoned_once_whoever_goes_last) {
  check(
      [] {
        struct State {
          std::optional<Promise<int>> promise{std::in_place};
          Future<int> first = promise->future();
          Future<int> second = first;
          bool seen = false;
        };
        auto state = std::make_shared<State>();
        return Scenario{.threads = {[state] { state->first = {}; }, [state] { state->second = {}; },
                                    [state] {
                                      const bool soon = state->promise->wait_abandoned_until(kSoon);
                                      const auto again = state->promise->future();
                                      if (!soon) state->promise->abandoned();
                                      state->promise.reset();
                                      state->seen = again.done();
                                    }},
                        .holds = [state] { return state->seen; }};
      },
      2);
}

BOOST_AUTO_TEST_SUITE_END()
