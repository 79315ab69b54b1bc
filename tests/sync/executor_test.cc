// run_in_executor(): results, and who waits where.

#include <atomic>
#include <ctime>
#include <functional>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/failure.h"
#include "tests/support/fixture.h"
#include "tests/support/occupied.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/core/parker.h"
#include "weft/fiber/core/port.h"
#include "weft/sync/thread_pool.h"

BOOST_AUTO_TEST_SUITE(executor)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

int seven() { return 7; }

Duration cpu_time() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

// ---- Results ------------------------------------------------------------------------------------

WEFT_TEST_CASE(what_f_returns_comes_back) {
  int variable = 0;
  BOOST_TEST(run_in_executor([] { return 7; }) == 7);
  BOOST_TEST(run_in_executor([] { return std::string(1000, 'x'); }) == std::string(1000, 'x'));
  BOOST_TEST(*run_in_executor([] { return std::make_unique<int>(7); }) == 7);
  BOOST_TEST(&run_in_executor([&]() -> int& { return variable; }) == &variable);
  BOOST_TEST(&run_in_executor([&]() -> const int& { return variable; }) == &variable);
  BOOST_TEST(run_in_executor([]() -> const std::string { return "x"; }) == "x");
  run_in_executor([&] { variable = 7; });
  BOOST_TEST(variable == 7);
}

WEFT_TEST_CASE(anything_that_can_be_called_will_do) {
  const auto constant = [] { return 7; };
  int (*const pointer)() = &seven;
  ThreadPool pool(1);
  BOOST_TEST(run_in_executor(seven) == 7);
  BOOST_TEST(run_in_executor(pool, seven) == 7);
  BOOST_TEST(run_in_executor(pool, pointer) == 7);
  BOOST_TEST(run_in_executor(pool, constant) == 7);
  BOOST_TEST(run_in_executor(pool, std::function<int()>(seven)) == 7);
}

WEFT_TEST_CASE(f_is_called_where_it_is) {
  struct Immovable {
    Immovable() = default;
    Immovable(const Immovable&) = delete;
    const Immovable* operator()() { return ++calls, this; }
    int calls = 0;
  } f;
  BOOST_TEST(run_in_executor(f) == &f);
  BOOST_TEST(run_in_executor(f) == &f);
  BOOST_TEST(f.calls == 2);
  BOOST_TEST(run_in_executor(Immovable()) != &f);
}

WEFT_TEST_CASE(f_may_refer_to_the_callers_variables) {
  std::vector<int> numbers(1000, 1);
  int sum = 0;
  run_in_executor([&] { sum = std::accumulate(numbers.begin(), numbers.end(), 0); });
  BOOST_TEST(sum == 1000);
}

WEFT_TEST_CASE(a_result_lives_once) {
  std::atomic<int> alive{0};
  struct Counted {
    explicit Counted(std::atomic<int>& its_alive) : alive(its_alive) { ++alive; }
    Counted(Counted&& other) : Counted(other.alive) {}
    ~Counted() { --alive; }
    std::atomic<int>& alive;
  };
  {
    const Counted result = run_in_executor([&] { return Counted(alive); });
    BOOST_TEST(alive == 1);
  }
  BOOST_TEST(alive == 0);
}

WEFT_TEST_CASE(what_f_throws_is_thrown) {
  struct Coded : std::exception {
    explicit Coded(int its_code) : code(its_code) {}
    int code;
  };
  BOOST_CHECK_EXCEPTION(run_in_executor([] { throw Failure("there"); }), Failure, says("there"));
  BOOST_CHECK_EXCEPTION(run_in_executor([]() -> int { throw Coded(7); }), Coded,
                        [](const Coded& error) { return error.code == 7; });
  BOOST_CHECK_EXCEPTION(run_in_executor([]() -> int& { throw 7; }), int,
                        [](int thrown) { return thrown == 7; });
  BOOST_TEST(run_in_executor(seven) == 7);
}

WEFT_TEST_CASE(a_null_callable_is_refused) {
  ThreadPool pool(1);
  int (*const null)() = nullptr;
  BOOST_CHECK_THROW(run_in_executor(std::function<void()>()), std::invalid_argument);
  BOOST_CHECK_THROW(run_in_executor(pool, std::function<void()>()), std::invalid_argument);
  BOOST_CHECK_THROW(run_in_executor(pool, null), std::invalid_argument);
  BOOST_TEST(pool.size() == 0u);
}

WEFT_TEST_CASE(a_closed_pool_is_refused) {
  ThreadPool pool(1);
  pool.close();
  BOOST_CHECK_THROW(run_in_executor(pool, [] { return 7; }), std::logic_error);
}

// ---- Who waits where ----------------------------------------------------------------------------

WEFT_TEST_CASE(f_runs_on_another_thread_and_the_fiber_stays_on_its_own) {
  const auto here = std::this_thread::get_id();
  for (int i = 0; i < 100; ++i) {
    BOOST_TEST((run_in_executor([] { return std::this_thread::get_id(); }) != here));
    BOOST_TEST((std::this_thread::get_id() == here));
  }
}

WEFT_TEST_CASE(other_fibers_run_meanwhile) {
  Event release;
  auto waiter = spawn([&] { run_in_executor([&] { release.wait(); }); }, {.eager = true});
  sleep_for(1h);
  BOOST_TEST(!waiter.done());
  release.set();
  waiter.get();
}

WEFT_TEST_CASE(a_waiting_fiber_says_for_what) {
  ThreadPool pool(1);
  Occupied busy(pool);
  auto waiter = spawn([&] { run_in_executor(pool, [] {}); }, {.name = "waiter", .eager = true});
  std::string what;
  for (const TaskInfo& task : all_tasks()) {
    if (task.name == "waiter") what = task.waiting_for;
  }
  BOOST_TEST(what == "run_in_executor");
}

WEFT_TEST_CASE(a_fiber_may_wait_while_it_handles_an_exception) {
  try {
    throw Failure("outer");
  } catch (const Failure&) {
    BOOST_CHECK_THROW(run_in_executor([] { throw Failure("inner"); }), Failure);
    BOOST_TEST(run_in_executor(seven) == 7);
    BOOST_CHECK_EXCEPTION(throw, Failure, says("outer"));
  }
}

BOOST_AUTO_TEST_CASE(many_fibers_may_share_few_threads) {
  for (const unsigned threads : {1u, 4u}) {
    constexpr int kFibers = 100, kJobs = 50;
    ThreadPool pool(threads);
    run_case([&] {
      long sum = 0;
      TaskGroup group;
      for (int fiber = 0; fiber < kFibers; ++fiber) {
        group.spawn([&] {
          for (int i = 0; i < kJobs; ++i) sum += run_in_executor(pool, [&] { return i; });
        });
      }
      group.join();
      BOOST_TEST(sum == kFibers * kJobs * (kJobs - 1) / 2);
    });
    BOOST_TEST(pool.size() <= threads);
  }
}

BOOST_AUTO_TEST_CASE(fibers_of_several_schedulers_may_share_a_pool) {
  SchedulerThread first, second;
  ThreadPool pool(2);
  TaskGroup group;
  std::atomic<int> at_home{0};
  for (SchedulerThread* home : {&first, &second}) {
    for (int fiber = 0; fiber < 10; ++fiber) {
      group.spawn(
          [&, home] {
            for (int i = 0; i < 20; ++i) {
              run_in_executor(pool, [] {});
              at_home += std::this_thread::get_id() == home->id();
            }
          },
          {.on = home->get()});
    }
  }
  group.join();
  BOOST_TEST(at_home == 2 * 10 * 20);
}

// ---- On virtual time ----------------------------------------------------------------------------

WEFT_TEST_CASE(a_short_job_takes_no_virtual_time) {
  const TimePoint start = now();
  auto sleeper = spawn([] { sleep_for(1s); });
  for (int i = 0; i < 100; ++i) {
    BOOST_TEST(with_timeout(1ms, [] { return run_in_executor([] { return 7; }); }) == 7);
  }
  BOOST_TEST((now() == start));
  sleeper.get();
  BOOST_TEST((now() == start + 1s));
}

WEFT_TEST_CASE(a_job_may_wait_for_the_virtual_clock) {
  Event hour_over;
  auto clock = spawn([&] {
    sleep_for(1h);
    hour_over.set();
  });
  run_in_executor([&] { hour_over.wait(); });
  BOOST_TEST(hour_over.is_set());
}

// ---- Results on their way -----------------------------------------------------------------------

// However many jobs end, a scheduler that is awake is not signalled, and one that sleeps once.
BOOST_AUTO_TEST_CASE(results_come_back_in_batches) {
  class CountingPort final : public Port {
   public:
    TimePoint now() const noexcept override { return Clock::now(); }
    bool wait(TimePoint deadline) override { return parker_.wait(deadline); }
    void wake() noexcept override {
      ++wakes;
      parker_.post();
    }
    std::atomic<int> wakes{0};

   private:
    Parker parker_;
  } port;
  constexpr int kJobs = 100;
  constexpr unsigned kThreads = 2;
  ThreadPool pool(kThreads);
  run_on(port, [&] {
    std::atomic<int> begun{0};
    TaskGroup group;
    for (int i = 0; i < kJobs; ++i) group.spawn([&] { run_in_executor(pool, [&] { ++begun; }); });
    yield();
    const int before = port.wakes;
    while (begun < kJobs) std::this_thread::yield();
    BOOST_TEST(port.wakes == before);
    group.join();
    // The last job of each thread may find that this one sleeps again.
    BOOST_TEST(port.wakes - before <= static_cast<int>(kThreads));
  });
}

BOOST_AUTO_TEST_CASE(a_plain_thread_may_wait_for_a_pool_that_it_names) {
  ThreadPool pool(1);
  BOOST_TEST(run_in_executor(pool, [] { return 7; }) == 7);
  BOOST_CHECK_EXCEPTION(run_in_executor(pool, [] { throw Failure("there"); }), Failure,
                        says("there"));
}

BOOST_AUTO_TEST_CASE(a_job_may_wait_for_one_of_another_pool) {
  ThreadPool outer(1), inner(1);
  BOOST_TEST(run_in_executor(outer, [&] { return run_in_executor(inner, seven) + 1; }) == 8);
  BOOST_CHECK_THROW(
      run_in_executor(outer, [&] { run_in_executor(inner, [] { throw Failure("inner"); }); }),
      Failure);
}

BOOST_AUTO_TEST_CASE(a_job_may_be_a_runtime_of_its_own) {
  ThreadPool pool(1);
  BOOST_TEST(run_in_executor(pool, [] { return run([] { return run_in_executor(seven); }); }) == 7);
}

BOOST_AUTO_TEST_CASE(outside_of_a_runtime_a_pool_has_to_be_named) {
  const auto refused = [] {
    try {
      run_in_executor(seven);
    } catch (const std::logic_error&) {
      return true;
    }
    return false;
  };
  BOOST_TEST(refused());
  SchedulerThread other;
  BOOST_TEST(spawn(refused, {.on = other.get()}).get());
  ThreadPool pool(1);
  BOOST_TEST(run_in_executor(pool, refused));
  BOOST_TEST(run([&] { return run_in_executor(refused); }));
}

WEFT_TEST_CASE(a_job_may_do_what_a_thread_may) {
  Mutex mutex;
  ConditionVariable changed;
  Queue<int> queue;
  Promise<int> promise;
  Scheduler& scheduler = Scheduler::current();
  Event posted;
  bool open = false;
  auto job = spawn(
      [&] {
        return run_in_executor([&] {
          scheduler.post([&] { posted.set(); });
          posted.wait();
          std::unique_lock lock(mutex);
          while (!open) changed.wait(lock);
          return queue.pop() + promise.future().get();
        });
      },
      {.eager = true});
  posted.wait();
  {
    const std::lock_guard lock(mutex);
    open = true;
    changed.notify_one();
  }
  queue.push(3);
  promise.set_value(4);
  BOOST_TEST(job.get() == 7);
}

// ---- Spinning -----------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(who_looks_for_work_before_it_sleeps_finds_it) {
  for (const Duration spin : {Duration(0), Duration(1ns), Duration(50us), Duration(1ms)}) {
    for (const bool virtual_time : {false, true}) {
      ThreadPool pool({.threads = 2, .spin = spin});
      const auto count = [&] {
        int sum = 0;
        for (int i = 0; i < 100; ++i) {
          sum += run_in_executor([] { return 1; });
          sum += run_in_executor(pool, [] { return 1; });
        }
        return sum;
      };
      const auto main = [&] {
        auto [first, second] = gather(count, count);
        return first + second;
      };
      BOOST_TEST(run(main, {.virtual_time = virtual_time, .spin = spin}) == 400);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_spin_may_last_for_ever) {
  ThreadPool pool({.threads = 2, .spin = Duration::max()});
  run([&] { run_in_executor(pool, [] {}), run_in_executor([] {}); }, {.spin = Duration::max()});
  pool.close();
}

BOOST_AUTO_TEST_CASE(an_idle_program_uses_no_processor) {
  ThreadPool pool({.threads = 2, .max_threads = 3, .spin = 1ms});
  Event release;
  Duration used{};
  run(
      [&] {
        TaskGroup group;
        for (int i = 0; i < 10; ++i) group.spawn([&] { release.wait(); });
        for (int i = 0; i < 4; ++i) group.spawn([] { run_in_executor([] {}); });
        group.spawn([&] { run_in_executor([&] { release.wait(); }); });
        group.spawn([&] { run_in_executor(pool, [&] { release.wait(); }); });
        group.spawn([&] { run_in_executor(pool, [] {}); });
        run_in_executor(pool, [] {});
        const Duration before = cpu_time();
        sleep_for(200ms);
        used = cpu_time() - before;
        release.set();
        group.join();
      },
      {.spin = 1ms});
  BOOST_TEST(used.count() < Duration(40ms).count());
}

BOOST_AUTO_TEST_SUITE_END()
