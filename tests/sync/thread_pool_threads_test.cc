// Which threads a ThreadPool has.

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <ctime>
#include <functional>
#include <memory>
#include <system_error>
#include <thread>

#include "tests/support/child_process.h"
#include "tests/support/fixture.h"
#include "tests/support/occupied.h"

BOOST_AUTO_TEST_SUITE(thread_pool_threads)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// While it lives no thread can be started: none finds room for its stack.
class NoThreads {
 public:
  NoThreads() {
    pthread_getattr_default_np(&before_);
    pthread_attr_t attributes;
    pthread_getattr_default_np(&attributes);
    pthread_attr_setstacksize(&attributes, std::size_t{1} << 52);
    pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
  }
  ~NoThreads() {
    pthread_setattr_default_np(&before_);
    pthread_attr_destroy(&before_);
  }
  NoThreads(const NoThreads&) = delete;
  NoThreads& operator=(const NoThreads&) = delete;

 private:
  pthread_attr_t before_;
};

sigset_t blocked_signals() {
  sigset_t signals;
  pthread_sigmask(SIG_SETMASK, nullptr, &signals);
  return signals;
}

Duration cpu_time() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

// ---- Threads ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(one_job_starts_one_thread) {
  ThreadPool pool({.threads = 4, .max_threads = 8});
  run_in_executor(pool, [] {});
  BOOST_TEST(pool.size() == 1u);
}

BOOST_AUTO_TEST_CASE(there_are_never_more_threads_than_asked_for) {
  for (const unsigned threads : {1u, 3u}) {
    ThreadPool pool(threads);
    std::atomic<std::size_t> most{0};
    for (int i = 0; i < 1000; ++i) {
      pool.post([&] {
        std::size_t seen = most;
        const std::size_t size = pool.size();
        while (seen < size && !most.compare_exchange_weak(seen, size)) {
        }
      });
    }
    pool.close();
    BOOST_TEST(most <= threads);
  }
}

BOOST_AUTO_TEST_CASE(blocked_jobs_make_the_pool_grow_up_to_its_limit) {
  ThreadPool pool({.threads = 1, .max_threads = 3});
  Event release;
  std::atomic<bool> ran{false};
  Barrier met(4);
  for (int i = 0; i < 3; ++i) pool.post([&] { met.arrive_and_wait(), release.wait(); });
  met.arrive_and_wait();
  BOOST_TEST(pool.size() == 3u);
  for (int i = 0; i < 10; ++i) pool.post([&] { ran = true; });
  BOOST_TEST(pool.size() == 3u);
  BOOST_TEST(!ran);
  release.set();
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 3; ++i) pool.post([&] { met.arrive_and_wait(); });
    met.arrive_and_wait();
    BOOST_TEST(pool.size() == 3u);
  }
  pool.close();
}

BOOST_AUTO_TEST_CASE(a_pool_grows_for_a_job_that_waits_for_a_later_one) {
  ThreadPool pool({.threads = 1, .max_threads = 4});
  std::function<int(int)> nest = [&](int depth) {
    return depth == 0 ? 7 : run_in_executor(pool, [&, depth] { return nest(depth - 1); });
  };
  BOOST_TEST(nest(4) == 7);
}

BOOST_AUTO_TEST_CASE(jobs_that_compute_on_all_cores_do_not_make_the_pool_grow) {
  const int cores = static_cast<int>(std::max(std::thread::hardware_concurrency(), 1u));
  std::atomic<int> computing{0}, more{0}, more_by_then{0};
  std::atomic<TimePoint> end{kForever};
  Barrier ended(cores + 1);
  ThreadPool pool(  // ends first: its last jobs refer to the others
      {.threads = static_cast<unsigned>(cores), .max_threads = static_cast<unsigned>(cores) + 2});
  for (int i = 0; i < cores; ++i) {
    pool.post([&] {
      ++computing;
      while (Clock::now() < end.load()) {
      }
      more_by_then += more;
      ended.arrive_and_wait();
    });
  }
  while (computing != cores) std::this_thread::yield();
  const TimePoint start = Clock::now();
  const Duration used_before = cpu_time();
  end = start + 50ms;
  for (int i = 0; i < 3; ++i) pool.post([&] { ++more; });
  ended.arrive_and_wait();
  const Duration lost = (Clock::now() - start) * cores - (cpu_time() - used_before);
  // Where other programs took that much in all, the cores may have been idle for a while.
  if (lost < 4ms) {
    BOOST_TEST(more_by_then == 0);
  } else {
    BOOST_TEST_MESSAGE("not tested: the machine is busy");
  }
}

BOOST_AUTO_TEST_CASE(threads_leave_asynchronous_signals_to_others) {
  const auto is_blocked = [](const sigset_t& signals, int number) {
    return sigismember(&signals, number) == 1;
  };
  const sigset_t before = blocked_signals();
  ThreadPool pool({.threads = 1, .max_threads = 2});
  Barrier met(3);
  sigset_t inside[2];
  for (sigset_t& mask : inside) {
    pool.post([&] {
      mask = blocked_signals();
      met.arrive_and_wait();
    });
  }
  met.arrive_and_wait();
  for (const sigset_t& mask : inside) {
    for (int number : {SIGINT, SIGTERM, SIGUSR1, SIGCHLD}) BOOST_TEST(is_blocked(mask, number));
    for (int number : {SIGSEGV, SIGBUS, SIGFPE, SIGABRT}) BOOST_TEST(!is_blocked(mask, number));
  }
  const sigset_t after = blocked_signals();
  for (int number = 1; number < SIGRTMAX; ++number) {
    BOOST_TEST(is_blocked(after, number) == is_blocked(before, number));
  }
}

// ---- Where no thread can be started -------------------------------------------------------------

BOOST_AUTO_TEST_CASE(where_no_thread_can_be_started_the_job_is_refused) {
  const auto held = std::make_shared<int>(7);
  ThreadPool pool({.threads = 1, .max_threads = 2});
  std::atomic<bool> ran{false};
  {
    const NoThreads none;
    BOOST_CHECK_THROW(pool.post([&, held] { ran = true; }), std::system_error);
    BOOST_CHECK_THROW(run_in_executor(pool, [&] { ran = true; }), std::system_error);
    BOOST_TEST(pool.size() == 0u);
  }
  BOOST_TEST(held.use_count() == 1);
  BOOST_TEST(run_in_executor(pool, [] { return 7; }) == 7);
  pool.close();
  BOOST_TEST(!ran);
}

BOOST_AUTO_TEST_CASE(where_no_further_thread_can_be_started_the_others_do_the_job) {
  ThreadPool pool({.threads = 2, .max_threads = 3});
  std::atomic<int> ran{0};
  {
    Occupied busy(pool);
    const NoThreads none;
    for (int i = 0; i < 10; ++i) pool.post([&] { ++ran; });
    BOOST_TEST(pool.size() == 1u);
  }
  pool.close();
  BOOST_TEST(ran == 10);
}

BOOST_AUTO_TEST_CASE(every_poster_learns_that_no_thread_can_be_started) {
  constexpr int kPosts = 5000;
  const ChildEnd end = run_in_child([] {
    alarm(10);
    ThreadPool pool(2);
    std::atomic<int> refused{0};
    Barrier both(2);
    const auto post = [&] {
      both.arrive_and_wait();
      for (int i = 0; i < kPosts; ++i) {
        try {
          run_in_executor(pool, [] {});
        } catch (const std::system_error&) {
          ++refused;
        }
      }
    };
    std::thread other(post);
    const NoThreads none;
    post();
    other.join();
    return refused == 2 * kPosts ? 7 : 8;
  });
  BOOST_TEST(end.signal != SIGALRM, "it hangs");
  BOOST_TEST(end.exit_code == 7, end.said);
}

BOOST_AUTO_TEST_SUITE_END()
