#include "weft/sync/thread_pool.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/failure.h"
#include "tests/support/fixture.h"
#include "tests/support/occupied.h"
#include "tests/support/scheduler_thread.h"

BOOST_AUTO_TEST_SUITE(thread_pool)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// In a forked child, where it would hang otherwise: f must return true.
template <class F>
void check_in_child(F f) {
  const ChildEnd end = run_in_child([&] {
    alarm(10);
    return f() ? 7 : 8;
  });
  BOOST_TEST(end.signal != SIGALRM, "it hangs");
  BOOST_TEST(end.exit_code == 7, end.said);
}

std::vector<int> numbers_up_to(int count) {
  std::vector<int> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

}  // namespace

// ---- Options ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(bad_options_are_refused) {
  BOOST_CHECK_THROW(ThreadPool(0), std::invalid_argument);
  BOOST_CHECK_THROW(ThreadPool({.threads = 0, .max_threads = 4}), std::invalid_argument);
  BOOST_CHECK_THROW(ThreadPool({.threads = 3, .max_threads = 2}), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(a_negative_spin_counts_as_zero) {
  ThreadPool pool({.spin = -1ns});
  BOOST_TEST(run_in_executor(pool, [] { return 7; }) == 7);
}

BOOST_AUTO_TEST_CASE(a_pool_that_never_had_a_job_has_no_thread) {
  ThreadPool pool(4);
  BOOST_TEST(pool.size() == 0u);
  pool.close();
  BOOST_TEST(pool.size() == 0u);
}

// ---- post ---------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(one_thread_begins_jobs_in_the_order_in_which_they_were_posted) {
  std::vector<int> order;
  ThreadPool pool(1);
  for (int i = 0; i < 1000; ++i) pool.post([&, i] { order.push_back(i); });
  pool.close();
  BOOST_TEST(order == numbers_up_to(1000));
}

WEFT_TEST_CASE(jobs_of_fibers_and_of_nobody_share_one_order) {
  std::vector<int> order;
  ThreadPool pool(1);
  {
    Occupied busy(pool);
    std::vector<Task<void>> tasks;
    for (int i = 0; i < 100; i += 2) {
      pool.post([&, i] { order.push_back(i); });
      tasks.push_back(spawn([&, i] { run_in_executor(pool, [&] { order.push_back(i + 1); }); },
                            {.eager = true}));
    }
    busy.release();
    for (auto& task : tasks) task.get();
  }
  BOOST_TEST(order == numbers_up_to(100));
}

BOOST_AUTO_TEST_CASE(several_threads_take_jobs_at_once) {
  ThreadPool pool(4);
  Barrier barrier(4);
  std::atomic<int> met{0};
  for (int i = 0; i < 4; ++i) pool.post([&] { barrier.arrive_and_wait(), ++met; });
  run_in_executor(pool, [&] {
    while (met != 4) std::this_thread::yield();
  });
}

BOOST_AUTO_TEST_CASE(posted_functions_may_be_moved_only_and_are_destroyed_when_they_have_run) {
  const auto held = std::make_shared<int>(7);
  std::atomic<int> sum{0};
  ThreadPool pool(2);
  for (int i = 0; i < 10; ++i) {
    pool.post([&, held, alone = std::make_unique<int>(7)] { sum += *held + *alone; });
  }
  pool.close();
  BOOST_TEST(sum == 140);
  BOOST_TEST(held.use_count() == 1);
}

BOOST_AUTO_TEST_CASE(a_null_function_is_refused) {
  ThreadPool pool(1);
  void (*const null)() = nullptr;
  BOOST_CHECK_THROW(pool.post(std::function<void()>()), std::invalid_argument);
  BOOST_CHECK_THROW(pool.post(null), std::invalid_argument);
  BOOST_TEST(pool.size() == 0u);
}

BOOST_AUTO_TEST_CASE(a_job_may_post_jobs) {
  ThreadPool pool(2);
  std::atomic<int> ran{0};
  Event all;
  std::function<void(int)> grow = [&](int depth) {
    for (int i = 0; i < 2 && depth > 0; ++i) pool.post([&, depth] { grow(depth - 1); });
    if (++ran == 63) all.set();
  };
  pool.post([&] { grow(5); });
  all.wait();
  BOOST_TEST(ran == 63);
}

BOOST_AUTO_TEST_CASE(what_a_posted_function_throws_ends_the_program) {
  const ChildEnd end = run_in_child([] {
    ThreadPool pool(1);
    pool.post([] { throw Failure("of the job"); });
    pool.close();
    return 0;
  });
  BOOST_TEST(end.signal == SIGABRT);
}

// ---- close --------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(close_runs_what_was_posted) {
  for (const unsigned threads : {1u, 3u}) {
    std::atomic<int> ran{0};
    ThreadPool pool(threads);
    for (int i = 0; i < 1000; ++i) pool.post([&] { ++ran; });
    pool.close();
    BOOST_TEST(ran == 1000);
    BOOST_TEST(pool.size() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(the_destructor_runs_what_was_posted) {
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> ran{0};
    {
      ThreadPool pool({.threads = 1, .max_threads = 1u + round % 2});
      for (int i = 0; i < round; ++i) pool.post([&] { ++ran; });
    }
    BOOST_TEST(ran == round);
  }
}

BOOST_AUTO_TEST_CASE(a_closed_pool_takes_no_jobs) {
  const auto held = std::make_shared<int>(7);
  ThreadPool never_used(1), used(1);
  run_in_executor(used, [] {});
  for (ThreadPool* pool : {&never_used, &used}) {
    pool->close();
    BOOST_CHECK_THROW(pool->post([held] {}), std::logic_error);
    BOOST_CHECK_THROW(run_in_executor(*pool, [held] {}), std::logic_error);
  }
  BOOST_TEST(held.use_count() == 1);
}

BOOST_AUTO_TEST_CASE(a_pool_may_be_closed_twice_and_by_two_threads_at_once) {
  for (int round = 0; round < 100; ++round) {
    std::atomic<int> ran{0}, seen{0};
    ThreadPool pool(2);
    for (int i = 0; i < 10; ++i) pool.post([&] { ++ran; });
    const auto close = [&] { pool.close(), seen += ran; };
    std::thread other(close);
    close();
    other.join();
    BOOST_TEST(seen == 20);
    pool.close();
  }
}

BOOST_AUTO_TEST_CASE(what_is_posted_while_the_pool_is_closed_runs_or_is_refused) {
  SchedulerThread other;
  for (int round = 0; round < 100; ++round) {
    std::atomic<int> taken{0}, ran{0};
    ThreadPool pool({.threads = 1u + round % 2, .max_threads = 3});
    const auto count = [&] { ++ran; };
    const auto use = [&] {
      try {
        for (;;) {
          pool.post(count), ++taken;
          run_in_executor(pool, count), ++taken;
        }
      } catch (const std::logic_error&) {
      }
    };
    std::thread thread(use);
    auto fiber = spawn(use, {.on = other.get()});
    for (int i = 0; i < round; ++i) run_in_executor(pool, [] {});
    pool.close();
    thread.join();
    fiber.get();
    BOOST_TEST(ran == taken);
  }
}

WEFT_SHUFFLED_TEST_CASE(close_lets_other_fibers_run) {
  ThreadPool pool(1);
  Event asked, answered;
  pool.post([&] { asked.set(), answered.wait(); });
  int ran = 0;
  pool.post([&] { ++ran; });
  auto helper = spawn([&] { asked.wait(), sleep_for(1s), answered.set(); });
  auto another = spawn([&] {
    pool.close();
    BOOST_TEST(ran == 1);
  });
  pool.close();
  BOOST_TEST(ran == 1);
  helper.get();
  another.get();
}

WEFT_SHUFFLED_TEST_CASE(close_is_not_cancelled) {
  ThreadPool pool(1);
  std::optional<Occupied> busy(pool);
  bool closed = false;
  auto task = spawn(
      [&] {
        pool.close();
        closed = true;
        sleep_for(1h);
      },
      {.eager = true});
  task.cancel();
  sleep_for(2h);
  BOOST_TEST(!closed);
  busy.reset();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(closed);
}

WEFT_SHUFFLED_TEST_CASE(fibers_that_wait_when_the_pool_is_closed_have_their_results) {
  ThreadPool pool(1);
  std::optional<Occupied> busy(pool);
  auto dropped = spawn([&] { run_in_executor(pool, [] {}); }, {.eager = true});
  auto waiting = spawn([&] { return run_in_executor(pool, [] { return 7; }); }, {.eager = true});
  auto closing = spawn([&] { pool.close(); }, {.eager = true});
  dropped.cancel();
  BOOST_CHECK_THROW(dropped.get(), TaskCancelled);
  busy.reset();
  BOOST_TEST(waiting.get() == 7);
  closing.get();
}

BOOST_AUTO_TEST_CASE(a_job_may_close_another_pool) {
  ThreadPool first(1), second(1);
  int ran = 0;
  second.post([&] { ++ran; });
  run_in_executor(first, [&] { second.close(); });
  BOOST_TEST(ran == 1);
}

BOOST_AUTO_TEST_CASE(a_pool_closed_by_its_own_job_ends_the_program_with_a_sentence) {
  for (const bool destroyed : {false, true}) {
    const ChildEnd end = run_in_child([&] {
      auto pool = std::make_unique<ThreadPool>(1);
      Event ended;
      pool->post([&] {
        destroyed ? pool.reset() : pool->close();
        ended.set();
      });
      ended.wait();
      return 0;
    });
    BOOST_TEST(end.signal == SIGABRT);
    BOOST_TEST(end.said.find("closed by one of its own jobs") != std::string::npos, end.said);
  }
}

BOOST_AUTO_TEST_CASE(jobs_that_wait_for_each_other_end_also_when_the_pool_is_closed) {
  for (const ThreadPoolOptions& options :
       {ThreadPoolOptions{.threads = 3}, ThreadPoolOptions{.threads = 1, .max_threads = 3}}) {
    check_in_child([&] {
      std::atomic<int> met{0};
      Barrier barrier(3);
      ThreadPool pool(options);
      for (int i = 0; i < 3; ++i) pool.post([&] { barrier.arrive_and_wait(), ++met; });
      pool.close();
      return met == 3;
    });
  }
}

BOOST_AUTO_TEST_CASE(jobs_that_wait_for_each_other_end_also_when_the_runtime_ends) {
  check_in_child([] {
    std::atomic<int> met{0};
    Barrier barrier(3);
    run([&] {
      for (int i = 0; i < 3; ++i) {
        default_thread_pool().post([&] { barrier.arrive_and_wait(), ++met; });
      }
    });
    return met == 3;
  });
}

BOOST_AUTO_TEST_SUITE_END()
