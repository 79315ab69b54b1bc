// Durations and time points of any unit and clock, at all functions and options that take one.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <mutex>
#include <optional>
#include <ratio>
#include <shared_mutex>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "tests/support/fixture.h"
#include "weft/fiber/time.h"

BOOST_AUTO_TEST_SUITE(any_duration)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

using std::chrono::hours;
using Seconds = std::chrono::duration<double>;
using Nanoseconds = std::chrono::duration<double, std::nano>;
using Picoseconds = std::chrono::duration<std::int64_t, std::pico>;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

template <class D>
using Point = std::chrono::time_point<Clock, D>;

// A clock that stands still.
struct Wall {
  using duration = std::chrono::microseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<Wall>;
  static time_point now() noexcept { return time_point(std::chrono::years(50)); }
};

template <class D>
using WallPoint = std::chrono::time_point<Wall, D>;

// What never comes.
struct Never {
  Promise<int> promise;
  std::vector<Future<int>> futures{promise.future()};
  Task<void> task = spawn([] { sleep_until(kForever); });
  Mutex mutex;
  SharedMutex shared_mutex;
  ConditionVariable condition;
  Mutex own;
  Semaphore semaphore{0};
  Event event;
  weft::Queue<int> empty;
  weft::Queue<int> full{1};
  std::optional<int> item;
  Latch latch{1};
  Task<void> holder = spawn([this] {
    const std::scoped_lock held(mutex, shared_mutex);
    sleep_until(kForever);
  });

  Never() {
    full.push(1);
    run_until_blocked();
  }
};

// Calls visit(name, wait) for each function that takes a duration: wait(never, d) waits in vain.
template <class Visit>
void for_each_wait(Visit visit) {
  visit("sleep_for", [](Never&, auto d) { sleep_for(d); });
  visit("with_timeout", [](Never& never, auto d) { with_timeout(d, [&] { never.task.wait(); }); });
  visit("wait", [](Never& never, auto d) { wait(never.futures, When::all_completed, d); });
  visit("wait first", [](Never& never, auto d) { wait(never.futures, When::first_completed, d); });
  visit("wait optional",
        [](Never& never, auto d) { wait(never.futures, When::all_completed, std::optional(d)); });
  visit("Task::wait_for", [](Never& never, auto d) { never.task.wait_for(d); });
  visit("Future::wait_for", [](Never& never, auto d) { never.futures[0].wait_for(d); });
  visit("call_later", [](Never&, auto d) {
    bool called = false;
    const Handle handle = Scheduler::current().call_later(d, [&] { called = true; });
    sleep_for(1h);
    BOOST_TEST(!called);
    Handle(handle).cancel();
    sleep_until(kForever);
  });
}

// The same for what tries for a while.
template <class Visit>
void for_each_try(Visit visit) {
  visit("Mutex", [](Never& never, auto d) { never.mutex.try_lock_for(d); });
  visit("SharedMutex", [](Never& never, auto d) { never.shared_mutex.try_lock_for(d); });
  visit("shared", [](Never& never, auto d) { never.shared_mutex.try_lock_shared_for(d); });
  visit("unique_lock", [](Never& never, auto d) { const std::unique_lock lock(never.mutex, d); });
  visit("shared_lock",
        [](Never& never, auto d) { const std::shared_lock lock(never.shared_mutex, d); });
  visit("ConditionVariable", [](Never& never, auto d) {
    std::unique_lock lock(never.own);
    never.condition.wait_for(lock, d);
  });
  visit("ConditionVariable until", [](Never& never, auto d) {
    std::unique_lock lock(never.own);
    never.condition.wait_for(lock, d, [] { return false; });
  });
  visit("Semaphore", [](Never& never, auto d) { never.semaphore.try_acquire_for(d); });
  visit("Event", [](Never& never, auto d) { never.event.wait_for(d); });
  visit("Latch", [](Never& never, auto d) { never.latch.wait_for(d); });
  visit("Promise", [](Never& never, auto d) { never.promise.wait_abandoned_for(d); });
  visit("race", [](Never& never, auto d) {
    const auto stays = [&] { never.event.wait(); };
    weft::race(
        stays, [] {}, RaceOptions{.stagger = d});
  });
  visit("try_within", [](Never& never, auto d) { try_within(d, [&] { never.event.wait(); }); });
  visit("select", [](Never& never, auto d) { select(on(never.event), after(d)); });
  visit("pop", [](Never& never, auto d) { never.empty.try_pop_for(d); });
  visit("pop_for", [](Never& never, auto d) { never.empty.pop_for(never.item, d); });
  visit("push", [](Never& never, auto d) { never.full.try_push_for(2, d); });
  visit("push copy", [](Never& never, auto d) {
    const int item = 2;
    never.full.try_push_for(item, d);
  });
}

// The same for each that takes a point in time.
template <class Visit>
void for_each_until(Visit visit) {
  visit("sleep_until", [](Never&, auto t) { sleep_until(t); });
  visit("with_deadline", [](Never& never, auto t) {
    try {
      with_deadline(t, [&] { never.task.wait(); });
    } catch (const TimeoutError&) {
    }
  });
  visit("CancelScope", [](Never& never, auto t) {
    CancelScope scope(kForever);
    scope.set_deadline(t);
    const CancelScope inner(t);
    try {
      never.task.wait();
    } catch (const Cancelled&) {
      if (!scope.caused()) throw;
    }
  });
  visit("Task", [](Never& never, auto t) { never.task.wait_until(t); });
  visit("Future", [](Never& never, auto t) { never.futures[0].wait_until(t); });
  visit("call_at", [](Never&, auto t) {
    Event called;
    const Handle handle = Scheduler::current().call_at(t, [&] { called.set(); });
    called.wait();
  });
  visit("Mutex", [](Never& never, auto t) { never.mutex.try_lock_until(t); });
  visit("SharedMutex", [](Never& never, auto t) { never.shared_mutex.try_lock_until(t); });
  visit("shared", [](Never& never, auto t) { never.shared_mutex.try_lock_shared_until(t); });
  visit("unique_lock", [](Never& never, auto t) { const std::unique_lock lock(never.mutex, t); });
  visit("ConditionVariable", [](Never& never, auto t) {
    std::unique_lock lock(never.own);
    never.condition.wait_until(lock, t);
  });
  visit("ConditionVariable until", [](Never& never, auto t) {
    std::unique_lock lock(never.own);
    never.condition.wait_until(lock, t, [] { return false; });
  });
  visit("Semaphore", [](Never& never, auto t) { never.semaphore.try_acquire_until(t); });
  visit("Event", [](Never& never, auto t) { never.event.wait_until(t); });
  visit("Latch", [](Never& never, auto t) { never.latch.wait_until(t); });
  visit("Promise", [](Never& never, auto t) { never.promise.wait_abandoned_until(t); });
  visit("pop", [](Never& never, auto t) { never.empty.try_pop_until(t); });
  visit("pop_until", [](Never& never, auto t) { never.empty.pop_until(never.item, t); });
  visit("push", [](Never& never, auto t) { never.full.try_push_until(2, t); });
}

template <class... D>
void expect_for_ever(D... d) {
  Never never;
  const auto visit = [&](const char* name, auto wait) {
    const auto lasts = [&](auto time) {
      auto task = spawn([&] { wait(never, time); });
      sleep_for(2h);
      BOOST_TEST(!task.done(), name);
    };
    (lasts(d), ...);
  };
  for_each_wait(visit);
  for_each_try(visit);
}

}  // namespace

// ---- Conversion ---------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(any_unit_converts_exactly) {
  static_assert(AnyDuration() == 0ns);
  static_assert(AnyDuration(-7ns) == -7ns);
  static_assert(AnyDuration(3ms) == 3'000'000ns);
  static_assert(AnyDuration(-2h) == -7'200s);
  static_assert(AnyDuration(std::chrono::years(1)) == 31'556'952s);
  static_assert(AnyDuration(std::chrono::duration<std::uint64_t>(2)) == 2s);
  static_assert(AnyDuration(std::chrono::duration<short, std::ratio<1, 3>>(4)) == 1'333'333'334ns);
  static_assert(AnyDuration(Seconds(0.1)) == 100ms);
  static_assert(AnyDuration(std::chrono::duration<float>(-0.5F)) == -500ms);
  static_assert(AnyDuration(std::chrono::duration<long double, std::milli>(1.25L)) == 1'250us);
  static_assert(AnyTimePoint(Point<hours>(5h)) == TimePoint(5h));
  static_assert(AnyTimePoint(Point<Seconds>(Seconds(0.5))) == TimePoint(500ms));
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_the_longest_of_its_sign) {
  static_assert(AnyDuration(Duration::max()) == Duration::max());
  static_assert(AnyDuration(Duration::min()) == Duration::min());
  static_assert(AnyDuration(hours::max()) == Duration::max());
  static_assert(AnyDuration(hours::min()) == Duration::min());
  static_assert(AnyDuration(hours(3'000'000)) == Duration::max());
  static_assert(AnyDuration(hours(-3'000'000)) == Duration::min());
  static_assert(AnyDuration(std::chrono::years(300)) == Duration::max());
  static_assert(AnyDuration(std::chrono::microseconds::max()) == Duration::max());
  static_assert(AnyDuration(std::chrono::duration<std::uint64_t>::max()) == Duration::max());
  static_assert(AnyDuration(std::chrono::duration<std::uint64_t, std::nano>::max()) ==
                Duration::max());
  static_assert(AnyDuration(std::chrono::duration<int, std::exa>(1)) == Duration::max());
  static_assert(AnyDuration(std::chrono::duration<int, std::exa>(0)) == 0ns);
  static_assert(AnyDuration(std::chrono::duration<std::int64_t, std::exa>::min()) ==
                Duration::min());
  BOOST_TEST((AnyDuration(Seconds(1e300)) == Duration::max()));
  static_assert(AnyDuration(Seconds(kInfinity)) == Duration::max());
  static_assert(AnyDuration(Seconds(-kInfinity)) == Duration::min());
  static_assert(AnyDuration(Nanoseconds(9223372036854775808.0)) == Duration::max());
  static_assert(AnyDuration(Nanoseconds(-9223372036854775808.0)) == Duration::min());
  static_assert(AnyDuration(std::chrono::duration<long double, std::nano>(
                    9223372036854775806.5L)) == Duration::max());
  static_assert(AnyTimePoint(Point<hours>::max()) == kForever);
  static_assert(AnyTimePoint(Point<hours>::min()) == kPast);
}

BOOST_AUTO_TEST_CASE(the_last_that_fits_is_not_for_ever) {
  constexpr std::chrono::seconds longest(Duration::max().count() / 1'000'000'000);
  static_assert(AnyDuration(longest) == Duration(longest));
  static_assert(AnyDuration(longest + 1s) == Duration::max());
  static_assert(AnyDuration(-longest) == Duration(-longest));
  static_assert(AnyDuration(-longest - 1s) == Duration::min());
}

BOOST_AUTO_TEST_CASE(a_fraction_of_a_nanosecond_is_rounded_up) {
  static_assert(AnyDuration(Picoseconds(1)) == 1ns);
  static_assert(AnyDuration(Picoseconds(1'000)) == 1ns);
  static_assert(AnyDuration(Picoseconds(1'001)) == 2ns);
  static_assert(AnyDuration(Picoseconds(-1)) == 0ns);
  static_assert(AnyDuration(Picoseconds::max()) == Duration(9'223'372'036'854'776));
  static_assert(AnyDuration(Picoseconds::min()) == Duration(-9'223'372'036'854'775));
  static_assert(AnyDuration(Nanoseconds(0.25)) == 1ns);
  static_assert(AnyDuration(Nanoseconds(-0.25)) == 0ns);
}

BOOST_AUTO_TEST_CASE(not_a_number_counts_as_negative) {
  BOOST_TEST((AnyDuration(Seconds(kNaN)) < 0ns));
  BOOST_TEST((AnyTimePoint(Point<Seconds>(Seconds(kNaN))) == kPast));
}

BOOST_AUTO_TEST_CASE(it_is_a_duration_as_before) {
  static_assert(std::is_convertible_v<AnyDuration, Duration>);
  static_assert(std::is_convertible_v<AnyTimePoint, TimePoint>);
  static_assert(!std::is_convertible_v<int, AnyDuration>);
  static_assert(sizeof(AnyDuration) == sizeof(Duration));
  static_assert(std::is_trivially_copyable_v<AnyDuration>);
  ConnectOptions options{.timeout = 5s};
  const Duration half = options.timeout / 2;
  BOOST_TEST((half == 2500ms));
  options.timeout = hours::max();
  BOOST_TEST((options.timeout == Duration::max()));
  options.timeout = {};
  BOOST_TEST((options.timeout == 0s));
  const std::atomic<Duration> shared{7ns};
  BOOST_TEST((AnyDuration(shared) == 7ns));
}

// ---- Waits --------------------------------------------------------------------------------------

WEFT_TEST_CASE(a_wait_that_does_not_fit_lasts_for_ever_in_each_function) {
  expect_for_ever(hours::max(), hours(3'000'000), std::chrono::seconds::max());
  expect_for_ever(std::chrono::years(300), Seconds(1e300), Seconds(kInfinity));
}

WEFT_TEST_CASE(a_time_that_does_not_fit_never_comes_in_each_function) {
  Never never;
  for_each_until([&](const char* name, auto wait) {
    const auto lasts = [&](auto time) {
      auto task = spawn([&] { wait(never, time); });
      sleep_for(2h);
      BOOST_TEST(!task.done(), name);
    };
    lasts(Point<hours>::max());
    lasts(Point<Seconds>(Seconds(1e300)));
    lasts(WallPoint<hours>::max());
    lasts(std::chrono::time_point<std::chrono::system_clock, hours>::max());
    lasts(std::chrono::sys_days::max());
  });
}

WEFT_TEST_CASE(a_negative_duration_counts_as_zero_in_each_function_and_unit) {
  Never never;
  const TimePoint start = now();
  const auto is_zero = [&](const std::string_view name, auto wait) {
    if (name == "call_later") return;  // its call would have come
    for (const Duration time : {Duration(-1ns), Duration::min()}) {
      try {
        wait(never, time);
      } catch (const TimeoutError&) {
        BOOST_TEST((name == "with_timeout"));
      }
    }
    try {
      wait(never, hours::min());
      wait(never, Seconds(-kInfinity));
      wait(never, Seconds(kNaN));
    } catch (const TimeoutError&) {
      BOOST_TEST((name == "with_timeout"));
    }
  };
  for_each_wait(is_zero);
  for_each_try(is_zero);
  bool called = false;
  Scheduler::current().call_later(hours::min(), [&] { called = true; });
  run_until_blocked();
  BOOST_TEST(called);
  BOOST_TEST((now() == start));
}

WEFT_TEST_CASE(a_time_long_ago_has_come_in_each_function) {
  Never never;
  const TimePoint start = now();
  for_each_until([&](const char*, auto wait) {
    wait(never, Point<hours>::min());
    wait(never, Point<Seconds>(Seconds(kNaN)));
    wait(never, WallPoint<hours>::min());
    wait(never, std::chrono::time_point<std::chrono::system_clock, hours>::min());
    wait(never, std::chrono::sys_days(std::chrono::days(1)));
  });
  BOOST_TEST((now() == start));
}

WEFT_TEST_CASE(each_function_waits_for_a_fraction_of_a_second) {
  Never never;
  const auto visit = [&](const char* name, auto wait) {
    const TimePoint start = now();
    try {
      wait(never, Seconds(1.5));
    } catch (const TimeoutError&) {
    }
    BOOST_TEST((now() == start + 1500ms), name);
  };
  for_each_try(visit);
  visit("sleep_for", [](Never&, auto d) { sleep_for(d); });
  visit("shield_for", [](Never& its, auto d) { shield_for(d, [&] { its.task.wait(); }); });
  visit("with_timeout", [](Never& its, auto d) { with_timeout(d, [&] { its.task.wait(); }); });
  visit("wait", [](Never& its, auto d) { wait(its.futures, When::all_completed, d); });
  visit("Task", [](Never& its, auto d) { its.task.wait_for(d); });
  visit("Future", [](Never& its, auto d) { its.futures[0].wait_for(d); });
}

WEFT_TEST_CASE(a_time_of_another_clock_is_as_far_away_as_there) {
  Never never;
  for_each_until([&](const char* name, auto wait) {
    const TimePoint start = now();
    wait(never, Wall::now() + 90min);
    BOOST_TEST((now() == start + 90min), name);
    wait(never, std::chrono::ceil<hours>(Wall::now()) + 2h);
    BOOST_TEST((now() - start >= 90min + 2h), name);
    BOOST_TEST((now() - start <= 90min + 3h), name);
    wait(never, WallPoint<Seconds>(Wall::now().time_since_epoch() + Seconds(0.5)));
    const TimePoint here = now();
    wait(never, Wall::now());
    wait(never, Wall::now() - 1h);
    BOOST_TEST((now() == here), name);
  });
}

WEFT_TEST_CASE(a_sleep_until_a_time_of_day_is_not_short) {
  const TimePoint start = now();
  const auto before = std::chrono::system_clock::now();
  sleep_until(before + 24h);
  const auto passed = std::chrono::system_clock::now() - before;  // on the machine's clock
  BOOST_TEST((now() - start <= 24h));
  BOOST_TEST((now() - start >= 24h - passed));
}

WEFT_TEST_CASE(a_sleep_of_less_than_a_nanosecond_takes_one) {
  const TimePoint start = now();
  sleep_for(Picoseconds(1));
  BOOST_TEST((now() == start + 1ns));
  sleep_for(Nanoseconds(0.001));
  BOOST_TEST((now() == start + 2ns));
}

WEFT_TEST_CASE(braces_mean_no_time) {
  const TimePoint start = now();
  sleep_for({});
  sleep_until({});
  BOOST_TEST((now() == start));
}

// ---- Options, and the end of time ---------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_connection_may_be_tried_for_ever) {
  run([] {
    TcpListener listener("127.0.0.1:0");
    TcpStream::connect(listener.local_address(), {.timeout = hours::max()});
    TcpStream::connect(listener.local_address().to_string(), {.timeout = Seconds(1e300)});
  });
}

BOOST_AUTO_TEST_CASE(a_spin_may_last_for_ever_or_no_time) {
  run([] { sleep_for(1ms); }, {.spin = hours::max()});
  run([] { sleep_for(1ms); }, {.spin = hours::min()});
  for (const AnyDuration spin : {AnyDuration(hours::max()), AnyDuration(hours::min())}) {
    ThreadPool pool(ThreadPoolOptions{.spin = spin});
    BOOST_TEST(run_in_executor(pool, [] { return 7; }) == 7);
  }
}

// Two seconds are the least that each address of a connection is given.
WEFT_TEST_CASE(at_the_end_of_time_waits_still_end) {
  sleep_until(kForever - 1s);
  BOOST_TEST((now() == kForever - 1s));
  TcpListener listener("127.0.0.1:0");
  TcpStream::connect(listener.local_address().to_string());
  const TimePoint start = now();
  BOOST_CHECK_THROW(with_timeout(1ms, [] { sleep_for(1h); }), TimeoutError);
  BOOST_TEST((now() == start + 1ms));
  Never never;
  BOOST_TEST(!never.mutex.try_lock_for(1ms));
}

BOOST_AUTO_TEST_CASE(plain_threads_wait_for_any_duration) {
  const TimePoint start = Clock::now();
  Semaphore none(0);
  BOOST_TEST(!none.try_acquire_for(Seconds(0.002)));
  BOOST_TEST(!none.try_acquire_until(Wall::now() + 2ms));
  BOOST_TEST(!none.try_acquire_until(std::chrono::system_clock::now() + 2ms));
  sleep_for(Seconds(0.002));
  BOOST_TEST((Clock::now() - start >= 7ms));
  BOOST_TEST(!none.try_acquire_until(Point<hours>::min()));
  sleep_for(hours::min());
}

BOOST_AUTO_TEST_SUITE_END()
