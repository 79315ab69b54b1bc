// run_in_executor(): what does not run to its end as a matter of course.

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/failure.h"
#include "tests/support/fixture.h"
#include "tests/support/occupied.h"
#include "weft/sync/thread_pool.h"

BOOST_AUTO_TEST_SUITE(executor_cancel)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

int seven() { return 7; }

// Waits without virtual time passing: it stands still while a fiber is ready.
void wait_in_no_time(const Event& event) {
  while (!event.is_set()) yield();
}

// body(pool, result) runs seven() on the pool's only thread, which is busy when the task is
// cancelled.
template <class F>
void check_f_runs_to_its_end(F body) {
  ThreadPool pool(1);
  std::optional<Occupied> busy(pool);
  int result = 0;
  auto task = spawn([&] { body(pool, result); }, {.eager = true});
  task.cancel();
  run_until_blocked();
  BOOST_TEST(!task.done());
  busy.reset();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(result == 7);
}

unsigned first_size_of_default_pool() { return std::max(std::thread::hardware_concurrency(), 4U); }

}  // namespace

// ---- Cancellation -------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(cancelling_drops_an_f_that_has_not_begun) {
  ThreadPool pool(1);
  std::optional<Occupied> busy(pool);
  bool ran = false;
  auto dropped = spawn([&] { run_in_executor(pool, [&] { ran = true; }); }, {.eager = true});
  auto later = spawn([&] { return run_in_executor(pool, seven); }, {.eager = true});
  dropped.cancel();
  BOOST_CHECK_THROW(dropped.get(), TaskCancelled);
  BOOST_TEST(!later.done());
  busy.reset();
  BOOST_TEST(later.get() == 7);
  BOOST_TEST(!ran);
}

WEFT_SHUFFLED_TEST_CASE(what_is_dropped_may_be_anywhere_in_the_queue) {
  ThreadPool pool(1);
  std::optional<Occupied> busy(pool);
  std::string order;
  std::vector<Task<void>> tasks;
  for (char name = 'a'; name <= 'f'; ++name) {
    tasks.push_back(
        spawn([&, name] { run_in_executor(pool, [&, name] { order += name; }); }, {.eager = true}));
  }
  for (int i : {3, 0, 5}) tasks[i].cancel();
  run_until_blocked();
  for (int i : {3, 0, 5}) BOOST_TEST(tasks[i].done());
  busy.reset();
  for (int i : {1, 2, 4}) tasks[i].get();
  BOOST_TEST(order == "bce");
}

WEFT_SHUFFLED_TEST_CASE(cancelling_waits_for_an_f_that_has_begun) {
  Event begun, release;
  bool ended = false;
  auto task = spawn(
      [&] {
        std::string local;
        run_in_executor([&] {
          begun.set();
          release.wait();
          local += "of the fiber";
          ended = true;
        });
        BOOST_ERROR("it was not cancelled");
      },
      {.eager = true});
  begun.wait();
  task.cancel();
  sleep_for(1h);
  BOOST_TEST(!task.done());
  release.set();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(ended);
}

WEFT_SHUFFLED_TEST_CASE(what_a_begun_f_throws_comes_before_the_cancellation) {
  Event begun, release;
  auto task = spawn(
      [&] {
        run_in_executor([&] {
          begun.set();
          release.wait();
          throw Failure("of the job");
        });
      },
      {.eager = true});
  begun.wait();
  task.cancel();
  run_until_blocked();
  release.set();
  BOOST_CHECK_EXCEPTION(task.get(), Failure, says("of the job"));
}

WEFT_SHUFFLED_TEST_CASE(a_timeout_drops_an_f_that_has_not_begun) {
  ThreadPool pool(1);
  std::optional<Occupied> busy(pool);
  const TimePoint start = now();
  bool ran = false;
  BOOST_CHECK_THROW(with_timeout(1s, [&] { run_in_executor(pool, [&] { ran = true; }); }),
                    TimeoutError);
  BOOST_TEST((now() == start + 1s));
  busy.reset();
  BOOST_TEST(run_in_executor(pool, seven) == 7);
  BOOST_TEST(!ran);
}

WEFT_SHUFFLED_TEST_CASE(a_timeout_waits_for_an_f_that_has_begun) {
  for (const bool fails : {false, true}) {
    Event begun, release;
    auto task = spawn(
        [&] {
          with_timeout(1h, [&] {
            run_in_executor([&] {
              begun.set();
              release.wait();
              if (fails) throw Failure("of the job");
            });
          });
        },
        {.eager = true});
    wait_in_no_time(begun);
    sleep_for(2h);
    BOOST_TEST(!task.done());
    release.set();
    if (fails) {
      BOOST_CHECK_EXCEPTION(task.get(), Failure, says("of the job"));
    } else {
      BOOST_CHECK_THROW(task.get(), TimeoutError);
    }
  }
}

WEFT_TEST_CASE(who_is_cancelled_already_posts_nothing) {
  ThreadPool pool(1);
  bool tried = false;
  auto task = spawn(when_cancelled([&] {
                      tried = true;
                      run_in_executor(pool, [] {});
                      BOOST_ERROR("it was not cancelled");
                    }),
                    {.eager = true});
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(tried);
  BOOST_TEST(pool.size() == 0u);
}

WEFT_SHUFFLED_TEST_CASE(in_a_shield_f_runs_to_its_end) {
  check_f_runs_to_its_end([](ThreadPool& pool, int& result) {
    shield([&] { result = run_in_executor(pool, seven); });
    run_in_executor(pool, [] {});
    BOOST_ERROR("it was not cancelled");
  });
}

WEFT_SHUFFLED_TEST_CASE(in_a_destructor_called_by_unwinding_f_runs_to_its_end) {
  check_f_runs_to_its_end([](ThreadPool& pool, int& result) {
    struct Cleanup {
      ThreadPool& pool;
      int& result;
      ~Cleanup() { result = run_in_executor(pool, seven); }
    } const cleanup{pool, result};
    sleep_for(1h);
  });
}

WEFT_SHUFFLED_TEST_CASE(destroying_a_task_drops_its_f_or_waits_for_it) {
  ThreadPool pool(1);
  Event begun, release;
  bool ran = false, ended = false;
  std::optional first(spawn(
      [&] {
        int local = 0;
        run_in_executor(pool, [&] { begun.set(), release.wait(), ended = ++local; });
      },
      {.eager = true}));
  begun.wait();
  {
    auto queued = spawn([&] { run_in_executor(pool, [&] { ran = true; }); }, {.eager = true});
  }
  auto releaser = spawn([&] { release.set(); });
  first.reset();
  BOOST_TEST(ended);
  pool.close();
  BOOST_TEST(!ran);
}

WEFT_SHUFFLED_TEST_CASE(a_failure_in_a_group_drops_the_jobs_of_the_others) {
  ThreadPool pool(1);
  Occupied busy(pool);
  TaskGroup group;
  for (int i = 0; i < 5; ++i) {
    group.spawn([&] { run_in_executor(pool, [] {}); }, {.eager = true});
  }
  group.spawn([] { throw Failure("first"); });
  BOOST_CHECK_THROW(group.join(), Failure);
}

// ---- The pool of a runtime, and its end ---------------------------------------------------------

BOOST_AUTO_TEST_CASE(the_pool_of_a_runtime_grows_while_its_jobs_wait_for_each_other) {
  const int jobs = static_cast<int>(first_size_of_default_pool()) + 6;
  run([jobs] {
    Barrier barrier(jobs);
    TaskGroup group;
    for (int i = 0; i < jobs; ++i) {
      group.spawn([&] { run_in_executor([&] { barrier.arrive_and_wait(); }); });
    }
    group.join();
  });
}

BOOST_AUTO_TEST_CASE(the_end_waits_for_jobs_that_run_and_drops_those_that_do_not) {
  ThreadPool pool(1);
  Event begun, release;
  bool ended = false, ran = false;
  const auto held = std::make_shared<int>(7);
  run([&] {
    spawn([&, held] {
      int local = *held;
      run_in_executor(pool, [&] { begun.set(), release.wait(), ended = local == 7; });
    }).detach();
    spawn([&, held] { run_in_executor(pool, [&] { ran = true; }); }).detach();
    spawn([&] {
      struct Releases {
        Event& release;
        ~Releases() { release.set(); }
      } const releases{release};
      sleep_until(kForever);
    }).detach();
    begun.wait();
  });
  BOOST_TEST(ended);
  BOOST_TEST(held.use_count() == 1);
  pool.close();
  BOOST_TEST(!ran);
}

BOOST_AUTO_TEST_CASE(cleanup_at_the_end_may_use_the_pool) {
  int result = 0;
  run([&] {
    spawn([&] {
      struct Cleanup {
        int& result;
        ~Cleanup() { result += run_in_executor(seven); }
      } const cleanup{result};
      try {
        sleep_until(kForever);
      } catch (const Cancelled&) {
        shield([&] { result += run_in_executor(seven); });
        throw;
      }
    }).detach();
    yield();
  });
  BOOST_TEST(result == 14);
}

BOOST_AUTO_TEST_CASE(what_was_posted_to_the_pool_of_a_runtime_runs_before_it_ends) {
  std::atomic<int> ran{0};
  run([&] {
    ThreadPool& pool = internal::default_thread_pool();
    for (int i = 0; i < 1000; ++i) pool.post([&] { ++ran; });
  });
  BOOST_TEST(ran == 1000);
}

BOOST_AUTO_TEST_CASE(jobs_may_post_to_a_scheduler_that_ends) {
  const auto held = std::make_shared<int>(7);
  for (int round = 0; round < 20; ++round) {
    run([&] {
      Scheduler& scheduler = Scheduler::current();
      for (int i = 0; i < 10; ++i) {
        internal::default_thread_pool().post([&scheduler, held] {
          for (int call = 0; call < 20; ++call) scheduler.post([held] {});
        });
      }
    });
    BOOST_TEST(held.use_count() == 1);
  }
}

BOOST_AUTO_TEST_CASE(the_threads_of_a_runtime_end_with_it) {
  static std::atomic<int> begun, ended;
  begun = ended = 0;
  struct Witness {
    Witness() { ++begun; }
    ~Witness() { ++ended; }
  };
  run([] {
    TaskGroup group;
    for (int i = 0; i < 20; ++i) {
      group.spawn([] {
        run_in_executor([] {
          thread_local Witness witness;
          (void)witness;
        });
      });
    }
    group.join();
  });
  BOOST_TEST(begun > 0);
  BOOST_TEST(ended == begun);
}

BOOST_AUTO_TEST_SUITE_END()
