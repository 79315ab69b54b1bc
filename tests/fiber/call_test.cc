#include "weft/fiber/core/call.h"

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/core/loop.h"

BOOST_AUTO_TEST_SUITE(call)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

Scheduler& here() { return Scheduler::current(); }

}  // namespace

WEFT_TEST_CASE(calls_start_soon_in_order) {
  std::string order;
  auto ready = spawn([&] { order += 'a'; });
  here().call_soon([&] { order += 'b'; });
  here().call_soon([&] { order += 'c'; });
  BOOST_TEST(order == "");
  yield();
  BOOST_TEST(order == "abc");
  BOOST_TEST(ready.done());
}

WEFT_SHUFFLED_TEST_CASE(calls_start_after_a_while_or_at_a_time) {
  const TimePoint start = now();
  std::string order;
  const auto note = [&](char name, Duration at) {
    return [&order, name, time = start + at] {
      order += name;
      BOOST_TEST((now() == time));
    };
  };
  here().call_later(3s, note('c', 3s));
  here().call_at(start + 2s, note('b', 2s));
  here().call_later(1ns, note('a', 1ns));
  here().call_later(24h, note('d', 24h));
  sleep_for(23h);
  BOOST_TEST(order == "abc");
  sleep_for(2h);
  BOOST_TEST(order == "abcd");
}

WEFT_TEST_CASE(equal_times_start_in_the_order_of_the_calls) {
  std::string order;
  const TimePoint noon = now() + 12h;
  here().call_at(noon, [&] { order += 'a'; });
  here().call_later(12h, [&] { order += 'b'; });
  here().call_at(noon, [&] { order += 'c'; });
  sleep_for(24h);
  BOOST_TEST(order == "abc");
}

WEFT_TEST_CASE(no_time_at_all_is_soon) {
  std::string order;
  here().call_later(0s, [&] { order += 'a'; });
  here().call_at(kPast, [&] { order += 'b'; });
  const TimePoint start = now();
  sleep_for(0s);
  yield();
  BOOST_TEST(order.size() == 2u);
  BOOST_TEST((now() == start));
}

WEFT_SHUFFLED_TEST_CASE(a_call_is_a_fiber_that_may_wait) {
  const TimePoint start = now();
  TimePoint soon, later;
  here().call_soon([&] { sleep_for(5s), soon = now(); });
  here().call_later(1s, [&] { sleep_for(5s), later = now(); });
  sleep_for(1h);
  BOOST_TEST((soon == start + 5s));
  BOOST_TEST((later == start + 6s));
}

WEFT_TEST_CASE(bad_arguments_are_refused) {
  const std::function<void()> null;
  BOOST_CHECK_THROW(here().call_soon(null), std::invalid_argument);
  BOOST_CHECK_THROW(here().call_later(1s, null), std::invalid_argument);
  BOOST_CHECK_THROW(here().call_at(kForever, null), std::invalid_argument);
  BOOST_CHECK_THROW(here().post(null), std::invalid_argument);
  BOOST_TEST(Loop::here()->timers().empty());
}

WEFT_SHUFFLED_TEST_CASE(a_cancelled_call_does_not_start) {
  int ran = 0;
  Handle soon = here().call_soon([&] { ++ran; });
  Handle later = here().call_later(1s, [&] { ++ran; });
  Handle at = here().call_at(now() + 2s, [&] { ++ran; });
  Handle kept = here().call_later(3s, [&] { ran += 10; });
  soon.cancel(), later.cancel(), at.cancel();
  soon.cancel(), later.cancel(), at.cancel();
  BOOST_TEST(Loop::here()->timers().size() == 1u);
  sleep_for(1h);
  BOOST_TEST(ran == 10);
  kept.cancel();
  BOOST_TEST(all_tasks().size() == 1u);
}

WEFT_SHUFFLED_TEST_CASE(a_call_that_has_started_cannot_be_cancelled) {
  bool ended = false;
  Handle handle = here().call_soon([&] { sleep_for(1s), ended = true; });
  run_until_blocked();
  handle.cancel();
  sleep_for(1h);
  BOOST_TEST(ended);
  handle.cancel();
}

WEFT_TEST_CASE(a_call_may_cancel_itself_and_others) {
  Handle self, other;
  int ran = 0;
  self = here().call_soon([&] {
    self.cancel();
    other.cancel();
    ++ran;
  });
  other = here().call_soon([&] { ++ran; });
  run_until_blocked();
  BOOST_TEST(ran == 1);
}

WEFT_TEST_CASE(handles_are_copied_and_dropped_without_effect_on_the_call) {
  int ran = 0;
  here().call_soon([&] { ++ran; });
  {
    Handle handle = here().call_later(1s, [&] { ++ran; });
    const Handle copy = handle;
    Handle moved = std::move(handle);
    handle = copy;
    handle = Handle();
    handle.cancel();
  }
  sleep_for(2s);
  BOOST_TEST(ran == 2);
  Handle first = here().call_later(1s, [&] { ++ran; });
  Handle copy = first;
  copy.cancel();
  sleep_for(2s);
  BOOST_TEST(ran == 2);
}

WEFT_TEST_CASE(a_callable_is_destroyed_once_its_call_is_over) {
  const auto held = std::make_shared<int>();
  here().call_soon([held] {});
  here().call_later(1s, [held] {});
  BOOST_TEST(held.use_count() == 3);
  sleep_for(2s);
  yield();
  BOOST_TEST(held.use_count() == 1);
}

// A handle that is kept, say by the callable's own object, must not keep the callable.
WEFT_TEST_CASE(cancelling_leaves_nothing_of_the_callable) {
  const auto held = std::make_shared<int>();
  Handle later = here().call_later(1h, [held] {});
  later.cancel();
  BOOST_TEST(held.use_count() == 1);
  Handle soon = here().call_soon([held] {});
  soon.cancel();
  BOOST_TEST(held.use_count() == 1);
  run_until_blocked();
}

WEFT_SHUFFLED_TEST_CASE(a_call_whose_turn_comes_while_it_is_cancelled_does_not_start) {
  struct Slow {
    explicit Slow(bool& its_gone) : gone(its_gone) {}
    ~Slow() { sleep_for(1s), gone = true; }
    bool& gone;
  };
  bool ran = false, gone = false;
  here().call_soon([&, slow = std::make_shared<const Slow>(gone)] { ran = true; }).cancel();
  BOOST_TEST(gone);
  Handle soon = here().call_soon([] {});
  soon.cancel();
  soon = {};
  run_until_blocked();
  BOOST_TEST(!ran);
}

WEFT_TEST_CASE(a_call_that_is_over_keeps_nothing_for_its_handle) {
  const auto held = std::make_shared<int>();
  const Handle handle = here().call_soon([held] {});
  run_until_blocked();
  BOOST_TEST(held.use_count() == 1);
}

WEFT_TEST_CASE(what_calls_throw_reaches_the_handler) {
  std::string said;
  here().set_exception_handler([&](std::exception_ptr exception) {
    try {
      std::rethrow_exception(exception);
    } catch (const std::exception& error) {
      said += error.what();
    }
  });
  here().call_soon([] { throw std::runtime_error("soon "); });
  here().call_later(1s, [] { throw std::runtime_error("later "); });
  here().call_at(now() + 2s, [] { throw std::runtime_error("at "); });
  here().post([] { throw std::runtime_error("posted "); });
  sleep_for(1h);
  BOOST_TEST(said == "soon posted later at ");
}

WEFT_TEST_CASE(a_pending_call_is_no_task) {
  Handle handle = here().call_later(1h, [] {});
  BOOST_TEST(all_tasks().size() == 1u);
  handle.cancel();
}

BOOST_AUTO_TEST_CASE(pending_calls_are_dropped_at_shutdown) {
  const auto held = std::make_shared<int>();
  Handle later, soon;
  run(
      [&] {
        later = here().call_later(1h, [held] { BOOST_ERROR("it ran"); });
        here().call_at(now() + 2h, [held] { BOOST_ERROR("it ran"); });
        soon = here().call_soon([held] { BOOST_ERROR("it ran"); });
        here().post([held] { BOOST_ERROR("it ran"); });
      },
      {.virtual_time = true});
  later.cancel(), soon.cancel();
  later = {}, soon = {};
  BOOST_TEST(held.use_count() == 1);
}

BOOST_AUTO_TEST_CASE(calls_made_during_shutdown_are_dropped) {
  const auto held = std::make_shared<int>();
  Handle handle;
  run(
      [&] {
        spawn(when_cancelled([&] {
          here().call_soon([held] { BOOST_ERROR("it ran"); });
          handle = here().call_later(1h, [held] { BOOST_ERROR("it ran"); });
          here().call_at(kForever, [held] { BOOST_ERROR("it ran"); });
          here().post([held] { BOOST_ERROR("it ran"); });
        })).detach();
        yield();
      },
      {.virtual_time = true});
  BOOST_TEST(held.use_count() <= 2, "no more than the handle may be left");
  if (held.use_count() <= 2) handle.cancel();
}

BOOST_AUTO_TEST_CASE(a_call_that_owns_a_task_joins_it_when_it_is_dropped) {
  bool cleaned = false;
  run(
      [&] {
        const auto task_in_shield = [&] {
          return spawn(when_cancelled([&] { shield([&] { sleep_for(1s), cleaned = true; }); }));
        };
        here().call_later(1h, [task = std::make_shared<Task<void>>(task_in_shield())] {});
        yield();
      },
      {.virtual_time = true});
  BOOST_TEST(cleaned);
}

BOOST_AUTO_TEST_CASE(calls_are_for_the_scheduler_s_own_fibers) {
  SchedulerThread other;
  const auto check = [&] {
    BOOST_CHECK_THROW(other->call_soon([] {}), std::logic_error);
    BOOST_CHECK_THROW(other->call_later(1ms, [] {}), std::logic_error);
    BOOST_CHECK_THROW(other->call_at(now(), [] {}), std::logic_error);
  };
  check();
  run(check);
}

BOOST_AUTO_TEST_SUITE_END()
