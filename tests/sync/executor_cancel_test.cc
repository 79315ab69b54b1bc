// run_in_executor(): what does not run to its end as a matter of course.

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
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

// ---- A job that may be abandoned ----------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_cancelled_wait_leaves_an_abandoned_f_to_its_thread) {
  ThreadPool pool(1);
  const auto events = std::make_shared<std::array<Event, 3>>();
  auto task = spawn(
      [&] {
        run_in_executor(pool,
                        [events] {
                          auto& [begun, release, ended] = *events;
                          begun.set();
                          release.wait();
                          ended.set();
                          return std::make_unique<int>(7);
                        },
                        {.abandon = true});
        BOOST_ERROR("it was not cancelled");
      },
      {.eager = true});
  auto& [begun, release, ended] = *events;
  begun.wait();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(!ended.is_set());
  BOOST_TEST(pool.stats().running == 1u);
  release.set();
  pool.close();  // waits for it
  BOOST_TEST(ended.is_set());
  BOOST_TEST(events.use_count() == 1);
}

WEFT_SHUFFLED_TEST_CASE(a_timeout_abandons_an_f_and_what_it_throws_is_dropped) {
  const Unhandled unhandled;
  ThreadPool pool(1);
  const auto release = std::make_shared<Event>();
  const TimePoint start = now();
  const auto hang = [&] {
    run_in_executor(pool,
                    [release] {
                      release->wait();
                      throw Failure("nobody hears it");
                    },
                    {.abandon = true});
  };
  BOOST_CHECK_THROW(with_timeout(1s, hang), TimeoutError);
  BOOST_TEST((now() == start + 1s));
  release->set();
  pool.close();
  BOOST_TEST(unhandled.said == "");
  BOOST_TEST(release.use_count() == 1);
}

WEFT_SHUFFLED_TEST_CASE(a_cancelled_f_that_may_be_abandoned_but_has_not_begun_never_does) {
  ThreadPool pool(1);
  std::optional<Occupied> busy(pool);
  auto held = std::make_shared<int>(7);
  auto task =
      spawn([&] { run_in_executor(pool, [held] { BOOST_ERROR("it ran"); }, {.abandon = true}); },
            {.eager = true});
  BOOST_TEST(held.use_count() == 2);
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(held.use_count() == 1);
  busy.reset();
}

WEFT_SHUFFLED_TEST_CASE(an_f_that_may_be_abandoned_gives_its_result_and_is_gone_then) {
  ThreadPool pool(1);
  const ExecutorOptions options{.abandon = true};
  auto held = std::make_shared<int>(7);
  BOOST_TEST(run_in_executor(
                 pool, [held] { return *held; }, options) == 7);
  BOOST_TEST(held.use_count() == 1);
  const auto fails = [held] { throw Failure("of the job"); };
  BOOST_CHECK_EXCEPTION(run_in_executor(pool, fails, options), Failure, says("of the job"));
  BOOST_TEST(held.use_count() == 2);  // the copy is gone
  auto moved_only = [its = std::make_unique<int>(8)]() mutable { return std::move(its); };
  BOOST_TEST(*run_in_executor(pool, std::move(moved_only), options) == 8);
  static int variable = 0;
  BOOST_TEST(&run_in_executor(
                 pool, []() -> int& { return variable; }, options) == &variable);
  BOOST_TEST(run_in_executor(seven, options) == 7);
  BOOST_CHECK_THROW(run_in_executor(pool, std::function<void()>(), options), std::invalid_argument);
  pool.close();
  BOOST_CHECK_THROW(run_in_executor(
                        pool, [held] {}, options),
                    std::logic_error);
  BOOST_TEST(held.use_count() == 2);
}

WEFT_SHUFFLED_TEST_CASE(an_f_that_may_not_be_abandoned_is_not_copied) {
  struct Counts {
    Counts() = default;
    Counts(const Counts& other) : calls(other.calls) { BOOST_ERROR("it is copied"); }
    void operator()() { ++calls; }
    int calls = 0;
  } in_place;
  ThreadPool pool(1);
  run_in_executor(pool, in_place, ExecutorOptions{});
  run_in_executor(in_place, ExecutorOptions{});
  BOOST_TEST(in_place.calls == 2);
}

// ---- Stop requests ------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_cancellation_requests_a_stop_and_waits_unless_it_may_abandon) {
  for (const bool abandon : {false, true}) {
    ThreadPool pool(1);
    const auto begun = std::make_shared<Event>();
    const auto stopped = std::make_shared<Event>();
    auto task = spawn(
        [&] {
          run_in_executor(pool,
                          [begun, stopped](const std::stop_token& stop) {
                            begun->set();
                            Event asked;
                            const std::stop_callback callback(stop, [&] { asked.set(); });
                            asked.wait();
                            stopped->set();
                          },
                          {.abandon = abandon});
          BOOST_ERROR("it was not cancelled");
        },
        {.eager = true});
    begun->wait();
    task.cancel();
    BOOST_CHECK_THROW(task.get(), TaskCancelled);
    if (!abandon) BOOST_TEST(stopped->is_set());
    pool.close();
    BOOST_TEST(stopped->is_set());
  }
}

WEFT_TEST_CASE(an_f_that_is_not_cancelled_sees_no_stop) {
  const auto is_stoppable = [](std::stop_token stop) {
    return stop.stop_possible() && !stop.stop_requested();
  };
  BOOST_TEST(run_in_executor(is_stoppable));
  BOOST_TEST(run_in_executor(is_stoppable, {.abandon = true}));
}

// ---- Threads of a runtime -----------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_runtime_has_as_many_threads_for_jobs_as_it_is_told) {
  run(
      [] {
        std::atomic<int> at_once{0}, most{0};
        TaskGroup group;
        for (int i = 0; i < 20; ++i) {
          group.spawn([&] {
            run_in_executor([&] {
              most = std::max(most.load(), ++at_once);
              std::this_thread::yield();
              --at_once;
            });
          });
        }
        group.join();
        BOOST_TEST(most == 1);
        BOOST_TEST(executor_stats().threads == 1u);
      },
      {.executor_threads = 1});
}

BOOST_AUTO_TEST_CASE(the_end_of_a_runtime_waits_for_what_was_abandoned) {
  static std::atomic<bool> ended;
  ended = false;
  const auto release = std::make_shared<Event>();
  run(
      [&] {
        const auto begun = std::make_shared<Event>();
        auto task = spawn(
            [=] {
              run_in_executor(
                  [=] {
                    begun->set();
                    release->wait();
                    ended = true;
                  },
                  {.abandon = true});
            },
            {.eager = true});
        begun->wait();
        task.cancel();
        BOOST_CHECK_THROW(task.get(), TaskCancelled);
        BOOST_TEST(!ended);
        spawn([release] {
          struct Releases {
            Event& release;
            ~Releases() { release.set(); }
          } const releases{*release};
          sleep_until(kForever);
        }).detach();
        yield();
      },
      {.executor_threads = 1});
  BOOST_TEST(ended);
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

WEFT_TEST_CASE(a_stop_callback_may_wait) {
  Mutex mutex;
  bool stopped = false;
  std::atomic<bool> begun{false};
  std::unique_lock held(mutex);
  auto task = spawn([&] {
    run_in_executor([&](std::stop_token stop) {
      const std::stop_callback quit(stop, [&] {
        const std::lock_guard lock(mutex);
        stopped = true;
      });
      begun = true;
      while (!stop.stop_requested()) std::this_thread::yield();
    });
  });
  while (!begun) yield();
  task.cancel();
  run_until_blocked();
  BOOST_TEST(!stopped);
  held.unlock();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(stopped);
}

BOOST_AUTO_TEST_SUITE_END()
