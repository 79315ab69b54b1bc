// Tasks, groups and their handles that cross between the schedulers of a runtime and plain threads
// at random, and locks whose waiters are cancelled at random.

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/crowd.h"
#include "tests/support/fixture.h"
#include "tests/support/random_work.h"
#include "weft/sync/condition_variable.h"
#include "weft/sync/mutex.h"
#include "weft/sync/queue.h"
#include "weft/sync/semaphore.h"

BOOST_AUTO_TEST_SUITE(tasks_cores_stress)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

constexpr unsigned kSchedulers = 4;

// A forest of tasks. A handle is joined, cancelled, detached or dropped where it was made, or given
// away, and that is done on another scheduler or thread.
class Forest {
 public:
  explicit Forest(unsigned seed) : random_(seed) {}

  void grow() {
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([this, seed = draw(random_)] {
        Random random(seed);
        for (Task<int>&& task : given_away_) {
          Task<int> taken = std::move(task);
          end(taken, random);
        }
      });
    }
    {
      TaskGroup takers;
      for (unsigned i = 0; i < kSchedulers; ++i) {
        takers.spawn([this, seed = draw(random_)] { take(seed); }, on(i));
      }
      TaskGroup trees;
      for (int tree = 0; tree < 10'000 / kScale; ++tree) {
        trees.spawn([this, seed = draw(random_)] { live_or_fail(4, seed); },
                    on(random_() % kSchedulers));
        if (tree % 50 == 49) sleep_for(1us);
      }
      trees.join();
      given_away_.close();
      takers.join();
    }
    for (auto& thread : threads) thread.join();
    while (present_ > 0) sleep_for(1ms);  // those that were detached
  }

  void check() const {
    BOOST_TEST(wrong_ == 0);
    BOOST_TEST(present_ == 0);
    for (const auto& count : {&results_, &failures_, &cancelled_, &detached_, &given_}) {
      BOOST_TEST(*count > 0);
    }
    std::printf("%d results, %d failures, %d cancelled, %d detached, %d given away\n",
                results_.load(), failures_.load(), cancelled_.load(), detached_.load(),
                given_.load());
  }

 private:
  static unsigned draw(Random& random) { return static_cast<unsigned>(random()); }

  static SpawnOptions anywhere(Random& random) {
    SpawnOptions options = on(random() % (kSchedulers + 1) % kSchedulers);
    options.eager = random() % 4 == 0;
    return options;
  }

  // What a task does: waits a bit, has children, and maybe fails. Returns its seed.
  int live(unsigned depth, unsigned seed) {
    Random random(seed);
    Scheduler* const home = &Scheduler::current();
    wait_a_bit(random);
    if (depth > 0) have_children(depth - 1, random);
    if (random() % 8 == 0) throw Failure("as it happens");
    wait_a_bit(random);
    wrong_ += &Scheduler::current() != home;
    return static_cast<int>(seed);
  }

  // The same, with failures counted, not thrown.
  void live_or_fail(unsigned depth, unsigned seed) {
    try {
      live(depth, seed);
    } catch (const Failure&) {
      ++failures_;
    }
  }

  void wait_a_bit(Random& random) {
    switch (random() % 8) {
      case 0:
        return sleep_for(Duration(random() % 50'000));
      case 1:
        return yield();
      case 2:
        try {
          with_timeout(Duration(random() % 20'000), [] { sleep_for(1h); });
        } catch (const TimeoutError&) {
        }
        return;
      case 3:
        return shield([] { yield(); });
      default:
        return;
    }
  }

  void have_children(unsigned depth, Random& random) {
    if (random() % 3 == 0) return have_group(depth, random);
    std::vector<Task<int>> children;
    for (unsigned i = random() % 4; i > 0; --i) {
      auto child = [this, depth, seed = draw(random), present = Present(present_)] {
        return live(depth, seed);
      };
      children.push_back(spawn(std::move(child), anywhere(random)));
    }
    for (auto& child : children) {
      if (random() % 3 > 0 || !give_away(child)) end(child, random);
    }
  }

  void have_group(unsigned depth, Random& random) {
    TaskGroup group;
    for (unsigned i = random() % 4; i > 0; --i) {
      auto child = [this, depth, seed = draw(random), present = Present(present_)] {
        seed % 2 ? (void)live(depth, seed) : live_or_fail(depth, seed);
      };
      try {
        group.spawn(std::move(child), anywhere(random));
      } catch (const Failure&) {
        throw;
      } catch (const std::runtime_error&) {  // one has failed already
        break;
      }
    }
    if (random() % 4 == 0) group.cancel();
    try {
      group.join();
    } catch (const Failure&) {
      ++failures_;
    }
  }

  bool give_away(Task<int>& task) {
    try {
      if (!given_away_.try_push(std::move(task))) return false;
      ++given_;
      return true;
    } catch (const QueueClosed&) {
      return false;
    }
  }

  void take(unsigned seed) {
    Random random(seed);
    for (Task<int>&& task : given_away_) {
      Task<int> taken = std::move(task);
      end(taken, random);
    }
  }

  // What may be done with a handle.
  void end(Task<int>& task, Random& random) {
    const unsigned choice = random() % 6;
    if (choice == 0 && !task.done()) return detach(task);
    if (choice <= 2) task.cancel();
    if (choice == 3) task.wait_for(Duration(random() % 50'000));
    if (choice == 4 && random() % 2) task.cancel();
    try {
      task.get();
      ++results_;
    } catch (const Failure&) {
      ++failures_;
    } catch (const TaskCancelled&) {
      ++cancelled_;
    }
  }

  void detach(Task<int>& task) {
    ++detached_;
    task.detach();
  }

  Random random_;
  Queue<Task<int>> given_away_{100};
  std::atomic<int> present_{0}, wrong_{0};
  std::atomic<int> results_{0}, failures_{0}, cancelled_{0}, detached_{0}, given_{0};
};

// A bounded buffer made of a mutex and two conditions, entered by so many at a time.
class Buffer {
 public:
  bool put(int item, TimePoint deadline) {
    return enter(
        deadline, not_full_, [&] { return items_.size() < 3; }, [&] { items_.push_back(item); },
        not_empty_);
  }
  std::optional<int> take(TimePoint deadline) {
    std::optional<int> item;
    const auto pop = [&] {
      item = items_.front();
      items_.pop_front();
    };
    enter(
        deadline, not_empty_, [&] { return !items_.empty(); }, pop, not_full_);
    return item;
  }

  // When nobody is inside.
  void check() {
    int permits = 0;
    while (permits_.try_acquire()) ++permits;
    BOOST_TEST(permits == 5);
    BOOST_TEST(mutex_.try_lock());
    mutex_.unlock();
    BOOST_TEST(clashes_ == 0);
  }

 private:
  template <class Condition, class Change>
  bool enter(TimePoint deadline, ConditionVariable& wanted, Condition condition, Change change,
             ConditionVariable& changed) {
    if (!permits_.try_acquire_until(deadline)) return false;
    struct Leave {
      ~Leave() { permits.release(); }
      Semaphore& permits;
    } const leave{permits_};
    std::unique_lock lock(mutex_, deadline);
    if (!lock) return false;
    if (!wanted.wait_until(lock, deadline, condition)) return false;
    clashes_ += inside_++ != 0;
    change();
    --inside_;
    changed.notify_one();
    return true;
  }

  Semaphore permits_{5};
  Mutex mutex_;
  ConditionVariable not_full_, not_empty_;
  std::deque<int> items_;
  int inside_ = 0;  // not atomic: the mutex orders the accesses
  std::atomic<int> clashes_{0};
};

}  // namespace

BOOST_AUTO_TEST_CASE(tasks_end_once_wherever_their_handles_go) {
  BOOST_TEST_CONTEXT("WEFT_SEED=" << stress_seed()) {
    run_real_time_case(
        [] {
          // Of those that are detached, or dropped because a parent was cancelled.
          const auto expect_failure = [](std::exception_ptr exception) {
            try {
              std::rethrow_exception(exception);
            } catch (const Failure&) {
            }
          };
          spread([&] { Scheduler::current().set_exception_handler(expect_failure); });
          Forest forest(stress_seed());
          forest.grow();
          forest.check();
        },
        {.threads = kSchedulers});
  }
}

BOOST_AUTO_TEST_CASE(locks_lose_nothing_while_those_who_wait_are_cancelled) {
  constexpr int kWanted = 40'000 / kScale;
  BOOST_TEST_CONTEXT("WEFT_SEED=" << stress_seed()) {
    run_real_time_case(
        [] {
          Buffer buffer;
          std::atomic<int> put{0}, taken{0}, in_vain{0};
          const auto use = [&](TimePoint deadline, unsigned draw) {
            if (draw % 2 == 0) return buffer.put(7, deadline) && ++put;
            return buffer.take(deadline) == 7 && ++taken;
          };
          const auto use_often = [&](unsigned seed, bool in_fiber) {
            Random random(seed);
            while (put < kWanted || taken < kWanted) {
              const unsigned draw = static_cast<unsigned>(random());
              const unsigned choice = random() % 8;
              bool done = false;
              if (choice == 0 && in_fiber) {
                auto task = spawn([&] { done = use(kForever, draw); }, {.on = round_robin()});
                for (unsigned pause = random() % 8; pause > 0; --pause) yield();
                task.cancel();
                task.wait();
              } else {
                done = use(Clock::now() + Duration(random() % 200'000), draw);
              }
              if (!done) ++in_vain;
            }
          };
          std::thread one(use_often, stress_seed() + 1, false),
              two(use_often, stress_seed(), false);
          spread([&](std::size_t i) {
            TaskGroup group;
            for (unsigned fiber = 0; fiber < 4; ++fiber) {
              const unsigned seed = stress_seed() + static_cast<unsigned>(i) * 4 + fiber + 2;
              group.spawn([&, seed] { use_often(seed, true); });
            }
            group.join();
          });
          one.join();
          two.join();
          while (buffer.take(kPast)) ++taken;
          BOOST_TEST(put == taken);
          BOOST_TEST(in_vain > 0);
          buffer.check();
        },
        {.threads = kSchedulers});
  }
}

BOOST_AUTO_TEST_SUITE_END()
