// A pool of processes that several schedulers use. It is made before their threads.

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(process_pool_cores)

using namespace std::chrono_literals;
using namespace weft;
using namespace weft::test;

namespace {

std::string twice(const std::string& text) { return text + text; }

void hang() {
  for (;;) pause();
}

// Calls f(i) by `fibers` fibers of each of three schedulers at once.
template <class F>
void on_all(int fibers, F f) {
  weft::run(
      [&] {
        TaskGroup group;
        for (int i = 0; i < 3 * fibers; ++i) {
          group.spawn([&f, i] { f(i); }, on(static_cast<std::size_t>(i) % 3));
        }
        group.join();
      },
      {.threads = 3});
}

}  // namespace

BOOST_AUTO_TEST_CASE(workers_go_from_scheduler_to_scheduler) {
  ProcessPool pool({.workers = 2, .jobs_per_worker = 100});
  std::atomic<int> right{0};
  on_all(4, [&](int i) {
    for (int job = 0; job < 50; ++job) {
      // Now and then more than a socket takes at once, so that both sides have to wait.
      const std::string text(job % 10 == 0 ? 300'000 : 10, static_cast<char>('a' + i));
      if (run_in_process(pool, &twice, text) == text + text) ++right;
    }
  });
  BOOST_TEST(right == 3 * 4 * 50);
}

BOOST_AUTO_TEST_CASE(a_job_is_cancelled_from_another_scheduler) {
  ProcessPool pool({.workers = 3});
  std::atomic<int> cancelled{0};
  on_all(2, [&](int i) {
    const std::size_t other = static_cast<std::size_t>(i + 1) % 3;
    for (int round = 0; round < 5; ++round) {
      auto job = spawn([&] { run_in_process(pool, &hang); }, on(other));
      sleep_for(std::chrono::milliseconds(round));
      job.cancel();
      try {
        job.get();
      } catch (const TaskCancelled&) {
        ++cancelled;
      }
    }
  });
  BOOST_TEST(cancelled == 3 * 2 * 5);
}

BOOST_AUTO_TEST_CASE(workers_that_die_are_replaced_for_all_schedulers) {
  ProcessPool pool({.workers = 2});
  std::atomic<int> died{0};
  std::atomic<int> right{0};
  on_all(3, [&](int i) {
    for (int job = 0; job < 10; ++job) {
      try {
        if (job == i) run_in_process(pool, [] { raise(SIGKILL); });
        if (run_in_process(pool, &twice, std::string("x")) == "xx") ++right;
      } catch (const WorkerDied&) {
        ++died;
      }
    }
  });
  BOOST_TEST(died == 3 * 3);
  BOOST_TEST(right == 3 * 3 * 9);
}

BOOST_AUTO_TEST_CASE(closing_ends_the_waits_of_all_schedulers) {
  ProcessPool pool({.workers = 1});
  pid_t worker = 0;
  weft::run([&] { worker = run_in_process(pool, &getpid); });
  kill(worker, SIGSTOP);
  std::atomic<int> begun{0};
  std::atomic<int> refused{0};
  on_all(2, [&](int i) {
    if (i == 0) {
      while (begun < 5) sleep_for(1ms);
      pool.close();
      kill(worker, SIGCONT);
      return;
    }
    ++begun;
    try {
      run_in_process(pool, &getpid);
    } catch (const std::logic_error&) {
      ++refused;
    }
  });
  BOOST_TEST(refused >= 4);  // the other one has had the worker
}

BOOST_AUTO_TEST_SUITE_END()
