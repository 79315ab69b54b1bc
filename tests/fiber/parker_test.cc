#include "weft/fiber/core/parker.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <fstream>
#include <random>
#include <string>
#include <thread>

#include "tests/support/check.h"

BOOST_AUTO_TEST_SUITE(parker)

using namespace weft;
using namespace weft::internal;
using namespace std::chrono_literals;

namespace {

// Returns when the thread sleeps in the kernel.
void await_sleep_of(pid_t thread) {
  for (char state = '?'; state != 'S'; std::this_thread::yield()) {
    std::string number, name;
    std::ifstream("/proc/self/task/" + std::to_string(thread) + "/stat") >> number >> name >> state;
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_token_stays_until_it_is_taken) {
  Parker parker;
  parker.post();
  BOOST_TEST(parker.wait());
  BOOST_TEST(!parker.wait(kPast));
}

BOOST_AUTO_TEST_CASE(tokens_do_not_add_up) {
  Parker parker;
  for (int i = 0; i < 3; ++i) parker.post();
  BOOST_TEST(parker.wait(kPast));
  BOOST_TEST(!parker.wait(kPast));
}

BOOST_AUTO_TEST_CASE(a_token_is_taken_also_after_the_deadline) {
  Parker parker;
  parker.post();
  BOOST_TEST(parker.wait(Clock::now() - 1h));
  BOOST_TEST(!parker.wait(Clock::now() - 1h));
}

BOOST_AUTO_TEST_CASE(a_wait_without_a_token_ends_at_its_deadline_and_not_before) {
  Parker parker;
  for (const Duration time : {Duration(0), Duration(1ns), Duration(100us), Duration(3ms)}) {
    const TimePoint deadline = Clock::now() + time;
    BOOST_TEST(!parker.wait(deadline));
    BOOST_TEST((Clock::now() >= deadline));
  }
}

BOOST_AUTO_TEST_CASE(a_thread_that_waits_takes_no_processor_time) {
  const auto processor_time = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  };
  const auto before = processor_time();
  BOOST_TEST(!Parker().wait(Clock::now() + 100ms));
  BOOST_TEST((processor_time() - before < 20ms));
}

BOOST_AUTO_TEST_CASE(a_wait_that_timed_out_leaves_nothing_behind) {
  Parker parker;
  BOOST_TEST(!parker.wait(Clock::now() + 1ms));
  parker.post();
  BOOST_TEST(parker.wait());
  BOOST_TEST(!parker.wait(Clock::now() + 1ms));
}

BOOST_AUTO_TEST_CASE(a_post_ends_a_wait_that_is_under_way) {
  for (const TimePoint deadline : {kForever, Clock::now() + 1h}) {
    Parker parker;
    bool written = false;
    std::thread poster([&, waiter = gettid()] {
      await_sleep_of(waiter);
      written = true;
      parker.post();
    });
    BOOST_TEST(parker.wait(deadline));
    BOOST_TEST(written);
    poster.join();
  }
}

BOOST_AUTO_TEST_CASE(two_threads_take_turns) {
  constexpr int kRounds = 20'000;
  Parker here, there;
  int count = 0;  // not atomic: the tokens order the accesses
  std::thread other([&] {
    for (int i = 0; i < kRounds; ++i) {
      there.wait();
      ++count;
      here.post();
    }
  });
  for (int i = 0; i < kRounds; ++i) {
    const int before = count;
    there.post();
    here.wait();
    BOOST_REQUIRE(count == before + 1);
  }
  other.join();
  BOOST_TEST(count == kRounds);
}

BOOST_AUTO_TEST_CASE(a_token_that_comes_at_the_deadline_is_not_lost) {
  constexpr unsigned kSeed = 1;
  constexpr int kRounds = 1'500;
  BOOST_TEST_CONTEXT("seed " << kSeed) {
    Parker parker;
    std::atomic<TimePoint> deadline{kPast};
    std::atomic<bool> stop{false};
    std::thread poster([&] {
      std::mt19937 random(kSeed);
      TimePoint last = kPast;
      for (int i = 0; i < kRounds && !stop; ++i) {
        TimePoint at;
        while ((at = deadline.load()) == last && !stop) std::this_thread::yield();
        last = at;
        // From a little before to when the kernel has noticed the time and the thread runs again.
        at += Duration(static_cast<int>(random() % 120'000) - 20'000);
        while (Clock::now() < at) {
        }
        parker.post();
      }
    });
    int timed_out = 0;
    for (int i = 0; i < kRounds; ++i) {
      const TimePoint until = Clock::now() + 50us;
      deadline = until;
      if (parker.wait(until)) continue;
      ++timed_out;
      if (parker.wait(Clock::now() + 10s)) continue;
      BOOST_ERROR("a token was lost in round " << i);
      break;
    }
    stop = true;
    poster.join();
    BOOST_TEST_MESSAGE(timed_out << " of " << kRounds << " waits timed out");
    BOOST_TEST(!parker.wait(kPast));
  }
}

BOOST_AUTO_TEST_CASE(errno_is_kept) {
  Parker parker;
  errno = 4711;
  parker.wait(Clock::now() + 1ms);
  BOOST_TEST(errno == 4711);
  std::atomic<pid_t> waits{0};
  std::thread waiter([&] {
    waits = gettid();
    parker.wait();
  });
  while (waits == 0) std::this_thread::yield();
  await_sleep_of(waits);
  errno = 4712;
  parker.post();
  BOOST_TEST(errno == 4712);
  waiter.join();
}

BOOST_AUTO_TEST_CASE(each_thread_has_one_of_its_own) {
  Parker& mine = this_thread_parker();
  BOOST_TEST(&mine == &this_thread_parker());
  std::thread([&] {
    BOOST_TEST(&mine != &this_thread_parker());
    mine.post();
    BOOST_TEST(!this_thread_parker().wait(kPast));
  }).join();
  BOOST_TEST(mine.wait(kPast));
}

BOOST_AUTO_TEST_SUITE_END()
