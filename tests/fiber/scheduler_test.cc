#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/core/home.h"
#include "weft/fiber/core/loop.h"
#include "weft/fiber/core/thread_port.h"

BOOST_AUTO_TEST_SUITE(scheduler)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// A scheduler on the calling thread: f() runs as a fiber of it, by the machine's clock.
template <class F>
void run_here(F f, Loop::Options options = {}) {
  ThreadPort port;
  run_on(port, f, options);
}

std::string order_under(std::uint64_t seed) {
  std::string order;
  run_here(
      [&] {
        TaskGroup group;
        for (char name = 'a'; name <= 'j'; ++name) {
          group.spawn([&order, name] {
            order += name;
            yield();
            order += name;
          });
        }
        group.join();
      },
      {.shuffle_seed = seed});
  return order;
}

}  // namespace

// ---- Running ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(current_is_that_of_the_calling_fiber) {
  BOOST_CHECK_THROW(Scheduler::current(), std::logic_error);
  BOOST_TEST(Home::here() == nullptr);
  SchedulerThread other;
  BOOST_TEST(spawn([] { return &Scheduler::current(); }, {.on = other.get()}).get() == other.get());
  BOOST_CHECK_THROW(Scheduler::current(), std::logic_error);
}

BOOST_AUTO_TEST_CASE(too_small_a_stack_is_refused) {
  ThreadPort port;
  BOOST_CHECK_THROW(Loop(port, {.stack_size = 0}), std::invalid_argument);
  BOOST_CHECK_THROW(Loop(port, {.stack_size = 4096}), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(a_scheduler_that_never_ran_may_be_destroyed) {
  ThreadPort port;
  Loop scheduler(port, {});
}

BOOST_AUTO_TEST_CASE(runs_do_not_nest) {
  run_here([] {
    ThreadPort port;
    Loop inner(port, {});
    BOOST_CHECK_THROW(inner.run(), std::logic_error);
    BOOST_CHECK_THROW(Loop::here()->run(), std::logic_error);
  });
}

BOOST_AUTO_TEST_CASE(a_stop_before_the_run_ends_it_at_once_and_only_that_one) {
  ThreadPort port;
  Loop scheduler(port, {});
  int ran = 0;
  scheduler.stop();
  scheduler.stop();
  scheduler.run();
  scheduler.post([&] {
    ++ran;
    scheduler.stop();
    ++ran;
    yield();
    ++ran;
  });
  scheduler.run();
  BOOST_TEST(ran == 2);
  scheduler.post([&] { scheduler.stop(); });
  scheduler.run();
  BOOST_TEST(ran == 3);
  scheduler.shutdown();
}

BOOST_AUTO_TEST_CASE(any_thread_may_stop_a_run) {
  ThreadPort port;
  Loop scheduler(port, {});
  for (int round = 0; round < 200; ++round) {
    std::thread stopper([&] {
      for (int pause = round % 20; pause > 0; --pause) std::this_thread::yield();
      scheduler.stop();
    });
    scheduler.run();
    stopper.join();
  }
  scheduler.shutdown();
}

BOOST_AUTO_TEST_CASE(shutdown_cancels_and_waits_for_all) {
  ThreadPort port;
  Loop scheduler(port, {});
  bool started = false, cleaned = false;
  spawn(
      [&] {
        started = true;
        try {
          sleep_for(1h);
        } catch (const Cancelled&) {
          shield([] { sleep_for(1ms); });
          cleaned = true;
        }
      },
      {.on = &scheduler})
      .detach();
  scheduler.post([&] { scheduler.stop(); });
  scheduler.run();
  BOOST_TEST(started);
  BOOST_TEST(scheduler.fibers() == 1u);
  scheduler.shutdown();
  BOOST_TEST(cleaned);
  BOOST_TEST(scheduler.fibers() == 0u);
}

BOOST_AUTO_TEST_CASE(what_never_started_is_cancelled_by_the_shutdown) {
  ThreadPort port;
  Loop scheduler(port, {});
  spawn([] { BOOST_ERROR("it ran"); }, {.on = &scheduler}).detach();
  scheduler.post([] { BOOST_ERROR("it ran"); });
  auto held = spawn([] { sleep_for(1h); }, {.on = &scheduler});
  held.cancel();
  scheduler.shutdown();
  BOOST_CHECK_THROW(held.get(), TaskCancelled);
}

// ---- Posts --------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(posts_of_a_thread_start_in_order) {
  constexpr int kThreads = 4;
  constexpr int kPosts = 1000;
  std::array<std::vector<int>, kThreads> seen;
  {
    SchedulerThread other;
    Promise<void> done;
    int left = kThreads * kPosts;
    std::vector<std::thread> threads;
    for (int self = 0; self < kThreads; ++self) {
      threads.emplace_back([&, self] {
        for (int i = 0; i < kPosts; ++i) {
          other->post([&, self, i] {
            seen[self].push_back(i);
            if (--left == 0) done.set_value();
          });
        }
      });
    }
    done.future().get();
    for (auto& thread : threads) thread.join();
  }
  for (const auto& numbers : seen) {
    BOOST_TEST(numbers.size() == static_cast<std::size_t>(kPosts));
    BOOST_TEST(std::is_sorted(numbers.begin(), numbers.end()));
  }
}

BOOST_AUTO_TEST_CASE(a_post_wakes_a_scheduler_that_sleeps) {
  SchedulerThread other;
  for (int i = 0; i < 1000; ++i) {
    Promise<int> promise;
    other->post([&] { promise.set_value(i); });
    BOOST_TEST(promise.future().get() == i);
  }
}

WEFT_TEST_CASE(a_post_may_wait_and_post_again) {
  int posts = 0;
  std::function<void()> again = [&] {
    sleep_for(1s);
    if (++posts < 10) Scheduler::current().post(again);
  };
  Scheduler::current().post(again);
  sleep_for(1h);
  BOOST_TEST(posts == 10);
}

BOOST_AUTO_TEST_CASE(posts_may_race_with_the_end) {
  for (int round = 0; round < 100; ++round) {
    std::atomic<int> ran{0};
    ThreadPort port;
    Loop scheduler(port, {});
    std::thread poster([&] {
      for (int i = 0; i < 100; ++i) scheduler.post([&] { ++ran, yield(); });
      scheduler.stop();
    });
    scheduler.run();
    scheduler.shutdown();
    poster.join();
    BOOST_TEST(ran <= 100);
  }
}

BOOST_AUTO_TEST_CASE(what_comes_after_the_last_turn_ends_without_having_begun) {
  ThreadPort port;
  std::optional<Loop> scheduler(std::in_place, port, Loop::Options());
  scheduler->shutdown();
  const auto owned = std::make_shared<int>();
  bool ran = false;
  auto task = spawn([&ran, owned] { ran = true; }, {.on = &*scheduler});
  spawn([&ran, owned] { ran = true; }, {.on = &*scheduler}).detach();
  scheduler->post([&ran, owned] { ran = true; });
  scheduler.reset();
  BOOST_TEST(task.done());
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(!ran);
  BOOST_TEST(owned.use_count() == 1);
}

BOOST_AUTO_TEST_CASE(a_failure_is_told_when_its_handle_goes_after_the_last_turn) {
  for (const bool after_the_scheduler : {false, true}) {
    int told = 0;
    ThreadPort port;
    std::optional<Loop> scheduler(std::in_place, port, Loop::Options());
    scheduler->set_exception_handler([&](std::exception_ptr) { ++told; });
    auto task = spawn([] { throw 1; }, {.on = &*scheduler});
    spawn([&] { scheduler->stop(); }, {.on = &*scheduler}).detach();
    scheduler->run();
    scheduler->shutdown();
    if (after_the_scheduler) scheduler.reset();
    task.detach();
    scheduler.reset();
    BOOST_TEST(told == 1);
  }
}

// ---- Exceptions ---------------------------------------------------------------------------------

// The handler may wait, whoever spawned, detached or dropped the task, and from wherever.
BOOST_AUTO_TEST_CASE(the_handler_runs_in_the_fiber_that_failed) {
  SchedulerThread other;
  const auto failing = [&] {
    return spawn([] { throw 1; }, {.name = "failed", .on = other.get()});
  };
  const std::function<void(Task<void>)> drops[] = {
      [](Task<void> task) { task.detach(); },
      [](Task<void> task) {
        task.wait();
        task.detach();
      },
      [](Task<void> task) { task.wait(); },
  };
  for (const auto& drop : drops) {
    for (int round = 0; round < 100; ++round) {
      Promise<std::string> name;
      Promise<void> set;
      other->post([&] {
        Scheduler::current().set_exception_handler([&](std::exception_ptr) {
          yield();
          name.set_value(current_task().name);
        });
        set.set_value();
      });
      set.future().get();
      drop(failing());
      BOOST_TEST(name.future().get() == "failed");
    }
  }
}

BOOST_AUTO_TEST_CASE(the_handler_may_wait_during_a_shutdown_and_be_replaced_meanwhile) {
  std::string said;
  run([&] {
    Scheduler::current().set_exception_handler([&](std::exception_ptr) {
      Scheduler::current().set_exception_handler([&](std::exception_ptr) { said += '?'; });
      sleep_for(1ms);
      said += '!';
    });
    spawn([] {
      try {
        sleep_for(1h);
      } catch (...) {
        throw 1;
      }
    }).detach();
    yield();
  });
  BOOST_TEST(said == "!");
}

WEFT_TEST_CASE(the_handler_can_be_replaced) {
  Scheduler& here = Scheduler::current();
  std::string said;
  for (char name : {'a', 'b'}) {
    here.set_exception_handler([&said, name](std::exception_ptr) { said += name; });
    here.call_soon([] { throw 1; });
    run_until_blocked();
  }
  BOOST_TEST(said == "ab");
}

BOOST_AUTO_TEST_CASE(by_default_an_exception_that_nobody_took_is_printed_and_ends_the_process) {
  const ChildEnd detached = run_in_child([] {
    run_here([] {
      spawn([] { throw std::runtime_error("the reason"); }, {.name = "culprit"}).detach();
      yield();
    });
    return 0;
  });
  BOOST_TEST(detached.signal == SIGABRT);
  BOOST_TEST(detached.said.find("the reason") != std::string::npos, detached.said);
  BOOST_TEST(detached.said.find("\"culprit\"") != std::string::npos, detached.said);
}

BOOST_AUTO_TEST_CASE(a_null_handler_is_the_default_one) {
  const ChildEnd called = run_in_child([] {
    run_here([] {
      Scheduler::current().set_exception_handler([](std::exception_ptr) {});
      Scheduler::current().set_exception_handler(nullptr);
      Scheduler::current().call_soon([] { throw 1; });
      yield();
      yield();
    });
    return 0;
  });
  BOOST_TEST(called.signal == SIGABRT);
  BOOST_TEST(called.said.find("no std::exception") != std::string::npos, called.said);
}

BOOST_AUTO_TEST_CASE(a_cancelled_fiber_is_no_failure) {
  const ChildEnd end = run_in_child([] {
    run_here([] {
      spawn([] { sleep_for(1h); }).detach();
      Scheduler::current().call_soon([] { sleep_for(1h); });
      yield();
    });
    return 7;
  });
  BOOST_TEST(end.exit_code == 7);
  BOOST_TEST(end.said == "");
}

// ---- Order --------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(the_same_seed_gives_the_same_order_and_others_differ) {
  std::set<std::string> orders;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const std::string order = order_under(seed);
    BOOST_TEST(order == order_under(seed));
    BOOST_TEST(order.size() == 20u);
    orders.insert(order);
  }
  BOOST_TEST(orders.size() == 20u);
}

BOOST_AUTO_TEST_CASE(any_of_the_ready_may_come_first_and_any_last) {
  std::set<char> first, last;
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    const std::string order = order_under(seed);
    first.insert(order.front());
    last.insert(order.back());
  }
  BOOST_TEST(first.size() == 10u);
  BOOST_TEST(last.size() == 10u);
}

BOOST_AUTO_TEST_CASE(fibers_that_only_yield_starve_neither_timers_nor_posts) {
  SchedulerThread other;
  std::atomic<bool> stop{false};
  std::vector<Task<void>> busy;
  for (int i = 0; i < 2; ++i) {
    busy.push_back(spawn(
        [&] {
          while (!stop) yield();
        },
        {.on = other.get()}));
  }
  auto sleeper = spawn([] { sleep_for(1ms); }, {.on = other.get()});
  BOOST_TEST(sleeper.wait_for(10s));
  Promise<void> called, posted;
  other->post([&] {
    posted.set_value();
    other->call_later(1ms, [&] { called.set_value(); });
  });
  BOOST_TEST(posted.future().wait_for(10s));
  BOOST_TEST(called.future().wait_for(10s));
  stop = true;
}

BOOST_AUTO_TEST_CASE(fibers_that_wake_each_other_starve_no_timers) {
  SchedulerThread other;
  std::atomic<bool> stop{false};
  auto ping_pong = spawn(
      [&] {
        while (!stop) {
          Promise<void> promise;
          auto waiter = spawn([&] { promise.future().get(); });
          yield();
          promise.set_value();
          waiter.get();
        }
      },
      {.on = other.get()});
  BOOST_TEST(spawn([] { sleep_for(1ms); }, {.on = other.get()}).wait_for(10s));
  stop = true;
  ping_pong.wait();
}

BOOST_AUTO_TEST_CASE(timers_starve_no_fibers) {
  run_here([] {
    bool stop = false;
    int calls = 0;
    std::function<void()> again = [&] {
      ++calls;
      if (!stop && calls < 1'000'000) Scheduler::current().call_later(0s, again);
    };
    Scheduler::current().call_later(0s, again);
    for (int i = 0; i < 100; ++i) yield();
    stop = true;
    BOOST_TEST(calls < 1'000'000);
    while (!Loop::here()->timers().empty()) yield();
    yield();
  });
}

WEFT_TEST_CASE(posts_starve_no_fibers) {
  bool stop = false;
  int posts = 0;
  std::function<void()> again = [&] {
    ++posts;
    if (!stop && posts < 1'000'000) Scheduler::current().post(again);
  };
  Scheduler::current().post(again);
  for (int i = 0; i < 100; ++i) yield();
  stop = true;
  BOOST_TEST(posts < 1'000'000);
  sleep_for(1s);
}

// ---- Time ---------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(sleeps_by_the_machines_clock_are_never_early) {
  run_here([] {
    for (int i = 0; i < 50; ++i) {
      const Duration time = std::chrono::nanoseconds(i * 7'777);
      const TimePoint start = Clock::now();
      sleep_for(time);
      BOOST_TEST((Clock::now() - start >= time));
    }
  });
}

BOOST_AUTO_TEST_CASE(spinning_finds_posts_and_timers) {
  SchedulerThread other({.spin = 1ms});
  for (int i = 0; i < 20; ++i) {
    Promise<void> promise;
    other->post([&] {
      sleep_for(i * 100us);
      promise.set_value();
    });
    BOOST_TEST(promise.future().wait_for(10s));
    std::this_thread::sleep_for(i * 100us);
  }
}

BOOST_AUTO_TEST_SUITE_END()
