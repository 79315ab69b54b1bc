// Where schedulers have to agree, in every order of their steps: the end that they come to
// together, and the clock that they share. See explorer.h.

#include <array>
#include <functional>
#include <memory>
#include <utility>

#include "tests/orders/explored_check.h"
#include "tests/orders/explorer.h"
#include "tests/support/check.h"
#include "weft/fiber/core/group.h"
#include "weft/fiber/core/home.h"
#include "weft/fiber/core/loop.h"
#include "weft/fiber/core/parker.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/core/shutdown.h"
#include "weft/fiber/core/thread_port.h"
#include "weft/fiber/core/virtual_port.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/task.h"

BOOST_AUTO_TEST_SUITE(schedulers_interleaving)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// ---- The end ------------------------------------------------------------------------------------

// A Port for which no time is ever over.
class TimelessPort final : public Port {
 public:
  TimePoint now() const noexcept override { return TimePoint(); }
  bool wait(TimePoint deadline) override { return deadline > now() && parker_.wait(); }
  void wake() noexcept override { parker_.post(); }

 private:
  Parker parker_;
};

// Two schedulers that end together.
struct Pair {
  explicit Pair(std::function<void()> last) : end(all, std::move(last)) {
    for (Loop* scheduler : all) scheduler->set_group(group);
  }

  // A task of the scheduler that the calling fiber does not run on.
  Task<int> spawn_over_there(int result) {
    return spawn([result] { return result; }, {.on = over_there()});
  }
  Loop* over_there() { return all[all[0] == Home::here()]; }

  std::array<TimelessPort, 2> ports;
  Loop first{ports[0], {.trim = false}};
  Loop second{ports[1], {.trim = false}};
  std::array<Loop*, 2> all{&first, &second};
  Group group{first};
  Shutdown end;
};

struct EndTogether : Pair {
  EndTogether() : Pair([this] { sum += spawn_over_there(7).get(); }) {}
  bool holds() const { return sum == 7; }
  int sum = 0;
};

// What is asked of a scheduler that rests already is still done by it, where it may wait.
struct EndWithMessage : Pair {
  struct Cleanup {
    explicit Cleanup(int& number) : in_fibers(number) {}
    ~Cleanup() { in_fibers += current_fiber() != nullptr; }
    int& in_fibers;
  };
  EndWithMessage()
      : Pair([this] {
          auto cleanup = std::make_shared<Cleanup>(in_fibers);
          spawn([cleanup = std::move(cleanup)] {}, {.on = over_there()}).detach();
        }) {}
  bool holds() const { return in_fibers == 1; }
  int in_fibers = 0;
};

struct EndWithCleanup : Pair {
  struct Cleanup {
    ~Cleanup() {
      if (pair) pair->sum += pair->spawn_over_there(1).get();
    }
    EndWithCleanup* pair = nullptr;
  };
  EndWithCleanup() : Pair(nullptr) {
    // It is cancelled before it begins; what it captured is destroyed all the same.
    for (Loop* scheduler : all) {
      auto cleanup = std::make_shared<Cleanup>();
      cleanup->pair = this;
      spawn([cleanup = std::move(cleanup)] {}, {.on = scheduler}).detach();
    }
  }
  bool holds() const { return sum == 2; }
  int sum = 0;
};

template <class State>
void shut_down_first(State& state) {
  state.first.shutdown(state.end);
}

template <class State>
void shut_down_second(State& state) {
  state.second.shutdown(state.end);
}

template <class State>
void post(State& state) {
  state.first.post([] {});
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_last_of_all_runs_once_and_may_use_every_scheduler) {
  check<EndTogether>({&shut_down_first, &shut_down_second}, 2);
}

BOOST_AUTO_TEST_CASE(what_was_asked_before_all_rest_is_done_before_the_end) {
  check<EndWithMessage>({&shut_down_first, &shut_down_second}, 2);
}

BOOST_AUTO_TEST_CASE(each_is_there_until_what_the_other_leaves_behind_is_gone) {
  check<EndWithCleanup>({&shut_down_first, &shut_down_second}, 1);
}

BOOST_AUTO_TEST_CASE(a_post_meanwhile_keeps_nobody_from_the_end) {
  check<EndTogether>({&shut_down_first, &shut_down_second, &post}, 1);
}

// ---- The clock ----------------------------------------------------------------------------------

namespace {

constexpr TimePoint kStart{1s};

struct Clocks {
  ThreadPort outside[2];
  VirtualClock clock;
  VirtualPort first{outside[0], clock};
  VirtualPort second{outside[1], clock};
  TimePoint seen_first = kPast, seen_second = kPast;
  Atomic<bool> over{false};

  // So that the clock goes on without the first.
  void rest_first() {
    while (!over.load(std::memory_order_relaxed)) first.wait(kForever);
  }
  void end_rest() {
    over.store(true, std::memory_order_relaxed);
    first.wake();
  }
};

struct WokenBeforeTheJump : Clocks {
  bool holds() const { return seen_first == kStart && seen_second == kStart + 1h; }
};

struct EachInItsTime : Clocks {
  bool holds() const { return seen_first == kStart + 1h && seen_second == kStart + 2h; }
};

void wait_until(VirtualPort& port, TimePoint deadline) {
  while (port.now() < deadline) port.wait(deadline);
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_clock_does_not_jump_over_one_who_was_woken) {
  check<WokenBeforeTheJump>({[](WokenBeforeTheJump& state) {
                               state.first.wait(kStart + 2h);
                               state.seen_first = state.first.now();
                               state.rest_first();
                             },
                             [](WokenBeforeTheJump& state) {
                               state.first.wake();
                               wait_until(state.second, kStart + 1h);
                               state.seen_second = state.second.now();
                               state.end_rest();
                             }},
                            3);
}

BOOST_AUTO_TEST_CASE(the_clock_stops_at_every_deadline) {
  check<EachInItsTime>({[](EachInItsTime& state) {
                          wait_until(state.first, kStart + 1h);
                          state.seen_first = state.first.now();
                          state.rest_first();
                        },
                        [](EachInItsTime& state) {
                          wait_until(state.second, kStart + 2h);
                          state.seen_second = state.second.now();
                          state.end_rest();
                        }},
                       3);
}

namespace {

struct StandsStill : Clocks {
  bool holds() const { return seen_first == seen_second; }
};

}  // namespace

BOOST_AUTO_TEST_CASE(the_clock_stands_still_for_one_whom_two_have_woken) {
  check<StandsStill>({[](StandsStill& state) {
                        state.first.wait(kStart + 2h);
                        state.seen_first = state.first.now();
                        static_cast<void>(state.over.load(std::memory_order_relaxed));  // a step
                        state.seen_second = state.first.now();
                        state.rest_first();
                      },
                      [](StandsStill& state) {
                        state.second.wait(kStart + 1h);
                        state.end_rest();
                      },
                      [](StandsStill& state) { state.first.wake(); },        // a plain thread
                      [](StandsStill& state) { state.outside[0].wake(); }},  // an event
                     2);
}

BOOST_AUTO_TEST_SUITE_END()
