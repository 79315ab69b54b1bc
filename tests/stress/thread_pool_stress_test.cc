// A ThreadPool and run_in_executor() at random, from all sides.

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/support/failure.h"
#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"

BOOST_AUTO_TEST_SUITE(thread_pool_stress)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

std::uint64_t stress_seed() {
  const char* asked = std::getenv("WEFT_SEED");
  const std::uint64_t seed = asked ? std::strtoull(asked, nullptr, 0) : std::random_device()();
  std::printf("WEFT_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

// Fibers and threads that use one pool, and what they saw.
class Stress {
 public:
  explicit Stress(std::uint64_t seed)
      : random_(seed),
        pool_({.threads = 1 + static_cast<unsigned>(random_() % 3),
               .max_threads = 3,
               .spin = std::chrono::microseconds(random_() % 20)}) {}

  void run() {
    std::vector<Task<void>> parents;
    for (SchedulerThread* home : {&first_, &second_}) {
      parents.push_back(spawn([this, seed = random_()] { parent(seed); }, {.on = home->get()}));
    }
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([this, seed = random_()] { parent(seed); });
    }
    for (auto& thread : threads) thread.join();
    for (auto& task : parents) task.get();
    pool_.close();
  }

  void check() const {
    BOOST_TEST(wrong_ == 0);
    BOOST_TEST(run_ == seen_to_run_);
    BOOST_TEST(run_ + dropped_ == wanted_);
    BOOST_TEST(posted_run_ == posted_);
    std::printf("%d jobs, of which %d were dropped, and %d posted\n", wanted_.load(),
                dropped_.load(), posted_.load());
  }

 private:
  using Random = std::mt19937_64;

  // On a fiber or a plain thread.
  void parent(std::uint64_t seed) {
    Random random(seed);
    for (int round = 0; round < 100; ++round) {
      std::vector<Task<void>> tasks;
      for (int i = 0; i < 10; ++i) {
        tasks.push_back(spawn([this, seed = random()] { use_pool(seed); },
                              {.on = random() % 2 ? first_.get() : second_.get()}));
      }
      use_pool(random());
      for (auto& task : tasks) {
        if (random() % 2) task.cancel();
        if (random() % 4 == 0) use_pool(random());
      }
      // Some are awaited, and some only destroyed.
      for (std::size_t i = random() % 10; i < tasks.size(); ++i) tasks[i].wait();
    }
  }

  void use_pool(std::uint64_t seed) {
    Random random(seed);
    for (int i = 0; i < 5; ++i) {
      if (random() % 4 == 0) {
        ++posted_;
        pool_.post([this] { ++posted_run_; });
      }
      wait_for_job(random());
    }
  }

  void wait_for_job(std::uint64_t seed) {
    struct Local {
      explicit Local(Stress& its_stress) : stress(its_stress) { ++stress.wanted_; }
      ~Local() {
        stress.seen_to_run_ += runs;
        if (runs == 0) ++stress.dropped_;
        if (runs > 1) ++stress.wrong_;
      }
      Stress& stress;
      int runs = 0;  // not atomic: the job has ended, or will not begin, when it is read
    } local(*this);
    try {
      const auto result = run_in_executor(pool_, [&] {
        ++local.runs;
        ++run_;
        for (std::uint64_t i = seed % 256; i > 0; --i)
          std::atomic_signal_fence(std::memory_order_seq_cst);
        if (seed % 8 == 0) throw Failure("some");
        return seed;
      });
      if (local.runs != 1 || result != seed) ++wrong_;
    } catch (const Failure&) {
      if (local.runs != 1 || seed % 8 != 0) ++wrong_;
    }
  }

  Random random_;
  std::atomic<int> wanted_{0}, run_{0}, seen_to_run_{0}, dropped_{0}, wrong_{0};
  std::atomic<int> posted_{0}, posted_run_{0};
  ThreadPool pool_;
  SchedulerThread first_, second_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(no_job_is_lost_or_run_twice_while_others_are_cancelled) {
  const std::uint64_t seed = stress_seed();
  BOOST_TEST_CONTEXT("WEFT_SEED=" << seed) {
    Stress stress(seed);
    stress.run();
    stress.check();
  }
}

BOOST_AUTO_TEST_SUITE_END()
