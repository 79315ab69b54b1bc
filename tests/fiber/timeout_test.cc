#include "weft/fiber/timeout.h"

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/core/context.h"
#include "weft/fiber/core/loop.h"
#include "weft/fiber/core/thread_port.h"

BOOST_AUTO_TEST_SUITE(timeout)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

bool sleep_is_cancelled() {
  try {
    sleep_for(1h);
  } catch (const Cancelled&) {
    return true;
  }
  return false;
}

// Which of two nested timeouts ends an endless wait: '1' the outer, '2' the inner one.
std::string nested(Duration outer, Duration inner) {
  std::string who;
  try {
    with_timeout(outer, [&] {
      try {
        with_timeout(inner, [] { sleep_for(1000h); });
      } catch (const TimeoutError&) {
        who += '2';
      }
    });
  } catch (const TimeoutError&) {
    who += '1';
  }
  return who;
}

}  // namespace

WEFT_SHUFFLED_TEST_CASE(a_wait_ends_when_the_time_is_over) {
  const TimePoint start = now();
  BOOST_CHECK_THROW(with_timeout(1s, [] { sleep_for(1h); }), TimeoutError);
  BOOST_TEST((now() == start + 1s));
  BOOST_CHECK_THROW(with_deadline(start + 5s, [] { sleep_for(1h); }), TimeoutError);
  BOOST_TEST((now() == start + 5s));
  sleep_for(1s);
  BOOST_TEST((now() == start + 6s), "what comes afterwards is not cancelled");
}

WEFT_SHUFFLED_TEST_CASE(what_is_in_time_has_its_result) {
  BOOST_TEST(with_timeout(1s, [] {
               sleep_for(999ms);
               return 7;
             }) == 7);
  BOOST_TEST(*with_timeout(1s, [] { return std::make_unique<int>(7); }) == 7);
  int variable = 0;
  BOOST_TEST(&with_deadline(kForever, [&]() -> int& { return variable; }) == &variable);
  BOOST_CHECK_THROW(with_timeout(1s, [] { throw std::logic_error("mine"); }), std::logic_error);
  sleep_for(1h);
}

WEFT_SHUFFLED_TEST_CASE(every_later_wait_in_it_throws_too) {
  int caught = 0;
  const TimePoint start = now();
  BOOST_CHECK_THROW(with_timeout(1s,
                                 [&] {
                                   for (int i = 0; i < 3; ++i) caught += sleep_is_cancelled();
                                   yield();
                                 }),
                    TimeoutError);
  BOOST_TEST(caught == 3);
  BOOST_TEST((now() == start + 1s));
}

WEFT_SHUFFLED_TEST_CASE(what_does_not_wait_any_more_has_its_way_though_late) {
  BOOST_TEST(with_timeout(1s, [] { return sleep_is_cancelled() ? 7 : 8; }) == 7);
  BOOST_CHECK_THROW(with_timeout(1s,
                                 [] {
                                   if (sleep_is_cancelled()) throw std::runtime_error("mine");
                                 }),
                    std::runtime_error);
  BOOST_TEST(with_timeout(1s, [] { return shield([] { return sleep_for(1h), 7; }); }) == 7);
  sleep_for(1s);
}

WEFT_SHUFFLED_TEST_CASE(the_first_of_two_nested_timeouts_ends_the_wait) {
  BOOST_TEST(nested(1s, 2s) == "1");
  BOOST_TEST(nested(2s, 1s) == "2");
  BOOST_TEST(nested(1s + 1ns, 1s) == "2");
  BOOST_TEST(nested(1s, 1s + 1ns) == "1");
}

WEFT_SHUFFLED_TEST_CASE(of_equal_deadlines_the_outermost_gets_it) {
  BOOST_TEST(nested(1s, 1s) == "1");
  BOOST_TEST(nested(0s, 0s) == "1");
}

WEFT_SHUFFLED_TEST_CASE(an_outer_timeout_that_expires_on_the_way_out_gets_it) {
  BOOST_CHECK_EXCEPTION(with_timeout(2s,
                                     [] {
                                       with_timeout(1s, when_cancelled([] {
                                                      shield([] { sleep_for(2s); });
                                                      throw;
                                                    }));
                                     }),
                        TimeoutError, [](const auto&) {
                          sleep_for(1s);
                          return true;
                        });
  std::string who;
  try {
    with_timeout(2s, [&] {
      try {
        with_timeout(1s, [] {
          sleep_is_cancelled();
          shield([] { sleep_for(2s); });
          yield();
        });
      } catch (const TimeoutError&) {
        who += '2';
      }
    });
  } catch (const TimeoutError&) {
    who += '1';
  }
  BOOST_TEST(who == "1");
}

WEFT_SHUFFLED_TEST_CASE(timeouts_nest_deep) {
  // Each catches its own, and no other's.
  int expired = 0;
  const TimePoint start = now();
  std::function<void(int)> nest = [&](int depth) {
    if (depth == 0) {
      sleep_for(1h);
      return;
    }
    try {
      with_timeout(depth * 1s, [&] { nest(depth - 1); });
    } catch (const TimeoutError&) {
      ++expired;
      BOOST_TEST((now() == start + depth * 1s));
      sleep_for(1h);
    }
  };
  BOOST_CHECK_THROW(with_timeout(6s, [&] { nest(5); }), TimeoutError);
  BOOST_TEST(expired == 5);
  BOOST_TEST((now() == start + 6s));
}

WEFT_SHUFFLED_TEST_CASE(a_timeout_waits_for_a_shield_in_it) {
  const TimePoint start = now();
  bool finished = false;
  BOOST_CHECK_THROW(with_timeout(1s,
                                 [&] {
                                   shield([&] { sleep_for(10s), finished = true; });
                                   sleep_for(1h);
                                 }),
                    TimeoutError);
  BOOST_TEST(finished);
  BOOST_TEST((now() == start + 10s));
}

WEFT_SHUFFLED_TEST_CASE(a_timeout_works_in_a_shield) {
  const TimePoint start = now();
  auto task = spawn([&] {
    shield([&] {
      BOOST_CHECK_THROW(with_timeout(5s, [] { sleep_for(1h); }), TimeoutError);
      BOOST_TEST((now() == start + 5s));
      sleep_for(1s);
    });
    return sleep_is_cancelled();
  });
  sleep_for(1s);
  task.cancel();
  BOOST_TEST(task.get());
  BOOST_TEST((now() == start + 6s));
}

WEFT_SHUFFLED_TEST_CASE(a_cancel_of_the_task_passes_through_a_pending_timeout) {
  auto task = spawn([] {
    try {
      with_timeout(1h, [] { sleep_for(2h); });
    } catch (const TimeoutError&) {
      BOOST_ERROR("taken for a timeout");
    }
  });
  run_until_blocked();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(Loop::here()->timers().empty());
}

WEFT_SHUFFLED_TEST_CASE(a_cancel_of_the_task_beats_a_timeout_that_has_expired) {
  auto task = spawn([] {
    try {
      with_timeout(1s, [] {
        sleep_is_cancelled();
        shield([] { sleep_for(10s); });
        yield();
      });
    } catch (const TimeoutError&) {
      BOOST_ERROR("taken for a timeout");
    }
  });
  sleep_for(5s);
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
}

WEFT_SHUFFLED_TEST_CASE(a_wake_up_beats_a_later_timeout) {
  Promise<int> promise;
  auto setter = spawn([&] {
    sleep_for(1s);
    promise.set_value(7);
  });
  // Whichever comes first at the same instant, the value is not lost.
  try {
    BOOST_TEST(with_timeout(1s, [&] { return promise.future().get(); }) == 7);
  } catch (const TimeoutError&) {
  }
  BOOST_TEST(promise.future().get() == 7);
}

WEFT_SHUFFLED_TEST_CASE(no_time_at_all_ends_the_first_wait) {
  BOOST_TEST(with_timeout(0s, [] { return 7; }) == 7);
  BOOST_TEST(with_deadline(kPast, [] { return 7; }) == 7);
  const TimePoint start = now();
  BOOST_CHECK_THROW(with_timeout(0s, [] { sleep_for(1s); }), TimeoutError);
  BOOST_CHECK_THROW(with_deadline(kPast, [] { sleep_for(1s); }), TimeoutError);
  BOOST_TEST((now() == start));
}

WEFT_TEST_CASE(a_destructor_that_waits_while_the_timeout_unwinds_is_not_interrupted) {
  bool cleaned = false;
  struct Cleanup {
    bool& cleaned;
    ~Cleanup() { sleep_for(10s), cleaned = true; }
  };
  BOOST_CHECK_THROW(with_timeout(1s,
                                 [&] {
                                   const Cleanup cleanup{cleaned};
                                   sleep_for(1h);
                                 }),
                    TimeoutError);
  BOOST_TEST(cleaned);
}

WEFT_TEST_CASE(a_timeout_reaches_no_child) {
  auto child = spawn([] { return sleep_for(1h), 7; });
  BOOST_CHECK_THROW(with_timeout(1s, [&] { child.wait(); }), TimeoutError);
  BOOST_TEST(child.get() == 7);
}

WEFT_TEST_CASE(bad_arguments_are_refused) {
  BOOST_CHECK_THROW(with_timeout(1s, std::function<void()>()), std::invalid_argument);
  BOOST_CHECK_THROW(with_deadline(kForever, std::function<void()>()), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(a_timeout_needs_a_fiber) {
  const auto names_it = [](const std::logic_error& error) {
    const std::string said = error.what();
    return said.find("weft::with_timeout") != said.npos && said.find("weft::run") != said.npos;
  };
  BOOST_CHECK_EXCEPTION(with_timeout(1s, [] {}), std::logic_error, names_it);
  BOOST_CHECK_THROW(with_deadline(kForever, [] {}), std::logic_error);
}

WEFT_TEST_CASE(an_endless_timeout_holds_no_timer) {
  with_deadline(kForever, [] { BOOST_TEST(Loop::here()->timers().empty()); });
  with_timeout(Duration::max(), [] { sleep_for(1h); });
}

WEFT_TEST_CASE(timeouts_that_did_not_expire_leave_nothing) {
  const TimerQueue& timers = Loop::here()->timers();
#if defined(WEFT_TSAN)
  constexpr std::size_t kFibers = 2'000;
#else
  constexpr std::size_t kFibers = 100'000;
#endif
  Promise<void> promise;
  TaskGroup group;
  for (std::size_t i = 0; i < kFibers; ++i) {
    group.spawn([i, future = promise.future()] {
      with_timeout(1h + std::chrono::milliseconds(i), [&] { future.get(); });
    });
  }
  run_until_blocked();
  BOOST_TEST(timers.size() == kFibers);
  promise.set_value();
  group.join();
  BOOST_TEST(timers.size() == 0u);
}

// ---- yield() ------------------------------------------------------------------------------------

namespace {

// Computes until the machine's clock says that a deadline is over, whose timer has had no turn.
void compute_past(TimePoint deadline) {
  while (Clock::now() <= deadline) {
  }
}

}  // namespace

WEFT_SHUFFLED_TEST_CASE(no_time_at_all_ends_the_first_yield) {
  BOOST_CHECK_THROW(with_timeout(0s, [] { yield(); }), TimeoutError);
  BOOST_CHECK_THROW(with_deadline(now() - 1h, [] { yield(); }), TimeoutError);
  BOOST_CHECK_THROW(with_deadline(kPast, [] { yield(); }), TimeoutError);
  with_timeout(1ns, [] { yield(); });
  with_deadline(kForever, [] { yield(); });
  yield();
  BOOST_TEST(Loop::here()->timers().empty());
}

WEFT_TEST_CASE(others_run_before_a_yield_throws) {
  bool ran = false;
  auto other = spawn([&] { ran = true; });
  BOOST_CHECK_THROW(with_timeout(0s, [] { yield(); }), TimeoutError);
  BOOST_TEST(ran);
}

WEFT_REAL_TIME_TEST_CASE(a_yield_throws_as_soon_as_the_time_is_over) {
  for (int i = 0; i < 100; ++i) {
    int yields = 0;
    BOOST_CHECK_THROW(with_timeout(100us,
                                   [&] {
                                     compute_past(now() + 100us);
                                     for (;; ++yields) yield();
                                   }),
                      TimeoutError);
    BOOST_TEST(yields == 0);
  }
  BOOST_TEST(Loop::here()->timers().empty());
}

WEFT_REAL_TIME_TEST_CASE(a_yield_sees_that_outer_timeouts_are_over) {
  std::string who;
  // All at once: the outermost gets it.
  try {
    with_timeout(50us, [&] {
      try {
        with_timeout(1h, [&] {
          with_timeout(100us, [&] {
            compute_past(now() + 100us);
            yield();
            who += '?';
          });
        });
      } catch (const TimeoutError&) {
        who += '2';
      }
    });
  } catch (const TimeoutError&) {
    who += '1';
  }
  // The inner one alone.
  try {
    with_timeout(1h, [&] {
      try {
        with_timeout(50us, [&] {
          compute_past(now() + 50us);
          yield();
          who += '?';
        });
      } catch (const TimeoutError&) {
        who += '4';
      }
      yield();
      who += '5';
    });
  } catch (const TimeoutError&) {
    who += '3';
  }
  BOOST_TEST(who == "145");
}

WEFT_REAL_TIME_TEST_CASE(a_yield_in_a_shield_does_not_see_what_is_around_it) {
  bool in_shield = false;
  BOOST_CHECK_THROW(with_timeout(50us,
                                 [&] {
                                   compute_past(now() + 50us);
                                   shield([&] {
                                     yield();
                                     with_timeout(1h, [] { yield(); });
                                     BOOST_CHECK_THROW(with_timeout(0s, [] { yield(); }),
                                                       TimeoutError);
                                     yield();
                                     in_shield = true;
                                   });
                                   yield();
                                   BOOST_ERROR("it went on");
                                 }),
                    TimeoutError);
  BOOST_TEST(in_shield);
}

WEFT_REAL_TIME_TEST_CASE(a_yield_while_unwinding_does_not_throw_though_the_time_is_over) {
  bool cleaned = false;
  struct Cleanup {
    bool& cleaned;
    ~Cleanup() {
      for (int i = 0; i < 100; ++i) yield();
      cleaned = true;
    }
  };
  BOOST_CHECK_THROW(with_timeout(0s,
                                 [&] {
                                   const Cleanup cleanup{cleaned};
                                   throw std::runtime_error("mine");
                                 }),
                    std::runtime_error);
  BOOST_TEST(cleaned);
}

WEFT_SHUFFLED_TEST_CASE(a_yield_with_time_left_does_not_throw) {
  with_timeout(1s, [] {
    for (int i = 0; i < 1000; ++i) yield();
  });
  with_timeout(1s, [] {
    sleep_for(999ms);
    yield();
  });
}

// What waits without a timeout around it reads no clock: it has no deadline to compare.
BOOST_AUTO_TEST_CASE(a_yield_reads_the_clock_only_where_a_timeout_may_be_over) {
  class CountingPort final : public Port {
   public:
    TimePoint now() const noexcept override {
      ++readings;
      return inner_.now();
    }
    bool is_virtual() const noexcept override { return true; }  // turns are counted
    bool wait(TimePoint deadline) override { return inner_.wait(deadline); }
    void wake() noexcept override { inner_.wake(); }
    mutable int readings = 0;

   private:
    ThreadPort inner_;
  } port;
  const auto readings = [&](auto f) {
    const int before = port.readings;
    f();
    return port.readings - before;
  };
  const auto yields = [] {
    for (int i = 0; i < 100; ++i) yield();
  };
  run_on(port, [&] {
    yield();
    BOOST_TEST(readings(yields) == 0);
    with_timeout(1h, [&] {
      BOOST_TEST(readings(yields) == 100);
      BOOST_TEST(readings([&] { shield(yields); }) == 0);
      BOOST_TEST(readings([&] { with_deadline(kForever, yields); }) == 100);
    });
    BOOST_TEST(readings(yields) == 0);
    with_deadline(kForever, [&] { BOOST_TEST(readings(yields) == 0); });
  });
}

BOOST_AUTO_TEST_SUITE_END()
