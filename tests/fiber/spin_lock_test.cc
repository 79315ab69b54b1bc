#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/support/check.h"
#include "weft/fiber/core/atomic.h"

BOOST_AUTO_TEST_SUITE(spin_lock)

using namespace weft;
using namespace weft::internal;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_CASE(one_thread_at_a_time_holds_it) {
  constexpr int kThreads = 4;  // more than there may be cores: holders lose theirs
  constexpr int kRounds = 50'000;
  SpinLock lock;
  long count = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < kRounds; ++round) {
        const std::lock_guard guard(lock);
        ++count;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  BOOST_TEST(count == long{kThreads} * kRounds);
}

BOOST_AUTO_TEST_CASE(a_thread_waits_as_long_as_another_holds_it) {
  SpinLock lock;
  bool released = false, seen = false;
  std::unique_lock guard(lock);
  std::thread waiter([&] {
    const std::lock_guard inner(lock);
    seen = released;
  });
  std::this_thread::sleep_for(2ms);
  released = true;
  guard.unlock();
  waiter.join();
  BOOST_TEST(seen);
}

BOOST_AUTO_TEST_CASE(it_may_be_taken_again_once_released) {
  SpinLock lock;
  for (int i = 0; i < 3; ++i) {
    lock.lock();
    lock.unlock();
  }
  std::unique_lock guard(lock);
  guard.unlock();
  guard.lock();
  BOOST_TEST(guard.owns_lock());
}

BOOST_AUTO_TEST_SUITE_END()
