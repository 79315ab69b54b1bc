// Runtimes with several schedulers: their beginning, their runs, what runs in between.

#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/fixture.h"
#include "weft/fiber/core/context.h"
#include "weft/io/runtime.h"

BOOST_AUTO_TEST_SUITE(runtime_cores)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

#if defined(WEFT_TSAN) || defined(WEFT_ASAN)
constexpr int kRounds = 100;
#else
constexpr int kRounds = 1'000;
#endif

std::ptrdiff_t threads_of_the_process() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
}

// A thread that was joined may be listed for a moment yet.
bool threads_become(std::ptrdiff_t count) {
  return eventually([&] { return threads_of_the_process() == count; });
}

template <class Exception, class F>
bool throws(F f) {
  try {
    f();
  } catch (const Exception&) {
    return true;
  }
  return false;
}

}  // namespace

// ---- Beginning and end --------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_runtime_begins_and_ends_a_thousand_times) {
  run([] {}, {.threads = 2});  // a sanitizer may start a thread of its own with the first
  const auto descriptors = open_descriptors();
  const auto threads = threads_of_the_process();
  std::atomic<int> ran{0}, begun{0}, ended{0};
  const auto work = [&] {
    ++begun;
    const CountAtEnd ends(ended);
    yield();
    sleep_for(1h);
  };
  for (int i = 0; i < kRounds; ++i) {
    Runtime runtime({.threads = 2 + i % 3u, .virtual_time = i % 5 == 0});
    for (Scheduler* scheduler : runtime.schedulers()) {
      if (i % 2) scheduler->post(work);
      if (i % 4 == 1) spawn(work, {.on = scheduler}).detach();
    }
    if (i % 3) ran += runtime.run([&] { return i % 4 == 2 ? spread(yield), 1 : 1; }) == 1;
    if (i % 7 == 0) spawn([&] { ++ran; }, {.on = runtime.schedulers()[1]}).get();
  }
  BOOST_TEST(begun == ended);
  BOOST_TEST(ran > 0);
  BOOST_TEST(open_descriptors() == descriptors);
  BOOST_TEST(threads_become(threads));
}

BOOST_AUTO_TEST_CASE(the_schedulers_are_as_many_as_asked_for_and_in_one_order) {
  for (const unsigned threads : {1u, 2u, 3u, 16u}) {
    Runtime runtime({.threads = threads});
    const auto schedulers = runtime.schedulers();
    BOOST_TEST(schedulers.size() == threads);
    BOOST_TEST(std::set(schedulers.begin(), schedulers.end()).size() == threads);
    const bool same = runtime.run([&] {
      const auto here = Runtime::current().schedulers();
      return std::equal(here.begin(), here.end(), schedulers.begin(), schedulers.end()) &&
             &Scheduler::current() == schedulers.front();
    });
    BOOST_TEST(same);
  }
}

WEFT_CORES_TEST_CASE(all_schedulers_know_their_runtime) {
  for (Runtime* there : spread([] { return &Runtime::current(); })) {
    BOOST_TEST(there == &Runtime::current());
  }
}

WEFT_CORES_TEST_CASE(no_runtime_begins_or_runs_in_a_fiber_of_any_scheduler) {
  Runtime& runtime = Runtime::current();
  for (const bool refused : spread([&] {
         return throws<std::logic_error>([] { Runtime({.threads = 2}); }) &&
                throws<std::logic_error>([&] { runtime.run([] {}); }) &&
                throws<std::logic_error>([&] { runtime.run_forever(); });
       })) {
    BOOST_TEST(refused);
  }
}

BOOST_AUTO_TEST_CASE(a_runtime_that_cannot_have_its_descriptors_leaves_nothing) {
  run([] {}, {.threads = 2});  // a sanitizer may start a thread of its own with the first
  const auto descriptors = open_descriptors();
  const auto threads = threads_of_the_process();
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  // UBSan needs descriptors when it sees a type for the first time.
  BOOST_TEST(throws<std::system_error>(
      [] { throw std::system_error(std::make_error_code(std::errc::too_many_files_open)); }));
  for (unsigned spare = 0; spare < 8; ++spare) {
    rlimit few = before;
    few.rlim_cur = static_cast<rlim_t>(descriptors) + spare;
    setrlimit(RLIMIT_NOFILE, &few);
    const bool refused = throws<std::system_error>([] { Runtime({.threads = 8}); });
    setrlimit(RLIMIT_NOFILE, &before);
    BOOST_TEST(refused);
  }
  BOOST_TEST(open_descriptors() == descriptors);
  BOOST_TEST(threads_become(threads));
}

#if !defined(WEFT_TSAN) && !defined(WEFT_ASAN)  // their own memory is past any limit

BOOST_AUTO_TEST_CASE(a_runtime_that_cannot_have_its_threads_ends_those_that_it_has) {
  const ChildEnd end = run_in_child([] {
    const auto descriptors = open_descriptors();
    pthread_attr_t large;
    pthread_attr_init(&large);
    pthread_attr_setstacksize(&large, 512 << 20);
    pthread_setattr_default_np(&large);
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    rlimit memory{};
    getrlimit(RLIMIT_AS, &memory);
    const rlimit limited = {pages * 4096 + (1400u << 20), memory.rlim_max};
    setrlimit(RLIMIT_AS, &limited);
    if (!throws<std::system_error>([] { Runtime({.threads = 8}); })) return 1;
    if (!threads_become(1)) return 2;
    if (open_descriptors() != descriptors) return 3;
    // Nothing is left that would be in the way of a smaller one.
    if (run([] { return spread([] { return 1; }).size(); }, {.threads = 2}) != 2) return 4;
    return 7;
  });
  BOOST_TEST(end.exit_code == 7, end.said);
}

#endif

// ---- Runs ---------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(the_fibers_of_other_schedulers_go_on_between_runs) {
  std::atomic<int> ticks{0};  // before the runtime, whose fibers count on until its end
  Runtime runtime({.threads = 3});
  runtime.run([&] {
    for (const std::size_t i : {1, 2}) {
      spawn(
          [&] {
            for (;;) sleep_for(100us), ++ticks;
          },
          on(i))
          .detach();
    }
  });
  for (int round = 0; round < 3; ++round) {
    const int before = ticks;
    BOOST_TEST(eventually([&] { return ticks >= before + 10; }));
    runtime.run([] { yield(); });
  }
}

BOOST_AUTO_TEST_CASE(those_of_the_first_stay_as_they_are_between_runs) {
  std::atomic<int> steps{0};
  Runtime runtime({.threads = 2});
  auto here = runtime.run([&] {
    return spawn([&] {
      ++steps;
      yield();
      ++steps;
    });
  });
  spawn([] { sleep_for(1ms); }, {.on = runtime.schedulers()[1]}).get();
  BOOST_TEST(steps == 0);
  BOOST_CHECK_THROW(here.wait(), std::logic_error);
  runtime.run([&] { here.get(); });
  BOOST_TEST(steps == 2);
}

BOOST_AUTO_TEST_CASE(the_thread_between_runs_spawns_joins_and_drops_on_the_others) {
  std::atomic<bool> begun{false}, left{false};
  Runtime runtime({.threads = 2});
  Scheduler* const there = runtime.schedulers()[1];
  BOOST_TEST(spawn([] { return sleep_for(1ms), 7; }, {.on = there}).get() == 7);
  {
    auto task = spawn(
        [&] {
          struct Leaves {
            std::atomic<bool>& left;
            ~Leaves() { left = true; }
          } const leaves{left};
          begun = true;
          sleep_for(1h);
        },
        {.on = there});
    BOOST_TEST(!task.wait_for(1ms));
    BOOST_TEST(eventually([&] { return begun.load(); }));
  }
  BOOST_TEST(left);
  BOOST_TEST(runtime.run([] { return 8; }) == 8);
}

// It belongs to the first scheduler, and that runs only when this thread runs it.
BOOST_AUTO_TEST_CASE(a_task_elsewhere_that_joins_one_of_the_first_ends_in_the_next_run) {
  Runtime runtime({.threads = 2});
  const auto schedulers = runtime.schedulers();
  auto there = spawn([&] { return spawn([] { return 7; }, {.on = schedulers[0]}).get(); },
                     {.on = schedulers[1]});
  BOOST_TEST(!there.wait_for(2ms));
  BOOST_TEST(runtime.run([&] { return there.get(); }) == 7);
}

BOOST_AUTO_TEST_CASE(main_may_fail_and_others_go_on_until_the_end) {
  std::atomic<int> begun{0}, cleaned{0}, ticks{0};
  {
    Runtime runtime({.threads = 3});
    const auto fail = [&] {
      for (std::size_t i = 0; i < 3; ++i) {
        spawn(
            [&] {
              ++begun;
              try {
                for (;;) sleep_for(10us), ++ticks;
              } catch (const Cancelled&) {
                shield([] { sleep_for(1ms); });
                ++cleaned;
              }
            },
            on(i))
            .detach();
      }
      BOOST_TEST(eventually([&] { return begun == 3; }));
      throw std::runtime_error("of main");
    };
    BOOST_CHECK_THROW(runtime.run(fail), std::runtime_error);
    const int before = ticks;
    BOOST_TEST(eventually([&] { return ticks > before + 10; }));
    BOOST_TEST(cleaned == 0);
    BOOST_TEST(runtime.run([] { return 7; }) == 7);
  }
  BOOST_TEST(cleaned == 3);
}

BOOST_AUTO_TEST_CASE(a_fiber_of_any_scheduler_stops_run_forever) {
  Runtime runtime({.threads = 3});
  for (std::size_t i = 0; i < 30; ++i) {
    Runtime* stopped = nullptr;
    runtime.schedulers()[i % 3]->post([&] {
      if (i % 2) sleep_for(10us);
      stopped = &Runtime::current();
      stopped->stop();
    });
    runtime.run_forever();
    BOOST_TEST(stopped == &runtime);
  }
}

BOOST_AUTO_TEST_CASE(a_stop_from_any_scheduler_does_not_end_run) {
  Runtime runtime({.threads = 3});
  for (int round = 0; round < 50; ++round) {
    const int result = runtime.run([] {
      spread([] { Runtime::current().stop(); });
      sleep_for(10us);
      return 7;
    });
    BOOST_REQUIRE(result == 7);
  }
}

// ---- Several runtimes ---------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(runtimes_on_several_threads_run_at_once_and_use_each_others_schedulers) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  Promise<Scheduler*> first;
  Event over;
  threads.emplace_back([&] {
    run(
        [&] {
          first.set_value(on(1).on);
          over.wait();
        },
        {.threads = 2});
  });
  threads.emplace_back([&] {
    run(
        [&] {
          Scheduler* const foreign = first.future().get();
          for (int i = 0; i < 100; ++i) {
            auto task = spawn(
                [home = &Runtime::current()] {
                  yield();
                  return &Runtime::current() != home;
                },
                {.on = foreign});
            if (!task.get()) ++wrong;
          }
          over.set();
        },
        {.threads = 3});
  });
  for (auto& thread : threads) thread.join();
  BOOST_TEST(wrong == 0);
}

BOOST_AUTO_TEST_SUITE_END()
