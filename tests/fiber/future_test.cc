#include "weft/fiber/future.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"

BOOST_AUTO_TEST_SUITE(future)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

auto is(std::future_errc code) {
  return [code](const std::future_error& error) { return error.code() == code; };
}

std::exception_ptr an_error() { return std::make_exception_ptr(std::runtime_error("set")); }

}  // namespace

// ---- Values -------------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_fiber_waits_for_the_value) {
  Promise<int> promise;
  auto task = spawn([future = promise.future()] { return future.get(); });
  run_until_blocked();
  BOOST_TEST(!task.done());
  BOOST_TEST(!promise.future().done());
  promise.set_value(7);
  BOOST_TEST(promise.future().done());
  BOOST_TEST(!promise.future().failed());
  BOOST_TEST(task.get() == 7);
}

WEFT_TEST_CASE(values_may_be_anything) {
  Promise<void> nothing;
  nothing.set_value();
  nothing.future().get();

  Promise<std::unique_ptr<int>> moved_only;
  moved_only.set_value(std::make_unique<int>(7));
  BOOST_TEST(*moved_only.future().get() == 7);

  int variable = 0;
  Promise<int&> reference;
  reference.set_value(variable);
  BOOST_TEST(&reference.future().get() == &variable);

  Promise<std::string> made_in_place;
  made_in_place.set_value(3u, 'x');
  BOOST_TEST(made_in_place.future().get() == "xxx");
}

WEFT_TEST_CASE(a_value_stays_for_all_who_ask) {
  Promise<std::string> promise;
  const Future<std::string> future = promise.future();
  const Future<std::string> copy = future;
  promise.set_value("value");
  BOOST_TEST(&future.get() == &copy.get());
  BOOST_TEST(future.get() == "value");
}

WEFT_TEST_CASE(a_value_outlives_its_promise) {
  Future<std::string> future;
  {
    Promise<std::string> promise;
    future = promise.future();
    promise.set_value("value");
  }
  BOOST_TEST(future.get() == "value");
}

WEFT_SHUFFLED_TEST_CASE(many_may_wait_and_all_are_woken) {
  Promise<int> promise;
  int sum = 0;
  TaskGroup group;
  for (int i = 0; i < 100; ++i) group.spawn([&] { sum += promise.future().get(); });
  run_until_blocked();
  promise.set_value(7);
  group.join();
  BOOST_TEST(sum == 700);
}

WEFT_TEST_CASE(who_waited_longest_is_woken_first) {
  Promise<void> promise;
  std::string order;
  TaskGroup group;
  for (char name : {'a', 'b', 'c'}) {
    group.spawn([&, name] { promise.future().get(), order += name; });
  }
  run_until_blocked();
  promise.set_value();
  group.join();
  BOOST_TEST(order == "abc");
}

WEFT_SHUFFLED_TEST_CASE(waits_may_be_bounded) {
  Promise<int> promise;
  const Future<int> future = promise.future();
  const TimePoint start = now();
  BOOST_TEST(!future.wait_for(0s));
  BOOST_TEST(!future.wait_for(1s));
  BOOST_TEST((now() == start + 1s));
  BOOST_TEST(!future.wait_until(start + 2s));
  BOOST_TEST((now() == start + 2s));
  auto setter = spawn([&] { sleep_for(1s), promise.set_value(7); });
  BOOST_TEST(future.wait_for(1h));
  BOOST_TEST((now() == start + 3s));
  BOOST_TEST(future.wait_until(kPast));
  BOOST_TEST(future.wait_for(-1ns));
  setter.get();
}

WEFT_SHUFFLED_TEST_CASE(a_waiter_that_gave_up_is_not_woken) {
  Promise<void> promise;
  auto impatient = spawn([&] {
    BOOST_TEST(!promise.future().wait_for(1s));
    sleep_for(10s);
    return now();
  });
  auto cancelled = spawn([&] { promise.future().get(); });
  run_until_blocked();
  cancelled.cancel();
  const TimePoint start = now();
  sleep_for(2s);
  promise.set_value();
  BOOST_TEST((impatient.get() > start + 10s));
  BOOST_CHECK_THROW(cancelled.get(), TaskCancelled);
}

// ---- Errors -------------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(an_exception_is_thrown_to_all_who_ask) {
  Promise<int> promise;
  auto task = spawn([future = promise.future()] { return future.get(); });
  run_until_blocked();
  promise.set_exception(an_error());
  BOOST_TEST(promise.future().failed());
  BOOST_CHECK_THROW(task.get(), std::runtime_error);
  BOOST_CHECK_THROW(promise.future().get(), std::runtime_error);
  promise.future().wait();
  BOOST_TEST(promise.future().wait_for(0s));
}

WEFT_SHUFFLED_TEST_CASE(a_promise_destroyed_unset_is_broken) {
  std::optional<Promise<int>> promise(std::in_place);
  const Future<int> future = promise->future();
  auto task = spawn([future] { return future.get(); });
  run_until_blocked();
  promise.reset();
  BOOST_TEST(future.done());
  BOOST_TEST(future.failed());
  BOOST_CHECK_EXCEPTION(task.get(), std::future_error, is(std::future_errc::broken_promise));
}

WEFT_TEST_CASE(a_promise_is_set_once) {
  for (bool fails : {false, true}) {
    Promise<int> promise;
    fails ? promise.set_exception(an_error()) : promise.set_value(7);
    BOOST_CHECK_EXCEPTION(promise.set_value(8), std::future_error,
                          is(std::future_errc::promise_already_satisfied));
    BOOST_CHECK_EXCEPTION(promise.set_exception(an_error()), std::future_error,
                          is(std::future_errc::promise_already_satisfied));
    BOOST_TEST(promise.future().failed() == fails);
    if (fails) {
      BOOST_CHECK_THROW(promise.future().get(), std::runtime_error);
    } else {
      BOOST_TEST(promise.future().get() == 7);
    }
  }
}

WEFT_TEST_CASE(a_value_that_cannot_be_made_leaves_the_promise_unset) {
  struct Picky {
    explicit Picky(int value) {
      if (value < 0) throw std::invalid_argument("picky");
    }
  };
  Promise<Picky> promise;
  BOOST_CHECK_THROW(promise.set_value(-1), std::invalid_argument);
  BOOST_TEST(!promise.future().done());
  promise.set_value(1);
  BOOST_TEST(promise.future().done());
}

WEFT_TEST_CASE(no_exception_is_no_exception) {
  Promise<int> promise;
  BOOST_CHECK_THROW(promise.set_exception(nullptr), std::invalid_argument);
  BOOST_TEST(!promise.future().done());
  promise.set_value(7);
}

WEFT_TEST_CASE(promises_move_and_break_what_they_had) {
  Promise<int> first, second;
  const Future<int> of_first = first.future(), of_second = second.future();
  first = std::move(second);
  BOOST_TEST(of_first.failed());
  first.set_value(7);
  BOOST_TEST(of_second.get() == 7);
  BOOST_CHECK_EXCEPTION(second.set_value(1), std::future_error, is(std::future_errc::no_state));
  BOOST_CHECK_EXCEPTION((void)second.future().get(), std::future_error,
                        is(std::future_errc::no_state));
}

WEFT_TEST_CASE(a_future_of_no_promise_says_so) {
  const Future<int> future;
  BOOST_TEST(!future.valid());
  for (const std::function<void()>& use : std::vector<std::function<void()>>{
           [&] { future.get(); }, [&] { future.wait(); }, [&] { future.wait_for(0s); },
           [&] { (void)future.done(); }, [&] { (void)future.failed(); },
           [&] { future.add_done_callback([] {}); }, [&] { future.remove_done_callback(1); }}) {
    BOOST_CHECK_EXCEPTION(use(), std::future_error, is(std::future_errc::no_state));
  }
}

// ---- Done callbacks -----------------------------------------------------------------------------

WEFT_TEST_CASE(callbacks_run_in_the_order_of_their_addition) {
  Promise<int> promise;
  const Future<int> future = promise.future();
  std::string order;
  future.add_done_callback([&] { order += 'a'; });
  future.add_done_callback(
      [&](Future<int> done) { order += 'b', order += std::to_string(done.get()); });
  future.add_done_callback([&](const Future<int>&) { order += 'c'; });
  run_until_blocked();
  BOOST_TEST(order == "");
  promise.set_value(7);
  BOOST_TEST(order == "");
  run_until_blocked();
  BOOST_TEST(order == "ab7c");
}

WEFT_TEST_CASE(a_callback_added_to_what_is_done_runs_soon) {
  Promise<void> promise;
  promise.set_value();
  int ran = 0;
  promise.future().add_done_callback([&] { ++ran; });
  BOOST_TEST(ran == 0);
  run_until_blocked();
  BOOST_TEST(ran == 1);
}

WEFT_SHUFFLED_TEST_CASE(a_callback_runs_as_a_fiber_that_may_wait) {
  Promise<void> promise;
  const TimePoint start = now();
  TimePoint ended;
  promise.future().add_done_callback([&] { sleep_for(1s), ended = now(); });
  promise.set_exception(an_error());
  BOOST_CHECK_THROW(promise.future().get(), std::runtime_error);
  sleep_for(1h);
  BOOST_TEST((ended == start + 1s));
}

WEFT_SHUFFLED_TEST_CASE(a_callback_removed_in_time_does_not_run) {
  Promise<void> promise;
  const Future<void> future = promise.future();
  std::string order;
  const auto first = future.add_done_callback([&] { order += 'a'; });
  const auto second = future.add_done_callback([&] { order += 'b'; });
  BOOST_TEST(first != second);
  BOOST_TEST(future.remove_done_callback(first));
  BOOST_TEST(!future.remove_done_callback(first));
  BOOST_TEST(!future.remove_done_callback(0));
  promise.set_value();
  BOOST_TEST(!future.remove_done_callback(second), "too late");
  run_until_blocked();
  BOOST_TEST(!future.remove_done_callback(second));
  BOOST_TEST(order == "b");
}

WEFT_TEST_CASE(a_removed_callback_is_destroyed) {
  Promise<void> promise;
  const auto held = std::make_shared<int>();
  const auto id = promise.future().add_done_callback([held] {});
  BOOST_TEST(held.use_count() == 2);
  promise.future().remove_done_callback(id);
  BOOST_TEST(held.use_count() == 1);
}

WEFT_TEST_CASE(what_a_callback_throws_reaches_the_handler) {
  std::string said;
  Scheduler::current().set_exception_handler([&](std::exception_ptr) { said += '!'; });
  Promise<void> promise;
  promise.future().add_done_callback([] { throw std::runtime_error("callback"); });
  promise.future().add_done_callback([&] { said += 'b'; });
  promise.set_value();
  run_until_blocked();
  BOOST_TEST(said == "!b");
}

WEFT_TEST_CASE(bad_callbacks_are_refused) {
  Promise<void> promise;
  BOOST_CHECK_THROW(promise.future().add_done_callback(std::function<void()>()),
                    std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(a_callback_needs_a_fiber_to_be_added) {
  Promise<void> promise;
  BOOST_CHECK_THROW(promise.future().add_done_callback([] {}), std::logic_error);
}

WEFT_TEST_CASE(a_callback_runs_where_it_was_added) {
  SchedulerThread other;
  Promise<void> promise;
  std::thread::id where;
  Promise<void> ran;
  auto adder = spawn(
      [&] {
        promise.future().add_done_callback([&] {
          where = std::this_thread::get_id();
          ran.set_value();
        });
      },
      {.on = other.get()});
  adder.get();
  promise.set_value();
  ran.future().get();
  BOOST_TEST((where == other.id()));
}

WEFT_TEST_CASE(a_callback_of_another_scheduler_cannot_be_removed_here) {
  SchedulerThread other;
  Promise<void> promise;
  Promise<void> ran;
  const auto add = [&] { return promise.future().add_done_callback([&] { ran.set_value(); }); };
  const auto id = spawn(add, {.on = other.get()}).get();
  BOOST_TEST(!promise.future().remove_done_callback(id));
  promise.set_value();
  ran.future().get();
}

BOOST_AUTO_TEST_CASE(callbacks_are_dropped_with_their_runtime) {
  Promise<void> promise;
  const auto held = std::make_shared<int>();
  run([&] { promise.future().add_done_callback([held] { BOOST_ERROR("it ran"); }); },
      {.virtual_time = true});
  BOOST_TEST(held.use_count() == 1);
  promise.set_value();
  BOOST_TEST(promise.future().done());
}

BOOST_AUTO_TEST_CASE(callbacks_added_while_their_runtime_ends_are_dropped_too) {
  Promise<void> promise;
  const auto held = std::make_shared<int>();
  run(
      [&] {
        auto adder = spawn(when_cancelled(
            [&] { promise.future().add_done_callback([held] { BOOST_ERROR("it ran"); }); }));
        yield();
        adder.detach();
      },
      {.virtual_time = true});
  BOOST_TEST(held.use_count() == 1);
  if (held.use_count() == 1) promise.set_value();
}

// ---- Threads ------------------------------------------------------------------------------------

WEFT_TEST_CASE(threads_set_what_fibers_wait_for) {
  constexpr int kPromises = 100;
  std::vector<Promise<int>> promises(kPromises);
  int sum = 0;
  TaskGroup group;
  for (auto& promise : promises) {
    group.spawn([&, future = promise.future()] { sum += future.get(); });
  }
  std::thread setter([&] {
    for (auto& promise : promises) promise.set_value(1);
  });
  group.join();
  setter.join();
  BOOST_TEST(sum == kPromises);
}

BOOST_AUTO_TEST_CASE(plain_threads_wait_for_what_anybody_sets) {
  SchedulerThread other;
  Promise<int> of_fiber, of_thread;
  auto setter = spawn([&] { yield(), of_fiber.set_value(7); }, {.on = other.get()});
  BOOST_TEST(of_fiber.future().get() == 7);
  std::thread thread([&] { of_thread.set_value(8); });
  BOOST_TEST(of_thread.future().get() == 8);
  thread.join();
  setter.get();

  Promise<int> never;
  const TimePoint start = now();
  BOOST_TEST(!never.future().wait_for(0s));
  BOOST_TEST(!never.future().wait_for(2ms));
  BOOST_TEST(!never.future().wait_until(start + 4ms));
  BOOST_TEST((now() - start >= 4ms));
}

BOOST_AUTO_TEST_CASE(who_sees_the_value_may_destroy_the_promise_at_once) {
  for (int round = 0; round < 1000; ++round) {
    std::thread setter;
    {
      Promise<int> promise;
      setter = std::thread([&] { promise.set_value(7); });
      while (!promise.future().done()) std::this_thread::yield();
      BOOST_TEST(promise.future().get() == 7);
    }
    setter.join();
    {
      Promise<int> promise;
      setter = std::thread([&] { promise.set_exception(an_error()); });
      BOOST_CHECK_THROW(promise.future().get(), std::runtime_error);
    }
    setter.join();
  }
}

BOOST_AUTO_TEST_CASE(one_of_many_threads_sets_and_all_see_it) {
  SchedulerThread other;
  for (int round = 0; round < 100; ++round) {
    Promise<int> promise;
    std::atomic<int> won{0}, sum{0};
    std::vector<std::thread> threads;
    std::vector<Task<void>> tasks;
    for (int i = 0; i < 4; ++i) {
      tasks.push_back(spawn([&] { sum += promise.future().get(); }, {.on = other.get()}));
    }
    for (int i = 0; i < 4; ++i) threads.emplace_back([&] { sum += promise.future().get(); });
    // A Promise takes one call at a time.
    threads.emplace_back([&] { promise.set_value(1), ++won; });
    for (auto& thread : threads) thread.join();
    for (auto& task : tasks) task.get();
    BOOST_TEST(won == 1);
    BOOST_TEST(sum == 8);
  }
}

BOOST_AUTO_TEST_CASE(bounded_waits_of_threads_may_race_with_the_value) {
  // The token of a wake-up that came too late must not end the thread's next wait.
  for (int round = 0; round < 300; ++round) {
    Promise<int> promise, next;
    std::thread setter([&] { promise.set_value(7); });
    promise.future().wait_for(std::chrono::microseconds(round % 100));
    BOOST_TEST(promise.future().get() == 7);
    if (next.future().wait_for(10us)) BOOST_ERROR("woken without a value");
    setter.join();
  }
}

BOOST_AUTO_TEST_SUITE_END()
