// run_in_executor() from the schedulers of a runtime, which share its pool.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/cores.h"
#include "tests/support/crowd.h"
#include "tests/support/failure.h"
#include "tests/support/occupied.h"
#include "weft/sync/thread_pool.h"

BOOST_AUTO_TEST_SUITE(executor_cores)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// Waits without virtual time passing: it stands still while a fiber is ready.
void wait_in_no_time(const Event& event) {
  while (!event.is_set()) yield();
}

}  // namespace

// ---- Results ------------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(a_result_comes_back_to_the_scheduler_that_waits_for_it) {
  struct Seen {
    std::thread::id before, job, after;
    std::string result;
  };
  const std::vector<Seen> all = spread([](std::size_t i) {
    Seen seen;
    seen.before = std::this_thread::get_id();
    seen.result = run_in_executor([&] {
      seen.job = std::this_thread::get_id();
      return std::string(100, static_cast<char>('a' + i));
    });
    seen.after = std::this_thread::get_id();
    return seen;
  });
  std::set<std::thread::id> schedulers;
  for (const Seen& seen : all) schedulers.insert(seen.before);
  BOOST_TEST(schedulers.size() == 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    BOOST_TEST((all[i].before == all[i].after));
    BOOST_TEST(!schedulers.contains(all[i].job));
    BOOST_TEST(all[i].result == std::string(100, static_cast<char>('a' + i)));
  }
}

WEFT_CORES_TEST_CASE(what_f_throws_comes_back_to_the_scheduler_that_waits_for_it) {
  const std::vector<std::string> said = spread([](std::size_t i) -> std::string {
    try {
      run_in_executor([i] { throw Failure(std::to_string(i)); });
      return "nothing";
    } catch (const Failure& failure) {
      return failure.what();
    }
  });
  for (std::size_t i = 0; i < 3; ++i) BOOST_TEST(said[i] == std::to_string(i));
}

WEFT_CORES_TEST_CASE(all_schedulers_share_the_pool_of_the_runtime) {
  const auto pools = spread([] { return &internal::default_thread_pool(); });
  BOOST_TEST((pools[0] == pools[1] && pools[1] == pools[2]));
}

WEFT_CORES_TEST_CASE(many_fibers_of_all_schedulers_may_share_one_thread) {
  ThreadPool pool(1);
  int inside = 0, count = 0;  // not atomic: there is one thread
  std::atomic<int> wrong{0};
  spread([&](std::size_t i) {
    TaskGroup group;
    for (int fiber = 0; fiber < 20; ++fiber) {
      group.spawn([&, value = static_cast<int>(i) * 100 + fiber] {
        for (int turn = 0; turn < kRounds / 50; ++turn) {
          wrong += value != run_in_executor(pool, [&] {
                     wrong += inside++ != 0;
                     ++count;
                     --inside;
                     return value;
                   });
        }
      });
    }
    group.join();
  });
  pool.close();
  BOOST_TEST(wrong == 0);
  BOOST_TEST(count == 3 * 20 * (kRounds / 50));
}

WEFT_CORES_TEST_CASE(a_short_job_of_any_scheduler_takes_no_virtual_time) {
  TaskGroup sleepers;
  for (std::size_t i = 0; i < 3; ++i) sleepers.spawn([] { sleep_for(1h); }, on(i));
  const TimePoint start = now();
  for (int round = 0; round < 20; ++round) {
    const auto job = [] { std::this_thread::sleep_for(100us); };
    spawn([&] { run_in_executor(job); }, on(round % 3)).get();
  }
  BOOST_TEST((now() == start));
  sleepers.join();
  BOOST_TEST((now() == start + 1h));
}

// ---- Cancellation -------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(cancelling_from_another_scheduler_drops_an_f_that_has_not_begun) {
  ThreadPool pool(1);
  std::optional<Occupied> busy(pool);
  std::atomic<bool> ran{false};
  auto dropped = spawn([&] { run_in_executor(pool, [&] { ran = true; }); }, on(1));
  auto kept = spawn([&] { return run_in_executor(pool, [] { return 7; }); }, on(2));
  sleep_for(1s);
  spawn([&] { dropped.cancel(); }, on(2)).get();
  BOOST_CHECK_THROW(dropped.get(), TaskCancelled);
  BOOST_TEST(!kept.done());
  busy.reset();
  BOOST_TEST(kept.get() == 7);
  BOOST_TEST(!ran);
}

WEFT_CORES_TEST_CASE(cancelling_from_another_scheduler_waits_for_an_f_that_has_begun) {
  for (const bool fails : {false, true}) {
    Event begun, release;
    std::atomic<bool> ended{false}, went_on{false};
    auto task = spawn(
        [&] {
          std::string local = "of the fiber";
          run_in_executor([&] {
            begun.set();
            release.wait();
            ended = local == "of the fiber";
            if (fails) throw Failure("of the job");
          });
          went_on = true;
        },
        on(1));
    wait_in_no_time(begun);
    task.cancel();
    sleep_for(1h);
    BOOST_TEST(!task.done());
    release.set();
    if (fails) {
      BOOST_CHECK_THROW(task.get(), Failure);
    } else {
      BOOST_CHECK_THROW(task.get(), TaskCancelled);
    }
    BOOST_TEST((ended && !went_on));
  }
}

WEFT_CORES_TEST_CASE(a_timeout_of_one_scheduler_drops_its_f_and_no_other) {
  ThreadPool pool(1);
  std::optional<Occupied> busy(pool);
  const auto run_within = [&](Duration time) {
    try {
      return with_timeout(time, [&] { return run_in_executor(pool, [] { return 'r'; }); });
    } catch (const TimeoutError&) {
      return 't';
    }
  };
  // The longest never expires: on a busy machine the clock could jump to any other before a job
  // that was free to run has run.
  std::vector<Task<char>> tasks;
  for (std::size_t i = 0; i < 6; ++i) {
    tasks.push_back(spawn([&, i] { return run_within(i < 3 ? 1s : Duration::max()); }, on(i % 3)));
  }
  sleep_for(1min);
  for (std::size_t i = 0; i < 6; ++i) BOOST_TEST(tasks[i].done() == (i < 3));
  busy.reset();
  for (std::size_t i = 0; i < 6; ++i) BOOST_TEST(tasks[i].get() == (i < 3 ? 't' : 'r'));
}

WEFT_CORES_TEST_CASE(a_job_that_meets_a_cancellation_runs_once_or_not_at_all) {
  ThreadPool pool(2);
  int ran_often = 0, dropped = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<std::unique_ptr<std::atomic<int>>> runs;
    std::vector<Task<int>> tasks;
    std::optional<Occupied> busy, also_busy;
    if (round % 4 == 0) busy.emplace(pool), also_busy.emplace(pool);
    for (std::size_t i = 0; i < 6; ++i) {
      runs.push_back(std::make_unique<std::atomic<int>>(0));
      tasks.push_back(spawn(
          [&pool, &times = *runs.back()] { return run_in_executor(pool, [&] { return ++times; }); },
          on(i % 3)));
    }
    for (int pause = round % 3; pause > 0; --pause) yield();
    auto canceller = spawn([&] { tasks[1].cancel(), tasks[2].cancel(); }, on(1 + round % 2));
    tasks[0].cancel();
    canceller.get();
    busy.reset();
    also_busy.reset();
    for (std::size_t i = 0; i < 6; ++i) {
      int result = 0;
      try {
        result = tasks[i].get();
      } catch (const TaskCancelled&) {
        BOOST_REQUIRE(i < 3);
      }
      BOOST_REQUIRE(*runs[i] <= 1);
      BOOST_REQUIRE(result <= *runs[i]);
      ++(*runs[i] ? ran_often : dropped);
    }
  }
  BOOST_TEST(ran_often > 0);
  BOOST_TEST(dropped > 0);
}

// ---- Jobs and other schedulers ------------------------------------------------------------------

WEFT_CORES_TEST_CASE(a_job_may_post_to_any_scheduler_and_wait_for_what_runs_there) {
  const auto schedulers = Runtime::current().schedulers();
  const auto threads = spread([] { return std::this_thread::get_id(); });
  std::atomic<int> right{0};
  spread([&] {
    run_in_executor([&] {
      for (std::size_t i = 0; i < 3; ++i) {
        Event posted;
        schedulers[i]->post([&] {
          right += std::this_thread::get_id() == threads[i];
          posted.set();
        });
        posted.wait();
        auto task = spawn([] { return std::this_thread::get_id(); }, {.on = schedulers[i]});
        right += task.get() == threads[i];
      }
    });
  });
  BOOST_TEST(right == 18);
}

WEFT_CORES_TEST_CASE(jobs_of_all_schedulers_may_wait_for_each_other) {
  Barrier all(12);
  spread([&] {
    TaskGroup group;
    for (int i = 0; i < 4; ++i) {
      group.spawn([&] { run_in_executor([&] { all.arrive_and_wait(); }); });
    }
    group.join();
  });
}

WEFT_CORES_TEST_CASE(who_waits_elsewhere_when_a_pool_is_closed_has_a_result) {
  ThreadPool pool(1);
  std::optional<Occupied> busy(pool);
  std::vector<Task<int>> tasks;
  for (int i = 0; i < 6; ++i) {
    tasks.push_back(spawn([&, i] { return run_in_executor(pool, [i] { return i; }); }, on(i % 3)));
  }
  run_until_blocked();
  auto closer = spawn([&] { pool.close(); }, on(1));
  run_until_blocked();
  BOOST_TEST(!closer.done());
  const auto is_refused = [&] {
    try {
      run_in_executor(pool, [] {});
      return false;
    } catch (const std::logic_error&) {
      return true;
    }
  };
  for (const bool refused : spread(is_refused)) BOOST_TEST(refused);
  busy.reset();
  closer.get();
  for (int i = 0; i < 6; ++i) BOOST_TEST(tasks[i].get() == i);
}

// ---- The end of a runtime -----------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(the_end_waits_for_jobs_of_all_schedulers_and_drops_those_that_have_not_begun) {
  for (int round = 0; round < 10; ++round) {
    std::atomic<int> begun{0}, ended{0}, late{0};
    ThreadPool pool(3);
    const auto job = [&] {
      ++begun;
      std::this_thread::sleep_for(1ms);
      ++ended;
    };
    run(
        [&] {
          for (std::size_t i = 0; i < 9; ++i) {
            auto waits = [&] { run_in_executor(pool, job); };
            spawn(waits, on(i % 3)).detach();
          }
          while (begun < 3) yield();
        },
        {.threads = 3});
    late = ended.load();
    BOOST_TEST(begun == ended);
    BOOST_TEST(ended >= 3);
    pool.close();
    BOOST_TEST(ended == late);
  }
}

BOOST_AUTO_TEST_CASE(cleanup_of_all_schedulers_may_use_the_pool_at_the_end) {
  std::atomic<int> cleaned{0};
  run(
      [&] {
        std::atomic<int> waiting{0};
        for (std::size_t i = 0; i < 3; ++i) {
          auto sleeps = [&cleaned, &waiting] {
            try {
              ++waiting;
              sleep_until(kForever);
            } catch (const Cancelled&) {
              shield([&] { cleaned += run_in_executor([] { return 7; }); });
              throw;
            }
          };
          spawn(sleeps, on(i)).detach();
        }
        while (waiting < 3) yield();
      },
      {.threads = 3});
  BOOST_TEST(cleaned == 21);
}

BOOST_AUTO_TEST_SUITE_END()
