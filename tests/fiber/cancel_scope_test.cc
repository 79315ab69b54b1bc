// CancelScope, and try_within(), which is made of it.

#include "weft/fiber/cancel_scope.h"

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "tests/support/failure.h"
#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/core/loop.h"
#include "weft/fiber/timeout.h"

BOOST_AUTO_TEST_SUITE(cancel_scope)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

bool sleep_is_cut() {
  return throws_cancelled([] { sleep_for(1h); });
}

// Whether f ended by a Cancelled that ends at the scope.
template <class F>
bool ends_at(CancelScope& scope, F f) {
  try {
    f();
    return false;
  } catch (const Cancelled&) {
    if (!scope.caused()) throw;
    return true;
  }
}

// A wait in a scope on whose way out a task fails.
void wait_and_fail() {
  const Task<void> fails = spawn(failing_cleanup("at the end"));
  sleep_for(1h);
}

}  // namespace

// ---- Its deadline -------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_wait_ends_at_the_deadline_and_every_later_one_throws) {
  const TimePoint start = now();
  {
    CancelScope scope(start + 5s);
    BOOST_TEST((scope.deadline() == start + 5s));
    BOOST_TEST(!scope.cancelled());
    BOOST_TEST(!scope.expired());
    BOOST_TEST(sleep_is_cut());
    BOOST_TEST(scope.cancelled());
    BOOST_TEST(scope.expired());
    BOOST_TEST((scope.deadline() == start + 5s));
    BOOST_TEST(sleep_is_cut());
    BOOST_TEST(throws_cancelled([] { yield(); }));
  }
  BOOST_TEST((now() == start + 5s));
  sleep_for(1s);
}

WEFT_SHUFFLED_TEST_CASE(without_a_deadline_it_never_expires) {
  CancelScope scope;
  BOOST_TEST((scope.deadline() == kForever));
  BOOST_TEST(Loop::here()->timers().empty());
  sleep_for(1000h);
  BOOST_TEST(!scope.cancelled());
}

WEFT_SHUFFLED_TEST_CASE(a_deadline_can_be_moved_either_way) {
  const TimePoint start = now();
  for (const Duration moved : {2s, 20s}) {
    const TimePoint begun = now();
    CancelScope scope(begun + 10s);
    sleep_for(1s);
    scope.set_deadline(begun + moved);
    BOOST_TEST((scope.deadline() == begun + moved));
    BOOST_TEST(ends_at(scope, [] { sleep_for(1h); }));
    BOOST_TEST((now() == begun + moved));
  }
  BOOST_TEST((now() == start + 22s));
  BOOST_TEST(Loop::here()->timers().empty());
}

WEFT_SHUFFLED_TEST_CASE(a_deadline_can_be_given_and_taken_away) {
  const TimePoint start = now();
  CancelScope scope;
  scope.set_deadline(start + 1s);
  scope.set_deadline(kForever);
  BOOST_TEST((scope.deadline() == kForever));
  BOOST_TEST(Loop::here()->timers().empty());
  sleep_for(1h);
  scope.set_deadline(now() + 1s);
  BOOST_TEST(ends_at(scope, [] { sleep_for(1h); }));
  BOOST_TEST((now() == start + 1h + 1s));
}

WEFT_SHUFFLED_TEST_CASE(a_deadline_moved_into_the_past_expires_it_at_once) {
  for (const TimePoint past : {kPast, now() - 1s, now()}) {
    const TimePoint start = now();
    CancelScope scope(start + 10s);
    scope.set_deadline(past);
    BOOST_TEST(scope.expired());
    BOOST_TEST(ends_at(scope, [] { sleep_for(1h); }));
    BOOST_TEST((now() == start));
    BOOST_TEST(Loop::here()->timers().empty());
  }
}

WEFT_SHUFFLED_TEST_CASE(a_deadline_stays_once_the_scope_is_over) {
  const TimePoint start = now();
  CancelScope expired(start + 1s);
  BOOST_TEST(ends_at(expired, [] { sleep_for(1h); }));
  expired.set_deadline(kForever);
  BOOST_TEST((expired.deadline() == start + 1s));
  BOOST_TEST(sleep_is_cut());

  const bool cut = shield([] {
    CancelScope cancelled(now() + 10s);
    cancelled.cancel();
    cancelled.set_deadline(kPast);
    return sleep_is_cut() && !cancelled.expired();
  });
  BOOST_TEST(cut);
}

WEFT_SHUFFLED_TEST_CASE(an_outer_deadline_can_be_moved_from_within_an_inner_scope) {
  const TimePoint start = now();
  CancelScope outer;
  const bool ended = ends_at(outer, [&] {
    CancelScope inner(start + 1h);
    outer.set_deadline(start + 1s);
    BOOST_TEST(sleep_is_cut());
    BOOST_TEST(!inner.caused());
    throw_cancelled();
  });
  BOOST_TEST(ended);
  BOOST_TEST((now() == start + 1s));
}

WEFT_REAL_TIME_TEST_CASE(a_yield_sees_that_a_moved_deadline_is_over) {
  // Set from within an inner scope, it holds there, and after it.
  for (const bool within : {true, false}) {
    CancelScope outer;
    std::optional<TimePoint> over;
    const auto compute_until_over = [&] {
      while (now() <= *over) continue;
      yield();
    };
    const bool ended = ends_at(outer, [&] {
      {
        CancelScope inner;
        over = now() + 50us;
        outer.set_deadline(*over);
        if (within) compute_until_over();
      }
      compute_until_over();
    });
    BOOST_TEST(ended);
  }
}

// ---- cancel() -----------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(cancelling_it_ends_its_waits_and_no_others) {
  const TimePoint start = now();
  {
    CancelScope scope(start + 1h);
    scope.cancel();
    BOOST_TEST(scope.cancelled());
    BOOST_TEST(!scope.expired());
    BOOST_TEST(sleep_is_cut());
    BOOST_TEST(ends_at(scope, [] { sleep_for(1h); }));
  }
  BOOST_TEST((now() == start));
  BOOST_TEST(Loop::here()->timers().empty());
  sleep_for(1s);
}

WEFT_SHUFFLED_TEST_CASE(another_fiber_may_cancel_it) {
  const TimePoint start = now();
  CancelScope scope;
  auto other = spawn([&] {
    sleep_for(1s);
    scope.cancel();
    scope.cancel();
    BOOST_TEST(scope.cancelled());
    sleep_for(1s);  // not cancelled itself
  });
  BOOST_TEST(ends_at(scope, [] { sleep_for(1h); }));
  BOOST_TEST((now() == start + 1s));
  shield([&] { other.get(); });
}

WEFT_REAL_TIME_TEST_CASE(a_plain_thread_may_cancel_it) {
  for (int i = 0; i < 100; ++i) {
    CancelScope scope;
    const bool ended = ends_at(scope, [&] {
      const std::jthread other([&] {
        if (i % 2 == 0) std::this_thread::yield();
        scope.cancel();
      });
      sleep_for(1h);
    });
    BOOST_REQUIRE(ended);
    BOOST_TEST(scope.cancelled());
  }
}

WEFT_SHUFFLED_TEST_CASE(what_comes_first_is_what_ended_it) {
  CancelScope scope(now() + 1s);
  BOOST_TEST(sleep_is_cut());
  scope.cancel();
  BOOST_TEST(scope.expired());

  const bool expired = shield([] {
    CancelScope cancelled(now() + 1s);
    cancelled.cancel();
    shield([] { sleep_for(2s); });
    return cancelled.expired();
  });
  BOOST_TEST(!expired);
}

WEFT_SHUFFLED_TEST_CASE(a_wake_up_beats_a_later_cancel) {
  Promise<int> promise;
  CancelScope scope;
  auto other = spawn([&] {
    promise.set_value(7);
    scope.cancel();
  });
  BOOST_TEST(promise.future().get() == 7);
  BOOST_TEST(sleep_is_cut());
  shield([&] { other.get(); });
}

// ---- Whose Cancelled it is ----------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(of_two_that_are_cancelled_the_outer_one_gets_it) {
  CancelScope outer;
  const bool ended = ends_at(outer, [&] {
    CancelScope inner;
    inner.cancel();
    outer.cancel();
    ends_at(inner, [] { sleep_for(1h); });
    BOOST_ERROR("it ended at the inner one");
  });
  BOOST_TEST(ended);
}

WEFT_SHUFFLED_TEST_CASE(the_inner_one_alone_gets_its_own) {
  CancelScope outer;
  CancelScope inner;
  inner.cancel();
  BOOST_TEST(ends_at(inner, [] { sleep_for(1h); }));
  BOOST_TEST(!outer.cancelled());
}

WEFT_SHUFFLED_TEST_CASE(a_cancellation_of_the_task_is_not_the_scopes) {
  auto task = spawn([] {
    CancelScope scope;
    BOOST_TEST(sleep_is_cut());
    BOOST_TEST(!scope.cancelled());
    BOOST_TEST(!scope.caused());
    scope.cancel();
    BOOST_TEST(!scope.caused());
    yield();
  });
  run_until_blocked();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
}

WEFT_SHUFFLED_TEST_CASE(it_nests_with_timeouts_and_groups) {
  const TimePoint start = now();
  CancelScope scope(start + 2s);
  const bool ended = ends_at(scope, [&] {
    BOOST_CHECK_THROW(with_timeout(1s, [] { sleep_for(1h); }), TimeoutError);
    weft::with_task_group([&](TaskGroup& group) {
      group.spawn([] { sleep_for(1h); });
      with_timeout(1h, [] { sleep_for(2h); });
    });
  });
  BOOST_TEST(ended);
  BOOST_TEST((now() == start + 2s));
}

WEFT_SHUFFLED_TEST_CASE(the_failure_of_what_was_destroyed_on_the_way_out_is_thrown) {
  CancelScope scope(now() + 1s);
  BOOST_CHECK_EXCEPTION(ends_at(scope, wait_and_fail), Failure, says("at the end"));
}

WEFT_SHUFFLED_TEST_CASE(a_failure_that_nobody_asks_for_goes_to_the_exception_handler) {
  const Unhandled unhandled;
  BOOST_TEST(throws_cancelled([] {
    const CancelScope scope(now() + 1s);
    wait_and_fail();
  }));
  BOOST_TEST(unhandled.said == "at the end");
}

// ---- Its shield ---------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_shield_holds_back_what_comes_from_outside_until_it_is_lifted) {
  auto task = spawn([] {
    CancelScope outer(now() + 1s);
    CancelScope scope;
    scope.set_shield(true);
    BOOST_TEST(scope.shielded());
    sleep_for(10s);
    scope.set_shield(false);
    BOOST_TEST(!scope.shielded());
    BOOST_TEST(sleep_is_cut());
    scope.set_shield(true);
    sleep_for(1s);
  });
  const TimePoint start = now();
  sleep_for(5s);
  task.cancel();
  task.get();
  BOOST_TEST((now() == start + 11s));
}

WEFT_SHUFFLED_TEST_CASE(a_shielded_scope_still_has_a_deadline_and_can_be_cancelled) {
  const TimePoint start = now();
  auto task = spawn([&] {
    BOOST_TEST(sleep_is_cut());
    {
      CancelScope scope(start + 5s);
      scope.set_shield(true);
      BOOST_TEST(ends_at(scope, [] { sleep_for(1h); }), "what comes from outside does not count");
    }
    CancelScope scope;
    scope.set_shield(true);
    scope.cancel();
    BOOST_TEST(ends_at(scope, [] { sleep_for(1h); }));
  });
  run_until_blocked();
  task.cancel();
  task.get();
  BOOST_TEST((now() == start + 5s));
}

WEFT_SHUFFLED_TEST_CASE(leaving_a_shielded_scope_lifts_the_shield) {
  CancelScope outer;
  outer.cancel();
  {
    CancelScope scope;
    scope.set_shield(true);
    sleep_for(1s);
  }
  BOOST_TEST(sleep_is_cut());
}

WEFT_SHUFFLED_TEST_CASE(a_shield_can_be_set_from_within_an_inner_scope) {
  const TimePoint start = now();
  CancelScope outermost(start + 1s);
  CancelScope outer;
  {
    CancelScope inner(start + 5s);
    outer.set_shield(true);
    BOOST_TEST(ends_at(inner, [] { sleep_for(1h); }));
    BOOST_TEST((now() == start + 5s));
    outer.set_shield(false);
    BOOST_TEST(!inner.caused());
  }
  BOOST_TEST(sleep_is_cut());
}

WEFT_TEST_CASE(a_loop_that_catches_cancelled_is_slowed_down_also_if_it_shields) {
  auto task = spawn([] {
    BOOST_TEST(sleep_is_cut());
    for (int i = 0; i < 2'000; ++i) {
      BOOST_REQUIRE(throws_cancelled([] { yield(); }));
      CancelScope scope;
      scope.set_shield(true);
      scope.set_shield(i % 2 == 0);
    }
  });
  run_until_blocked();
  const TimePoint start = now();
  task.cancel();
  task.get();
  BOOST_TEST((now() >= start + 990ms));
}

// ---- Bad input ----------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(it_needs_a_fiber) {
  BOOST_CHECK_EXCEPTION(CancelScope(), std::logic_error, [](const std::logic_error& error) {
    return std::string(error.what()).find("weft::CancelScope needs a fiber") == 0;
  });
  BOOST_CHECK_EXCEPTION(try_within(1s, [] {}), std::logic_error, [](const std::logic_error& error) {
    return std::string(error.what()).find("weft::try_within needs a fiber") == 0;
  });
}

WEFT_TEST_CASE(another_fiber_may_neither_move_its_deadline_nor_set_its_shield) {
  CancelScope scope(now() + 1h);
  spawn([&] {
    BOOST_CHECK_THROW(scope.set_deadline(kForever), std::logic_error);
    BOOST_CHECK_THROW(scope.set_shield(true), std::logic_error);
  }).get();
  std::thread([&] { BOOST_CHECK_THROW(scope.set_deadline(kForever), std::logic_error); }).join();
  BOOST_TEST(!scope.shielded());
  BOOST_TEST((scope.deadline() == now() + 1h));
}

// ---- try_within() -------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(what_is_in_time_is_there) {
  const auto slow = [](auto value) {
    return [value] {
      sleep_for(1s);
      return value;
    };
  };
  BOOST_TEST((try_within(2s, slow(7)) == 7));
  BOOST_TEST(!try_within(500ms, slow(7)).has_value());
  BOOST_TEST((try_within(2s, slow(std::string("a"))) == "a"));
  const std::optional<std::unique_ptr<int>> moved =
      try_within(2s, [] { return std::make_unique<int>(7); });
  BOOST_TEST(**moved == 7);
  const bool in_time = try_within(2s, [] { sleep_for(1s); });
  BOOST_TEST(in_time);
  BOOST_TEST(!try_within(1s, [] { sleep_for(2s); }));
  sleep_for(1h);
}

WEFT_SHUFFLED_TEST_CASE(of_results_that_may_be_empty_themselves_both_are_told_apart) {
  const std::optional<bool> no = try_within(1s, [] { return false; });
  BOOST_TEST((no.has_value() && !*no));
  const std::optional<std::optional<int>> empty =
      try_within(1s, [] { return std::optional<int>(); });
  BOOST_TEST((empty.has_value() && !empty->has_value()));
}

WEFT_SHUFFLED_TEST_CASE(a_reference_in_time_is_a_pointer) {
  int variable = 0;
  int* const there = try_within(1s, [&]() -> int& { return variable; });
  BOOST_TEST(there == &variable);
  const int* const late = try_within(1s, [&]() -> const int& { return sleep_for(1h), variable; });
  BOOST_TEST(late == nullptr);
}

WEFT_SHUFFLED_TEST_CASE(what_f_throws_and_a_cancellation_pass_through) {
  BOOST_CHECK_THROW(try_within(1s, [] { throw Failure("mine"); }), Failure);
  const TimePoint start = now();
  BOOST_CHECK_THROW(with_timeout(1s, [] { return try_within(1h, [] { sleep_for(2h); }); }),
                    TimeoutError);
  BOOST_CHECK_THROW(with_timeout(1s, [] { return try_within(1s, [] { sleep_for(2h); }); }),
                    TimeoutError);
  BOOST_TEST((now() == start + 2s));
  BOOST_CHECK_EXCEPTION(try_within(1s, wait_and_fail), Failure, says("at the end"));
  BOOST_CHECK_THROW(try_within(1s, std::function<void()>()), std::invalid_argument);
}

WEFT_SHUFFLED_TEST_CASE(no_time_at_all_ends_the_first_wait) {
  for (const Duration none : {0s, -1s}) {
    BOOST_TEST((try_within(none, [] { return 7; }) == 7));
    BOOST_TEST(!try_within(none, [] { yield(); }));
  }
}

BOOST_AUTO_TEST_SUITE_END()
