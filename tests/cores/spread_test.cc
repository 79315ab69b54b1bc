#include "weft/io/spread.h"

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/fixture.h"
#include "weft/fiber/gather.h"

BOOST_AUTO_TEST_SUITE(spread_over_schedulers)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

WEFT_CORES_TEST_CASE(f_runs_once_on_each_scheduler_and_is_told_which) {
  const auto schedulers = Runtime::current().schedulers();
  std::vector<Scheduler*> here(3);
  spread([&](std::size_t i) { here[i] = &Scheduler::current(); });
  BOOST_TEST(std::equal(here.begin(), here.end(), schedulers.begin(), schedulers.end()));
}

WEFT_CORES_TEST_CASE(each_scheduler_has_a_thread_of_its_own_and_the_first_that_of_run) {
  const std::vector<std::thread::id> threads = spread([] { return std::this_thread::get_id(); });
  BOOST_TEST(std::set(threads.begin(), threads.end()).size() == 3u);
  BOOST_TEST((threads.front() == std::this_thread::get_id()));
}

WEFT_CORES_TEST_CASE(the_results_come_in_the_order_of_the_schedulers) {
  const std::vector<std::size_t> results = spread([](std::size_t i) {
    sleep_for((3 - i) * 1s);  // the last ends first
    return i;
  });
  BOOST_TEST(results == std::vector<std::size_t>({0, 1, 2}));
}

WEFT_CORES_TEST_CASE(results_may_be_movable_only) {
  auto results = spread([](std::size_t i) { return std::make_unique<std::size_t>(i); });
  BOOST_TEST(*results[2] == 2u);
}

WEFT_CORES_TEST_CASE(they_run_at_once) {
  const TimePoint start = now();
  spread([] { sleep_for(1h); });
  BOOST_TEST((now() == start + 1h));
  Barrier all(3);
  spread([&] { all.arrive_and_wait(); });
}

WEFT_CORES_TEST_CASE(f_is_used_in_place) {
  struct Counter {
    Counter() = default;
    Counter(const Counter&) = delete;
    void operator()() { ++calls; }
    std::atomic<int> calls{0};
  } counter;
  spread(counter);
  BOOST_TEST(counter.calls == 3);
}

WEFT_CORES_TEST_CASE(the_first_exception_cancels_the_rest_and_is_thrown) {
  std::atomic<int> cancelled{0};
  const TimePoint start = now();
  const auto fail_on_the_second = [&](std::size_t i) {
    if (i == 1) {
      sleep_for(1s);
      throw std::runtime_error("the second");
    }
    try {
      sleep_for(1h);
    } catch (const Cancelled&) {
      ++cancelled;
      throw;
    }
  };
  BOOST_CHECK_EXCEPTION(spread(fail_on_the_second), std::runtime_error, [](const auto& error) {
    return error.what() == std::string("the second");
  });
  BOOST_TEST(cancelled == 2);
  BOOST_TEST((now() == start + 1s));
}

WEFT_CORES_TEST_CASE(a_cancellation_of_the_caller_cancels_all) {
  std::atomic<int> cancelled{0};
  auto task = spawn([&] {
    spread(when_cancelled([&] {
      ++cancelled;
      throw;
    }));
  });
  run_until_blocked();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(cancelled == 3);
}

WEFT_CORES_TEST_CASE(the_caller_who_was_cancelled_is_told_that_one_failed) {
  auto task = spawn([] {
    spread([](std::size_t i) {
      try {
        sleep_for(1h);
      } catch (const Cancelled&) {
        if (i == 1) throw std::domain_error("in cleanup");
        throw;
      }
    });
  });
  run_until_blocked();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), std::domain_error);
}

WEFT_CORES_TEST_CASE(a_spawn_that_fails_is_told_and_not_what_it_has_others_throw) {
  std::atomic<bool> begun{false}, failed{false};
  std::vector<std::function<void()>> all{[&] {
    begun = true;
    try {
      sleep_for(1h);
    } catch (const Cancelled&) {
      failed = true;
      throw std::domain_error("in cleanup");
    }
  }};
  all.resize(3, [] {});
  all.back() = nullptr;
  const auto place = [&](std::size_t i) {
    while (i == 1 && !begun) yield();
    return on(1);
  };
  BOOST_CHECK_THROW(internal::gather_placed(all, place), std::invalid_argument);
  BOOST_TEST(failed);
}

WEFT_CORES_TEST_CASE(any_scheduler_may_spread) {
  auto task = spawn([] { return spread([](std::size_t i) { return i; }); }, on(2));
  BOOST_TEST(task.get() == std::vector<std::size_t>({0, 1, 2}));
}

WEFT_CORES_TEST_CASE(what_is_spread_may_spread) {
  std::atomic<int> calls{0};
  spread([&] { spread([&] { ++calls; }); });
  BOOST_TEST(calls == 9);
}

WEFT_TEST_CASE(with_one_scheduler_it_is_a_call_in_a_fiber) {
  const auto self = current_task().id;
  const std::vector<std::uint64_t> ids = spread([] { return current_task().id; });
  BOOST_TEST(ids.size() == 1u);
  BOOST_TEST(ids.front() != self);
}

BOOST_AUTO_TEST_CASE(outside_of_a_fiber_it_is_refused) {
  BOOST_CHECK_THROW(spread([] {}), std::logic_error);
  BOOST_CHECK_THROW(round_robin(), std::logic_error);
}

WEFT_TEST_CASE(a_null_callable_is_refused) {
  BOOST_CHECK_THROW(spread(std::function<void()>()), std::invalid_argument);
}

WEFT_CORES_TEST_CASE(round_robin_goes_around) {
  std::map<Scheduler*, int> times;
  for (int i = 0; i < 30; ++i) ++times[round_robin()];
  BOOST_TEST(times.size() == 3u);
  for (const auto& [scheduler, count] : times) BOOST_TEST(count == 10);
}

WEFT_CORES_TEST_CASE(what_round_robin_places_runs_there) {
  std::vector<Task<Scheduler*>> tasks;
  std::vector<Scheduler*> places;
  for (int i = 0; i < 6; ++i) {
    places.push_back(round_robin());
    tasks.push_back(spawn([] { return &Scheduler::current(); }, {.on = places.back()}));
  }
  for (std::size_t i = 0; i < tasks.size(); ++i) BOOST_TEST(tasks[i].get() == places[i]);
}

BOOST_AUTO_TEST_SUITE_END()
