#include "weft/fiber/core/virtual_port.h"

#include <thread>
#include <vector>

#include "tests/support/check.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/core/thread_port.h"
#include "weft/fiber/future.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/task.h"
#include "weft/fiber/this_fiber.h"

BOOST_AUTO_TEST_SUITE(virtual_port)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// The world outside, as told.
class Outside final : public Port {
 public:
  TimePoint now() const noexcept override { return TimePoint(1234h); }
  bool wait(TimePoint deadline) override {
    waits.push_back(deadline);
    return something;
  }
  bool pending(TimePoint deadline) override {
    looks.push_back(deadline);
    return something;
  }
  void wake() noexcept override { ++wakes; }

  bool something = false;
  std::vector<TimePoint> waits, looks;
  int wakes = 0;
};

constexpr TimePoint kStart{1s};

// Runs f() as a fiber on virtual time, with a futex for the world outside.
template <class F>
void run_virtually(F f) {
  ThreadPort outside;
  VirtualClock clock;
  VirtualPort port(outside, clock);
  run_on(port, f, {.trim = false});
}

}  // namespace

BOOST_AUTO_TEST_CASE(its_clock_starts_one_second_after_its_epoch_and_stands_still) {
  Outside outside;
  VirtualClock clock;
  const VirtualPort port(outside, clock);
  BOOST_TEST((port.now() == kStart));
  std::this_thread::sleep_for(1ms);
  BOOST_TEST((port.now() == kStart));
}

BOOST_AUTO_TEST_CASE(it_jumps_to_the_deadline_when_nothing_came_from_outside) {
  Outside outside;
  VirtualClock clock;
  VirtualPort port(outside, clock);
  for (const Duration ahead : {Duration(1ns), Duration(1h), Duration(100'000h)}) {
    const TimePoint deadline = port.now() + ahead;
    BOOST_TEST(!port.wait(deadline));
    BOOST_TEST((port.now() == deadline));
    BOOST_TEST((outside.looks.back() == kPast));
  }
}

BOOST_AUTO_TEST_CASE(it_does_not_jump_over_what_came_from_outside) {
  Outside outside;
  VirtualClock clock;
  VirtualPort port(outside, clock);
  outside.something = true;
  BOOST_TEST(port.wait(kStart + 1h));
  BOOST_TEST((port.now() == kStart));
  outside.something = false;
  BOOST_TEST(!port.wait(kStart + 1h));
  BOOST_TEST((port.now() == kStart + 1h));
}

BOOST_AUTO_TEST_CASE(it_never_goes_back) {
  Outside outside;
  VirtualClock clock;
  VirtualPort port(outside, clock);
  for (const TimePoint deadline : {kPast, TimePoint(), kStart - 1ns, kStart}) {
    BOOST_TEST(!port.wait(deadline));
    BOOST_TEST((port.now() == kStart));
  }
  BOOST_TEST(outside.waits.size() == 4u);
}

BOOST_AUTO_TEST_CASE(without_a_deadline_it_sleeps_outside) {
  Outside outside;
  VirtualClock clock;
  VirtualPort port(outside, clock);
  outside.something = true;
  BOOST_TEST(port.wait(kForever));
  BOOST_TEST((port.now() == kStart));
}

BOOST_AUTO_TEST_CASE(a_wake_goes_outside) {
  Outside outside;
  VirtualClock clock;
  VirtualPort port(outside, clock);
  port.wake();
  BOOST_TEST(outside.wakes == 1);
}

BOOST_AUTO_TEST_CASE(a_wake_comes_before_a_jump) {
  ThreadPort outside;
  VirtualClock clock;
  VirtualPort port(outside, clock);
  port.wake();
  BOOST_TEST(port.wait(kStart + 1h));
  BOOST_TEST((port.now() == kStart));
  BOOST_TEST(!port.wait(kStart + 1h));
  BOOST_TEST((port.now() == kStart + 1h));
}

BOOST_AUTO_TEST_CASE(with_no_deadline_the_thread_sleeps_for_real_until_it_is_woken) {
  run_virtually([] {
    const TimePoint start = Clock::now();
    Promise<void> promise;
    std::thread other([&] {
      std::this_thread::sleep_for(3ms);
      promise.set_value();
    });
    promise.future().get();
    BOOST_TEST((now() == kStart));
    BOOST_TEST((Clock::now() - start >= 3ms));
    other.join();
  });
}

BOOST_AUTO_TEST_CASE(a_year_of_sleep_takes_no_time) {
  const TimePoint start = Clock::now();
  run_virtually([] {
    for (int day = 0; day < 365; ++day) sleep_for(24h);
    BOOST_TEST((now() == kStart + 365 * 24h));
  });
  BOOST_TEST((Clock::now() - start < 20s));
}

BOOST_AUTO_TEST_SUITE_END()
