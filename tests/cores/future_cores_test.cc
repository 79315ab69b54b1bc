// Futures whose promises, waiters and callbacks are on different schedulers.

#include <atomic>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/fixture.h"
#include "weft/fiber/future.h"

BOOST_AUTO_TEST_SUITE(future_cores)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

std::exception_ptr an_error() { return std::make_exception_ptr(std::runtime_error("set")); }

}  // namespace

// ---- Values -------------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(a_value_set_on_any_scheduler_wakes_those_of_all) {
  for (const std::size_t there : {0, 1, 2}) {
    Promise<std::string> promise;
    std::vector<Task<std::string>> waiters;
    for (std::size_t i = 0; i < 30; ++i) {
      waiters.push_back(spawn([future = promise.future()] { return future.get(); }, on(i % 3)));
    }
    run_until_blocked();
    for (auto& waiter : waiters) BOOST_TEST(!waiter.done());
    spawn([&] { promise.set_value("value"); }, on(there)).get();
    for (auto& waiter : waiters) BOOST_TEST(waiter.get() == "value");
  }
}

WEFT_CORES_TEST_CASE(values_of_all_kinds_come_from_elsewhere) {
  int variable = 0;
  Promise<void> nothing;
  Promise<std::unique_ptr<int>> moved_only;
  Promise<int&> reference;
  auto setter = spawn(
      [&] {
        nothing.set_value();
        moved_only.set_value(std::make_unique<int>(7));
        reference.set_value(variable);
      },
      on(1));
  nothing.future().get();
  BOOST_TEST(*moved_only.future().get() == 7);
  BOOST_TEST(&reference.future().get() == &variable);
  setter.get();
}

WEFT_CORES_TEST_CASE(who_sees_that_it_is_done_sees_what_came_before) {
  for (int i = 0; i < 200; ++i) {
    int written = 0;
    Promise<int> promise;
    auto setter = spawn(
        [&] {
          written = 7;
          promise.set_value(7);
        },
        on(1 + i % 2));
    while (!promise.future().done()) yield();
    BOOST_REQUIRE(written == 7);
    BOOST_REQUIRE(promise.future().get() == 7);
  }
}

WEFT_CORES_TEST_CASE(waits_for_what_elsewhere_sets_may_be_bounded) {
  const TimePoint start = now();
  Promise<int> promise;
  auto setter = spawn([&] { sleep_for(5s), promise.set_value(7); }, on(1));
  BOOST_TEST(!promise.future().wait_for(0s));
  BOOST_TEST(!promise.future().wait_for(1s));
  BOOST_TEST((now() == start + 1s));
  BOOST_TEST(!promise.future().wait_until(start + 2s));
  BOOST_TEST(promise.future().wait_for(1h));
  BOOST_TEST((now() == start + 5s));
  setter.get();
}

WEFT_CORES_TEST_CASE(a_waiter_of_elsewhere_that_gave_up_is_not_woken) {
  Promise<void> promise;
  auto impatient = spawn(
      [&] {
        const bool waited = promise.future().wait_for(1s);
        sleep_for(10s);
        return std::pair(waited, now());
      },
      on(1));
  const TimePoint start = now();
  sleep_for(2s);
  promise.set_value();
  const auto [waited, woken] = impatient.get();
  BOOST_TEST(!waited);
  BOOST_TEST((woken == start + 11s));
}

WEFT_CORES_TEST_CASE(a_value_that_comes_at_the_deadline_ends_one_wait_only) {
  for (int i = 0; i < 50; ++i) {
    Promise<int> promise, never;
    auto setter = spawn([&] { sleep_for(1s), promise.set_value(7); }, on(1));
    promise.future().wait_for(1s);
    BOOST_REQUIRE(!never.future().wait_for(1s));
    BOOST_REQUIRE(promise.future().get() == 7);
    setter.get();
  }
}

// ---- Errors -------------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(an_exception_is_thrown_on_all_schedulers) {
  Promise<int> promise;
  spawn([&] { promise.set_exception(an_error()); }, on(1)).get();
  std::atomic<int> thrown{0};
  spread([&] {
    try {
      promise.future().get();
    } catch (const std::runtime_error&) {
      thrown += promise.future().failed();
    }
  });
  BOOST_TEST(thrown == 3);
}

WEFT_CORES_TEST_CASE(a_promise_destroyed_elsewhere_is_broken_everywhere) {
  std::optional<Promise<int>> promise(std::in_place);
  std::atomic<int> broken{0};
  TaskGroup group;
  for (const std::size_t i : {0, 1, 2}) {
    group.spawn(
        [&, future = promise->future()] {
          try {
            future.get();
          } catch (const std::future_error& error) {
            broken += error.code() == std::future_errc::broken_promise;
          }
        },
        on(i));
  }
  run_until_blocked();
  spawn([&] { promise.reset(); }, on(1)).get();
  group.join();
  BOOST_TEST(broken == 3);
}

WEFT_CORES_TEST_CASE(a_promise_may_be_destroyed_by_whom_it_woke) {
  for (int i = 0; i < 300; ++i) {
    auto promise = std::make_unique<Promise<int>>();
    const Future<int> future = promise->future();
    auto waiter = spawn(
        [&] {
          const int value = future.get();
          promise.reset();
          return value;
        },
        on(1));
    if (i % 2) run_until_blocked();
    promise->set_value(7);
    BOOST_REQUIRE(waiter.get() == 7);
  }
}

// ---- Done callbacks -----------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(callbacks_run_on_the_scheduler_that_added_them) {
  for (const std::size_t there : {0, 1, 2}) {
    Promise<int> promise;
    std::atomic<int> ran{0}, right{0};
    spread([&] {
      for (int i = 0; i < 5; ++i) {
        promise.future().add_done_callback([&, home = &Scheduler::current()](Future<int> done) {
          sleep_for(1s);  // it is a fiber
          right += &Scheduler::current() == home && done.get() == 7;
          ++ran;
        });
      }
    });
    run_until_blocked();
    BOOST_TEST(ran == 0);
    spawn([&] { promise.set_value(7); }, on(there)).get();
    sleep_for(2s);
    BOOST_TEST(ran == 15);
    BOOST_TEST(right == 15);
  }
}

WEFT_CORES_TEST_CASE(callbacks_of_a_scheduler_run_in_the_order_of_their_addition) {
  Promise<void> promise;
  std::string order;
  auto adder = spawn(
      [&] {
        for (char name = 'a'; name <= 'j'; ++name) {
          promise.future().add_done_callback([&order, name] { order += name; });
        }
      },
      on(1));
  adder.get();
  spawn([&] { promise.set_value(); }, on(2)).get();
  run_until_blocked();
  BOOST_TEST(order == "abcdefghij");
}

WEFT_CORES_TEST_CASE(a_callback_added_to_what_elsewhere_has_set_runs_soon) {
  Promise<void> promise;
  spawn([&] { promise.set_value(); }, on(1)).get();
  std::atomic<int> ran{0};
  spread([&] { promise.future().add_done_callback([&] { ++ran; }); });
  run_until_blocked();
  BOOST_TEST(ran == 3);
}

WEFT_CORES_TEST_CASE(a_callback_is_removed_only_where_it_was_added) {
  Promise<void> promise;
  std::atomic<int> ran{0};
  const auto add = [&] { return promise.future().add_done_callback([&] { ++ran; }); };
  const auto remove = [&](std::uint64_t id) { return promise.future().remove_done_callback(id); };
  const auto removed = spawn(add, on(1)).get(), kept = spawn(add, on(1)).get();
  BOOST_TEST(!remove(removed));
  BOOST_TEST(spawn([&] { return remove(removed); }, on(1)).get());
  BOOST_TEST(!spawn([&] { return remove(removed); }, on(1)).get());
  promise.set_value();
  run_until_blocked();
  BOOST_TEST(!spawn([&] { return remove(kept); }, on(1)).get());
  BOOST_TEST(ran == 1);
}

WEFT_CORES_TEST_CASE(a_removal_may_race_with_the_value) {
  for (int i = 0; i < 200; ++i) {
    Promise<void> promise;
    const auto held = std::make_shared<int>();
    std::atomic<bool> ran{false};
    auto adder = spawn(
        [&, held] {
          const auto id = promise.future().add_done_callback([&, held] { ran = true; });
          yield();
          return promise.future().remove_done_callback(id);
        },
        on(1));
    promise.set_value();
    const bool removed = adder.get();
    run_until_blocked();
    BOOST_REQUIRE(removed != ran);
    adder = {};
    BOOST_REQUIRE(held.use_count() == 1);
  }
}

BOOST_AUTO_TEST_CASE(callbacks_of_all_schedulers_are_dropped_with_their_runtime) {
  Promise<void> promise;
  const auto held = std::make_shared<int>();
  std::atomic<int> ran{0};
  run(
      [&] {
        spread([&] { promise.future().add_done_callback([held, &ran] { ++ran; }); });
        BOOST_TEST(held.use_count() >= 4);
      },
      {.threads = 3, .virtual_time = true});
  BOOST_TEST(held.use_count() == 1);
  promise.set_value();
  BOOST_TEST(ran == 0);
}

BOOST_AUTO_TEST_CASE(a_promise_may_be_set_while_the_schedulers_of_its_callbacks_end) {
  for (int round = 0; round < 300; ++round) {
    const unsigned threads = round % 3 ? 1 : 3;
    Promise<void> promise;
    std::atomic<int> ran{0};
    std::atomic<bool> added{false};
    std::thread setter([&] {
      while (!added) std::this_thread::yield();
      promise.set_value();
    });
    run(
        [&] {
          spread([&] {
            for (int i = 0; i < 5; ++i) promise.future().add_done_callback([&] { ++ran; });
          });
          added = true;
        },
        {.threads = threads});
    setter.join();
    BOOST_REQUIRE(static_cast<unsigned>(ran) <= 5 * threads);
  }
}

BOOST_AUTO_TEST_SUITE_END()
