// What happens when there is no thread to be had, and what a thread of weft's own stands on.

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/faults/recovery.h"
#include "tests/faults/seam.h"
#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(threads)

using namespace std::chrono_literals;
using weft::faults::Armed;
using weft::faults::check_recovery;
using weft::faults::may_throw;
using weft::faults::must_throw;

namespace {

void run_on_three() {
  weft::run([] { BOOST_TEST(weft::spread([](std::size_t i) { return i; }).size() == 3u); },
            {.threads = 3});
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_runtime_of_which_a_thread_cannot_start_leaves_none) {
  check_recovery("pthread_create:EAGAIN", must_throw("weft: pthread_create of weft-"),
                 run_on_three);
  check_recovery("pthread_create+:EAGAIN", must_throw("weft: pthread_create of weft-"),
                 run_on_three);
}

BOOST_AUTO_TEST_CASE(a_runtime_without_epoll_or_eventfd_leaves_nothing) {
  for (const char* error : {":EMFILE", ":ENOMEM", "+:ENFILE"}) {
    check_recovery(std::string("epoll_create1") + error, must_throw("weft: epoll_create1"),
                   run_on_three);
    check_recovery(std::string("eventfd") + error, must_throw("weft: eventfd"), run_on_three);
  }
  check_recovery("epoll_ctl:ENOSPC", must_throw("weft: epoll_ctl of the eventfd"), run_on_three);
}

BOOST_AUTO_TEST_CASE(a_job_is_done_by_the_threads_that_there_are) {
  // Of three threads the second cannot be started; so the first one does all. It is busy until
  // that has been tried.
  weft::ThreadPool pool(3);
  const Armed armed("pthread_create:2+:EAGAIN");
  std::atomic<int> done = 0;
  weft::run([&] {
    weft::TaskGroup group;
    for (int i = 0; i < 20; ++i) {
      group.spawn([&] {
        weft::run_in_executor(pool, [&] {
          if (weft::test::eventually([] { return weft::faults::struck() > 0; })) ++done;
        });
      });
    }
    group.join();
  });
  BOOST_TEST(done == 20);
  BOOST_TEST(pool.size() == 1u);
  BOOST_TEST(weft::faults::struck() > 0);
}

BOOST_AUTO_TEST_CASE(a_pool_without_a_thread_says_so_and_gets_one_later) {
  const auto body = [] {
    weft::ThreadPool pool(2);
    weft::run([&] {
      std::vector<int> tens;
      for (int i = 0; i < 3; ++i) tens.push_back(weft::run_in_executor(pool, [] { return 10; }));
      BOOST_TEST(tens.size() == 3u);
      std::atomic<bool> posted = false;
      pool.post([&] { posted = true; });
      BOOST_TEST(weft::test::eventually([&] { return posted.load(); }));
    });
  };
  // The first thread alone does it, too.
  check_recovery("pthread_create:EAGAIN", may_throw("weft: pthread_create of weft-pool"), body);
  check_recovery("pthread_create+:EAGAIN", may_throw("weft: pthread_create of weft-pool"), body);
}

BOOST_AUTO_TEST_CASE(a_pool_that_failed_once_takes_the_next_job) {
  weft::ThreadPool pool(1);
  {
    const Armed armed("pthread_create:1+:EAGAIN");
    BOOST_CHECK_THROW(weft::run_in_executor(pool, [] {}), std::system_error);
    BOOST_CHECK_THROW(pool.post([] {}), std::system_error);
  }
  BOOST_TEST(weft::run_in_executor(pool, [] { return 3; }) == 3);
}

BOOST_AUTO_TEST_CASE(jobs_that_need_a_standby_thread_get_it_at_the_next_chance) {
  // The first thread is blocked by a job that waits for the second, for which a standby thread has
  // to take over. It cannot be started at first; the job that comes then starts it.
  weft::ThreadPool pool({.threads = 1, .max_threads = 2});
  const Armed armed("pthread_create:2:EAGAIN");
  weft::Event begun, go;
  weft::run([&] {
    auto blocked =
        weft::spawn([&] { weft::run_in_executor(pool, [&] { begun.set(), go.wait(); }); });
    begun.wait();
    BOOST_TEST(pool.size() == 1u);
    auto sets = weft::spawn([&] { weft::run_in_executor(pool, [&] { go.set(); }); });
    BOOST_TEST(weft::test::eventually([&] { return weft::faults::struck() == 1; }));
    auto further = weft::spawn([&] { weft::run_in_executor(pool, [] {}); });
    weft::with_timeout(20s, [&] {
      blocked.get();
      sets.get();
      further.get();
    });
  });
}

BOOST_AUTO_TEST_CASE(disturbed_sleeps_do_not_end_early) {
  const char* const faults = "syscall:1:EINTR,syscall:2:EAGAIN,syscall:3:EINTR";
  std::optional<Armed> armed(faults);
  weft::Event event;
  std::atomic<bool> set = false;
  std::atomic<bool> awake = false;
  std::thread setter([&] {
    // Not by weft's sleep, which would be disturbed itself.
    while (weft::faults::struck() < 3 && !awake) std::this_thread::sleep_for(100us);
    set = true;
    event.set();
  });
  event.wait();
  BOOST_TEST(set);
  awake = true;
  setter.join();
  BOOST_TEST(weft::faults::struck() == 3);
  armed.reset();
  armed.emplace(faults);
  weft::Semaphore permits(0);
  const weft::TimePoint start = weft::now();
  BOOST_TEST(!permits.try_acquire_for(5ms));
  BOOST_TEST((weft::now() - start >= 5ms));
}

BOOST_AUTO_TEST_SUITE_END()
