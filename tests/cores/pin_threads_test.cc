// RunOptions::pin_threads: which threads are kept to which cores, and for how long.

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/support/fixture.h"
#include "weft/io/runtime.h"

BOOST_AUTO_TEST_SUITE(pin_threads)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// The cores that the calling thread may use, ascending.
std::vector<int> cores() {
  cpu_set_t set;
  sched_getaffinity(0, sizeof(set), &set);
  std::vector<int> found;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) found.push_back(core);
  }
  return found;
}

void allow(const std::vector<int>& allowed) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : allowed) CPU_SET(core, &set);
  sched_setaffinity(0, sizeof(set), &set);
}

// On a thread of its own, so that a failure does not stay.
template <class F>
void on_a_thread(F f) {
  std::thread(f).join();
}

}  // namespace

BOOST_AUTO_TEST_CASE(each_scheduler_stays_on_one_of_the_cores_that_are_allowed_going_around) {
  const std::vector<int> allowed = cores();
  // More than there are cores, too.
  for (const std::size_t threads : {std::size_t{1}, std::size_t{2}, 2 * allowed.size() + 1}) {
    const auto seen = run([] { return spread([] { return cores(); }); },
                          {.threads = static_cast<unsigned>(threads), .pin_threads = true});
    BOOST_REQUIRE(seen.size() == threads);
    for (std::size_t i = 0; i < threads; ++i) {
      BOOST_REQUIRE(seen[i].size() == 1u);
      BOOST_TEST(seen[i].front() == allowed[i % allowed.size()]);
    }
  }
}

BOOST_AUTO_TEST_CASE(fibers_run_on_the_core_of_their_scheduler) {
  const auto body = [] {
    std::atomic<int> strayed{0};
    spread([&](std::size_t) {
      const std::vector<int> mine = cores();
      for (int i = 0; i < 20; ++i) {
        sleep_for(10us);
        if (sched_getcpu() != mine.front()) ++strayed;
      }
    });
    BOOST_TEST(strayed == 0);
  };
  run_real_time_case(body, {.threads = 3, .pin_threads = true});
}

BOOST_AUTO_TEST_CASE(by_default_no_thread_is_pinned) {
  const std::vector<int> allowed = cores();
  for (const auto& there : run([] { return spread([] { return cores(); }); }, {.threads = 3})) {
    BOOST_TEST(there == allowed);
  }
}

BOOST_AUTO_TEST_CASE(the_thread_that_runs_is_pinned_only_meanwhile) {
  const std::vector<int> allowed = cores();
  {
    Runtime runtime({.threads = 2, .pin_threads = true});
    BOOST_TEST(cores() == allowed);
    for (int i = 0; i < 2; ++i) {
      BOOST_TEST(runtime.run([] { return cores(); }).size() == 1u);
      BOOST_TEST(cores() == allowed);
    }
    BOOST_CHECK_THROW(runtime.run([] { throw std::runtime_error("of main"); }), std::runtime_error);
    BOOST_TEST(cores() == allowed);
    runtime.schedulers()[1]->post([] { Runtime::current().stop(); });
    runtime.run_forever();
    BOOST_TEST(cores() == allowed);
  }
  BOOST_TEST(cores() == allowed);
}

BOOST_AUTO_TEST_CASE(cleanup_at_the_end_runs_pinned_too) {
  const std::vector<int> allowed = cores();
  std::atomic<std::size_t> seen{0};
  {
    Runtime runtime({.threads = 2, .pin_threads = true});
    runtime.run([&] {
      spawn(when_cancelled([&] { seen = cores().size(); })).detach();
      yield();
    });
  }
  BOOST_TEST(seen == 1u);
  BOOST_TEST(cores() == allowed);
}

BOOST_AUTO_TEST_CASE(threads_of_pools_are_not_pinned_wherever_they_are_started) {
  const std::vector<int> allowed = cores();
  const auto body = [&] {
    // At once, so that each needs a thread of its own.
    Barrier all(3);
    const auto seen = spread([&] {
      return run_in_executor([&] {
        all.arrive_and_wait();
        return cores();
      });
    });
    for (const auto& there : seen) BOOST_TEST(there == allowed);
    ThreadPool own(1);
    auto job = spawn([&] { return run_in_executor(own, [] { return cores(); }); }, on(1));
    BOOST_TEST(job.get() == allowed);
  };
  run_real_time_case(body, {.threads = 3, .pin_threads = true});
}

BOOST_AUTO_TEST_CASE(threads_that_fibers_start_inherit_it) {
  const auto body = [] {
    for (const std::size_t size : spread([] {
           std::size_t inherited = 0;
           std::thread([&] { inherited = cores().size(); }).join();
           return inherited;
         })) {
      BOOST_TEST(size == 1u);
    }
  };
  run_real_time_case(body, {.threads = 2, .pin_threads = true});
}

BOOST_AUTO_TEST_CASE(what_the_process_may_not_use_is_not_used) {
  const std::vector<int> allowed = cores();
  for (const int only : allowed) {
    std::vector<std::vector<int>> seen;
    std::vector<int> of_job, afterwards;
    on_a_thread([&] {
      allow({only});
      run(
          [&] {
            seen = spread([] { return cores(); });
            of_job = run_in_executor([] { return cores(); });
          },
          {.threads = 3, .pin_threads = true});
      afterwards = cores();
    });
    for (const auto& there : seen) {
      BOOST_TEST(there == std::vector<int>{only});
    }
    BOOST_TEST(of_job == std::vector<int>{only});
    BOOST_TEST(afterwards == std::vector<int>{only});
  }
}

// The inner one's threads go around what the outer one's thread could use if it were not pinned.
BOOST_AUTO_TEST_CASE(a_runtime_in_a_job_of_a_pinned_one_has_all_cores) {
  const std::vector<int> allowed = cores();
  const auto seen = run(
      [] {
        return run_in_executor([] {
          return run([] { return spread([] { return cores(); }); },
                     {.threads = 2, .pin_threads = true});
        });
      },
      {.threads = 2, .pin_threads = true});
  for (std::size_t i = 0; i < 2; ++i) {
    BOOST_TEST(seen[i] == std::vector<int>{allowed[i % allowed.size()]});
  }
}

BOOST_AUTO_TEST_SUITE_END()
