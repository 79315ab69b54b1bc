#include "weft/fiber/future.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/bound.h"
#include "tests/support/failure.h"
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

// ---- The future of a task -----------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(several_may_wait_for_a_task_that_is_shared) {
  auto task = spawn([] {
    sleep_for(1s);
    return std::string("it");
  });
  const Future<std::string> future = std::move(task).share();
  BOOST_TEST(!task.valid());
  BOOST_TEST(!future.done());
  const std::string* seen[3] = {};
  TaskGroup group;
  for (const std::string*& its : seen) group.spawn([&its, future] { its = &future.get(); });
  group.join();
  BOOST_TEST(future.get() == "it");
  for (const std::string* its : seen) BOOST_TEST(its == &future.get());
  BOOST_TEST(future.done());
  BOOST_TEST(!future.failed());
}

WEFT_TEST_CASE(a_task_of_any_type_may_be_shared_also_when_it_has_ended) {
  int variable = 0;
  auto reference = spawn([&]() -> int& { return variable; }, {.eager = true});
  auto nothing = spawn([] {}, {.eager = true});
  auto moved_only = spawn([] { return std::make_unique<int>(7); }, {.eager = true});
  BOOST_TEST(&std::move(reference).share().get() == &variable);
  std::move(nothing).share().get();
  BOOST_TEST(*std::move(moved_only).share().get() == 7);
  auto large = spawn([block = std::array<char, 1000>{'a'}] { return block; });
  BOOST_TEST(std::move(large).share().get()[0] == 'a');
}

WEFT_SHUFFLED_TEST_CASE(a_reader_that_goes_does_not_cancel_the_task) {
  auto task = spawn([] {
    sleep_for(2s);
    return 7;
  });
  const Future<int> future = std::move(task).share();
  auto cancelled = spawn([future] { future.get(); });
  BOOST_CHECK_THROW(with_timeout(1s, [&] { future.wait(); }), TimeoutError);
  BOOST_TEST(!future.wait_for(1ms));
  cancelled.cancel();
  BOOST_TEST(future.get() == 7);
  BOOST_CHECK_THROW(cancelled.get(), TaskCancelled);
}

WEFT_SHUFFLED_TEST_CASE(when_the_last_future_goes_the_task_is_cancelled_and_waited_for) {
  bool ended = false;
  int local = 0;
  std::optional<Future<void>> future = spawn([&] {
                                         try {
                                           sleep_for(1h);
                                         } catch (const Cancelled&) {
                                           shield([] { sleep_for(1s); });
                                           ended = ++local == 1;
                                         }
                                       }).share();
  run_until_blocked();
  auto copy = *future;
  future.reset();
  run_until_blocked();
  BOOST_TEST(local == 0);
  copy = {};
  BOOST_TEST(ended);
}

WEFT_SHUFFLED_TEST_CASE(what_a_shared_task_throws_is_for_all_readers_or_for_the_handler) {
  const Unhandled unhandled;
  {
    const Future<int> future = spawn([]() -> int { throw Failure("shared"); }).share();
    for (int i = 0; i < 2; ++i) {
      BOOST_CHECK_EXCEPTION(future.get(), Failure, says("shared"));
    }
    BOOST_TEST(future.failed());
  }
  BOOST_TEST(unhandled.said == "");
  spawn([] { throw Failure("alone"); }, {.eager = true}).share();
  BOOST_TEST(unhandled.said == "alone");
  { const auto future = spawn(failing_cleanup(", and cleanup"), {.eager = true}).share(); }
  BOOST_TEST(unhandled.said == "alone, and cleanup");
}

WEFT_SHUFFLED_TEST_CASE(a_task_that_drops_its_own_last_future_goes_on_alone) {
  std::optional<Future<void>> future;
  bool ended = false;
  future = spawn([&] {
             sleep_for(1s);
             future.reset();
             sleep_for(1s);
             ended = true;
           }).share();
  sleep_for(3s);
  BOOST_TEST(!future);
  BOOST_TEST(ended);
  // On the same stack: nothing of it watches any more.
  BOOST_TEST(spawn([] { return sleep_for(1s), 7; }).get() == 7);
}

WEFT_TEST_CASE(a_callback_sees_the_end_of_a_shared_task) {
  int seen = 0;
  const Future<int> future = spawn([] { return sleep_for(1s), 7; }).share();
  future.add_done_callback([&](const Future<int>& its) { seen = its.get(); });
  sleep_for(2s);
  BOOST_TEST(seen == 7);
}

WEFT_TEST_CASE(there_is_nothing_to_share_of_a_task_whose_result_was_taken_or_of_none) {
  auto task = spawn([] { return 7; });
  BOOST_TEST(task.get() == 7);
  BOOST_CHECK_THROW((void)std::move(task).share(), std::logic_error);
  BOOST_CHECK_THROW((void)Task<int>().share(), std::logic_error);
}

BOOST_AUTO_TEST_CASE(a_shutdown_makes_a_shared_task_task_cancelled) {
  std::optional<Future<void>> future;
  run([&] { future = spawn([] { sleep_until(kForever); }).share(); }, {.virtual_time = true});
  BOOST_TEST(future->done());
  BOOST_CHECK_THROW(future->get(), TaskCancelled);
  future.reset();
}

BOOST_AUTO_TEST_CASE(a_shared_task_may_be_waited_for_and_dropped_anywhere) {
  for (int round = 0; round < bound(300, 50); ++round) {
    SchedulerThread one;
    const Future<int> future = spawn([round] { return yield(), round; }, {.on = one.get()}).share();
    std::atomic<bool> wrong{false};
    std::thread reader([future, round, &wrong] { wrong = future.get() != round; });
    auto dropper =
        spawn([copy = std::optional(future)]() mutable { copy.reset(); }, {.on = one.get()});
    if (round % 2) BOOST_TEST(future.get() == round);
    reader.join();
    dropper.get();
    BOOST_TEST(!wrong);
  }
}

// ---- Abandoned ----------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_promise_is_abandoned_when_the_last_future_goes) {
  Promise<int> promise;
  BOOST_TEST(!promise.abandoned());
  std::optional future(promise.future());
  std::optional copy(*future);
  auto waiter = spawn([&] { promise.wait_abandoned(); });
  future.reset();
  run_until_blocked();
  BOOST_TEST(!promise.abandoned());
  BOOST_TEST(!waiter.done());
  copy.reset();
  BOOST_TEST(promise.abandoned());
  waiter.get();
  promise.wait_abandoned();
}

WEFT_SHUFFLED_TEST_CASE(a_wait_for_that_may_be_bounded_and_cancelled) {
  Promise<void> promise;
  const TimePoint start = now();
  BOOST_TEST(!promise.wait_abandoned_for(1s));
  const auto future = promise.future();
  BOOST_TEST(!promise.wait_abandoned_until(start + 2s));
  BOOST_TEST((now() == start + 2s));
  BOOST_CHECK_THROW(with_timeout(1s, [&] { promise.wait_abandoned(); }), TimeoutError);
  { const auto last = std::exchange(const_cast<Future<void>&>(future), {}); }
  BOOST_TEST(promise.wait_abandoned_for(-1s));
}

WEFT_TEST_CASE(it_stays_abandoned_whether_set_or_given_again) {
  Promise<int> promise;
  promise.future();
  BOOST_TEST(promise.abandoned());
  const auto again = promise.future();
  BOOST_TEST(promise.abandoned());
  promise.set_value(7);
  BOOST_TEST(again.get() == 7);
  Promise<int> set;
  {
    const auto future = set.future();
    set.set_value(7);
    BOOST_TEST(!set.abandoned());
  }
  BOOST_TEST(set.abandoned());
}

WEFT_TEST_CASE(a_callback_wants_the_value_until_it_was_called) {
  Promise<int> promise;
  int seen = 0;
  promise.future().add_done_callback([&](const Future<int>& future) { seen = future.get(); });
  BOOST_TEST(!promise.abandoned());
  promise.set_value(7);
  run_until_blocked();
  BOOST_TEST(seen == 7);
  BOOST_TEST(promise.abandoned());
}

WEFT_TEST_CASE(what_is_asked_moves_with_the_promise) {
  Promise<int> first;
  std::optional future(first.future());
  Promise<int> second = std::move(first);
  BOOST_CHECK_EXCEPTION(first.abandoned(), std::future_error, is(std::future_errc::no_state));
  BOOST_CHECK_EXCEPTION(first.wait_abandoned(), std::future_error, is(std::future_errc::no_state));
  BOOST_TEST(!first.future().valid());
  Promise<int> other;
  other.swap(second);
  future.reset();
  BOOST_TEST(other.abandoned());
  BOOST_TEST(!second.abandoned());
}

WEFT_TEST_CASE(a_promise_may_go_while_it_is_waited_for) {
  std::optional<Promise<int>> promise(std::in_place);
  std::optional future(promise->future());
  auto waiter = spawn([&] { return promise->wait_abandoned_for(1h); });
  run_until_blocked();
  promise.reset();
  BOOST_CHECK_EXCEPTION(future->get(), std::future_error, is(std::future_errc::broken_promise));
  future.reset();
  BOOST_TEST(waiter.get());
}

BOOST_AUTO_TEST_CASE(threads_drop_what_threads_and_fibers_are_to_set) {
  for (int round = 0; round < bound(300, 50); ++round) {
    SchedulerThread one;
    Promise<int> promise;
    std::thread reader([future = promise.future()]() mutable { future = {}; });
    auto producer = spawn([&] { promise.wait_abandoned(); }, {.on = one.get()});
    if (round % 2) promise.wait_abandoned();
    producer.get();
    BOOST_TEST(promise.abandoned());
    reader.join();
  }
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
