// ThreadPool::stats() and executor_stats().

#include <cstddef>
#include <stdexcept>

#include "tests/support/child_process.h"
#include "tests/support/fixture.h"
#include "tests/support/occupied.h"

BOOST_AUTO_TEST_SUITE(pool_stats)

using namespace weft;
using namespace weft::test;

namespace {

void expect(const ThreadPoolStats& stats, std::size_t threads, std::size_t queued,
            std::size_t running) {
  BOOST_TEST(stats.threads == threads);
  BOOST_TEST(stats.queued == queued);
  BOOST_TEST(stats.running == running);
}

// Waits until the pool does nothing: a job counts a little longer than its caller waits.
bool becomes_idle(const ThreadPool& pool) {
  return eventually([&] { return pool.stats().running == 0 && pool.stats().queued == 0; });
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_new_pool_has_nothing) {
  ThreadPool pool(4);
  expect(pool.stats(), 0, 0, 0);
  pool.close();
  expect(pool.stats(), 0, 0, 0);
}

BOOST_AUTO_TEST_CASE(jobs_are_queued_then_run_then_gone) {
  ThreadPool pool(1);
  {
    Occupied busy(pool);
    expect(pool.stats(), 1, 0, 1);
    for (std::size_t i = 1; i <= 3; ++i) {
      pool.post([] {});
      expect(pool.stats(), 1, i, 1);
    }
  }
  BOOST_TEST(becomes_idle(pool));
  expect(pool.stats(), 1, 0, 0);
  pool.close();
  expect(pool.stats(), 0, 0, 0);
}

BOOST_AUTO_TEST_CASE(each_thread_runs_one_job) {
  ThreadPool pool(3);
  {
    Occupied first(pool), second(pool), third(pool);
    pool.post([] {});
    expect(pool.stats(), 3, 1, 3);
  }
  BOOST_TEST(becomes_idle(pool));
  expect(pool.stats(), 3, 0, 0);
}

WEFT_TEST_CASE(a_job_that_is_taken_back_is_not_queued) {
  ThreadPool pool(1);
  const Occupied busy(pool);
  auto task = spawn([&] { run_in_executor(pool, [] {}); }, {.eager = true});
  expect(pool.stats(), 1, 1, 1);
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  expect(pool.stats(), 1, 0, 1);
}

BOOST_AUTO_TEST_CASE(in_a_child_there_is_nothing) {
  ThreadPool pool(1);
  const Occupied busy(pool);
  const ChildEnd end = run_in_child([&] {
    const ThreadPoolStats stats = pool.stats();
    return stats.threads == 0 && stats.queued == 0 && stats.running == 0 ? 7 : 8;
  });
  BOOST_TEST(end.exit_code == 7, end.said);
}

WEFT_REAL_TIME_TEST_CASE(executor_stats_are_those_of_the_runtimes_pool) {
  expect(executor_stats(), 0, 0, 0);
  Event begun, release;
  auto job = spawn([&] { run_in_executor([&] { begun.set(), release.wait(); }); });
  begun.wait();
  expect(executor_stats(), 1, 0, 1);
  release.set();
  job.get();
  BOOST_TEST(eventually([] { return executor_stats().running == 0; }));
}

BOOST_AUTO_TEST_CASE(outside_of_a_runtime_there_are_no_executor_stats) {
  BOOST_CHECK_THROW(executor_stats(), std::logic_error);
}

BOOST_AUTO_TEST_SUITE_END()
