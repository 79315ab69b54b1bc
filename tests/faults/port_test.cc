// A scheduler on a port that plays tricks: nothing is early, nothing is lost, and it comes to an
// end.

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "tests/faults/faulty_port.h"
#include "tests/support/check.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/cancel.h"
#include "weft/fiber/core/virtual_port.h"
#include "weft/fiber/future.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/task.h"
#include "weft/fiber/task_group.h"
#include "weft/fiber/this_fiber.h"
#include "weft/fiber/timeout.h"

BOOST_AUTO_TEST_SUITE(port)

using namespace std::chrono_literals;
using weft::Duration;
using weft::TimePoint;
using weft::faults::FaultyPort;
using weft::faults::Trick;
using weft::test::run_on;

namespace {

constexpr int kSeeds = 20;
constexpr int kTurns = 10;

// Runs the body as a fiber of a scheduler on such a port, for each trick at each of the first calls
// and for some seeds; on the machine's time, or before a virtual clock.
void check(bool virtual_time, const std::function<void()>& body) {
  const auto run = [&](FaultyPort& port) {
    if (virtual_time) {
      weft::internal::VirtualClock clock;
      weft::internal::VirtualPort inner(port, clock);
      run_on(inner, body, {.trim = false});
    } else {
      run_on(port, body);
    }
  };
  int played = 0;
  for (int trick = 1; trick < weft::faults::kTricks; ++trick) {
    for (int turn = 1; turn <= kTurns; ++turn) {
      BOOST_TEST_CONTEXT("trick " << trick << " at call " << turn) {
        FaultyPort port(static_cast<Trick>(trick), turn);
        run(port);
        played += port.played();
      }
    }
  }
  for (int seed = 1; seed <= kSeeds; ++seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      FaultyPort port(static_cast<std::uint64_t>(seed));
      run(port);
      played += port.played();
    }
  }
  // A virtual clock asks the port only where something may come from outside.
  if (!virtual_time) BOOST_TEST(played > 0);
}

void check_both(const std::function<void()>& body) {
  check(false, body);
  check(true, body);
}

}  // namespace

BOOST_AUTO_TEST_CASE(sleepers_come_in_order_and_not_early) {
  check_both([&] {
    std::vector<int> order;
    weft::TaskGroup group;
    const TimePoint start = weft::now() + 10ms;
    bool all_sleep = true;  // before the first is to wake: else the loop may see a later one first
    for (int i = 9; i >= 0; --i) {
      group.spawn([&, i] {
        const TimePoint end = start + (i + 1) * 100us;
        all_sleep &= weft::now() < start;
        weft::sleep_until(end);
        BOOST_TEST((weft::now() >= end));
        order.push_back(i);
      });
    }
    group.join();
    BOOST_TEST(order.size() == 10u);
    if (all_sleep) BOOST_TEST(std::is_sorted(order.begin(), order.end()));
  });
}

BOOST_AUTO_TEST_CASE(what_other_threads_post_is_not_lost) {
  static constexpr int kPosts = 200;
  check_both([] {
    int done = 0;
    weft::Promise<void> all;
    weft::Future<void> future = all.future();
    weft::Scheduler& here = weft::Scheduler::current();
    std::jthread poster([&] {
      for (int i = 0; i < kPosts; ++i) {
        here.post([&] {
          if (++done == kPosts) all.set_value();
        });
        if (i % 16 == 0) std::this_thread::yield();
      }
    });
    future.get();
    BOOST_TEST(done == kPosts);
  });
}

BOOST_AUTO_TEST_CASE(a_future_that_another_thread_sets_is_seen) {
  check_both([] {
    for (int i = 0; i < 10; ++i) {
      weft::Promise<int> promise;
      weft::Future<int> future = promise.future();
      std::jthread setter([&] { promise.set_value(i); });
      BOOST_TEST(future.get() == i);
    }
  });
}

BOOST_AUTO_TEST_CASE(timeouts_come_and_not_early) {
  check_both([] {
    for (int i = 0; i < 5; ++i) {
      const TimePoint start = weft::now();
      BOOST_CHECK_THROW(weft::with_timeout(200us, [] { weft::sleep_for(1h); }), weft::TimeoutError);
      BOOST_TEST((weft::now() - start >= 200us));
    }
  });
}

BOOST_AUTO_TEST_CASE(a_cancellation_by_another_thread_comes_through) {
  check_both([] {
    weft::Promise<void> promise;
    weft::Future<void> never = promise.future();
    auto task = weft::spawn([&] { never.get(); });
    std::jthread canceller([&] { task.cancel(); });
    BOOST_CHECK_THROW(task.get(), weft::TaskCancelled);
  });
}

BOOST_AUTO_TEST_CASE(a_shutdown_ends_those_who_wait) {
  std::atomic<int> ended = 0;
  int begun = 0;
  check_both([&] {
    for (int i = 0; i < 5; ++i) {
      struct Ends {
        ~Ends() {
          weft::shield([] { weft::sleep_for(100us); });
          ++ended;
        }
        std::atomic<int>& ended;
      };
      weft::spawn([&] {
        const Ends ends{ended};
        weft::sleep_for(24h);
      }).detach();
    }
    begun += 5;
    weft::yield();
  });
  BOOST_TEST(ended == begun);
}

BOOST_AUTO_TEST_SUITE_END()
