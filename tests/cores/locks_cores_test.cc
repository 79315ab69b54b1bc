// Mutex and SharedMutex between the schedulers of a runtime and plain threads.

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/cores.h"
#include "tests/support/crowd.h"
#include "tests/support/together.h"
#include "weft/sync/mutex.h"
#include "weft/sync/shared_mutex.h"

BOOST_AUTO_TEST_SUITE(locks_cores)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

bool is_free(Mutex& mutex) {
  if (!mutex.try_lock()) return false;
  mutex.unlock();
  return true;
}

bool is_free(SharedMutex& mutex) {
  if (!mutex.try_lock()) return false;
  mutex.unlock();
  return true;
}

}  // namespace

// ---- Mutex --------------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(a_mutex_goes_to_whoever_waited_longest_on_whatever_scheduler) {
  Mutex mutex;
  std::string order;
  mutex.lock();
  std::vector<Task<void>> tasks;
  for (const std::size_t i : {2, 0, 1, 1, 2, 0}) {
    tasks.push_back(spawn_in_turn(i, [&, i] {
      for (int turn = 0; turn < 2; ++turn) {
        const std::lock_guard lock(mutex);
        order += static_cast<char>('0' + i);
        sleep_for(1s);
      }
    }));
  }
  mutex.unlock();
  for (auto& task : tasks) task.get();
  BOOST_TEST(order == "201120201120");
}

WEFT_CORES_TEST_CASE(nobody_who_waits_overtakes_the_next_owner_before_that_one_has_run) {
  Mutex mutex;
  bool owned = false;
  mutex.lock();
  auto next = spawn_in_turn(1, [&] {
    mutex.lock();
    owned = mutex.is_held();
    mutex.unlock();
  });
  {
    const Stopped stopped(1);
    mutex.unlock();
    const auto in_vain = [&] {
      bool held = false;
      try {
        mutex.unlock();
      } catch (const std::logic_error&) {
        held = true;
      }
      return held && !mutex.try_lock_for(0s) && !mutex.is_held();
    };
    BOOST_TEST(in_vain());
    BOOST_TEST(spawn(in_vain, on(2)).get());
  }
  next.get();
  BOOST_TEST(owned);
  BOOST_TEST(is_free(mutex));
}

WEFT_CORES_TEST_CASE(only_the_fiber_that_locked_it_can_unlock_it) {
  Mutex mutex;
  const auto refused = [&] {
    try {
      mutex.unlock();
      return false;
    } catch (const std::logic_error&) {
      return !mutex.is_held();
    }
  };
  auto holder = spawn_in_turn(1, [&] {
    const std::lock_guard lock(mutex);
    sleep_for(1h);
  });
  for (const bool all_refused : spread(refused)) BOOST_TEST(all_refused);
  bool thread_refused = false;
  std::thread([&] { thread_refused = refused(); }).join();
  BOOST_TEST(thread_refused);
  BOOST_TEST(!mutex.try_lock());
  holder.get();
  BOOST_TEST(is_free(mutex));
}

WEFT_CORES_TEST_CASE(a_try_for_a_mutex_of_another_scheduler_ends_in_time) {
  Mutex mutex;
  auto holder = spawn_in_turn(1, [&] {
    const std::lock_guard lock(mutex);
    sleep_for(2500ms);
  });
  const TimePoint start = now();
  const std::vector<bool> got = spread([&](std::size_t i) {
    const bool locked = mutex.try_lock_for((1 + i) * 1s);  // the last one until it is free
    if (locked) mutex.unlock();
    return locked;
  });
  BOOST_TEST((now() < start + 3s));
  BOOST_TEST((!got[0] && !got[1] && got[2]));
  holder.get();
  BOOST_TEST(is_free(mutex));
}

WEFT_CORES_TEST_CASE(whoever_was_handed_a_mutex_before_it_was_cancelled_owns_it) {
  Mutex mutex;
  std::atomic<bool> owned{false}, went_on{false};
  mutex.lock();
  auto task = spawn_in_turn(1, [&] {
    const std::lock_guard lock(mutex);
    owned = mutex.is_held();
    yield();
    went_on = true;
  });
  auto next = spawn_in_turn(2, [&] { const std::lock_guard lock(mutex); });
  {
    const Stopped stopped(1);
    mutex.unlock();
    task.cancel();
  }
  BOOST_TEST((end_of(task) == End::kCancelled));
  next.get();
  BOOST_TEST((owned && !went_on));
  BOOST_TEST(is_free(mutex));
}

WEFT_CORES_TEST_CASE(a_mutex_that_is_unlocked_while_its_waiter_is_cancelled_is_not_lost) {
  int ends[2] = {};
  for (int round = 0; round < kRounds; ++round) {
    Mutex mutex;
    mutex.lock();
    auto waiter = spawn_in_turn(1, [&] { const std::lock_guard lock(mutex); });
    const End end = give_while_cancelled(round, waiter, [&] { mutex.unlock(); });
    ++ends[static_cast<int>(end)];
    BOOST_REQUIRE(is_free(mutex));
  }
  BOOST_TEST(ends[0] > 0);
  BOOST_TEST(ends[1] > 0);
}

WEFT_CORES_TEST_CASE(a_mutex_that_is_unlocked_when_the_time_of_others_is_over_is_not_lost) {
  std::atomic<int> got{0}, missed{0};
  for (int round = 0; round < kRounds / 4; ++round) {
    Mutex mutex;
    const TimePoint instant = now() + 1s;
    TaskGroup group;
    auto holder = spawn_in_turn(round % 3, [&] {
      const std::lock_guard lock(mutex);
      sleep_until(instant);
    });
    for (int i = 0; i < 6; ++i) {
      group.spawn(
          [&, i] {
            const std::unique_lock lock(mutex, instant + (i == 5) * 1ms);
            ++(lock.owns_lock() ? got : missed);
          },
          on(i % 3));
    }
    holder.get();
    group.join();
    BOOST_REQUIRE(is_free(mutex));
  }
  BOOST_TEST(got > 0);
  BOOST_TEST(missed > 0);
}

WEFT_CORES_TEST_CASE(a_mutex_may_be_destroyed_by_its_last_owner_on_another_scheduler) {
  for (int round = 0; round < kRounds; ++round) {
    auto owned = std::make_unique<Mutex>();
    Mutex& mutex = *owned;
    mutex.lock();
    auto last = spawn(
        [&] {
          mutex.lock();
          mutex.unlock();
          owned.reset();
        },
        on(1 + round % 2));
    round % 4 < 2 ? run_until_blocked() : yield();
    mutex.unlock();
    last.get();
    BOOST_REQUIRE(!owned);
  }
}

WEFT_CORES_TEST_CASE(a_mutex_excludes_fibers_of_all_schedulers_and_threads) {
  Mutex mutex;
  int inside = 0, count = 0;  // not atomic: the mutex orders the accesses
  std::atomic<int> clashes{0};
  const auto use = [&] {
    for (int turn = 0; turn < kRounds; ++turn) {
      const std::lock_guard lock(mutex);
      clashes += inside++ != 0;
      if (turn % 8 == 0) yield();
      ++count;
      --inside;
    }
  };
  std::thread one(use), two(use);
  spread([&] { gather(use, use); });
  one.join();
  two.join();
  BOOST_TEST(clashes == 0);
  BOOST_TEST(count == 8 * kRounds);
}

WEFT_CORES_TEST_CASE(what_was_offered_to_another_scheduler_is_taken_before_that_has_run) {
  Mutex mutex;
  std::string order;
  mutex.lock();
  const auto note = [&](char name) {
    return [&, name] {
      const std::lock_guard lock(mutex);
      order += name;
    };
  };
  auto heir = spawn_in_turn(1, note('h'));
  auto next = spawn_in_turn(2, note('n'));
  {
    const Stopped stopped(1);
    mutex.unlock();
    BOOST_TEST(spawn([&] { return !mutex.try_lock_for(0s) && !mutex.is_held(); }, on(2)).get());
    BOOST_TEST(mutex.try_lock());
    BOOST_TEST(mutex.is_held());
    mutex.unlock();
    BOOST_TEST(mutex.try_lock());
  }
  run_until_blocked();
  BOOST_TEST(order == "");
  mutex.unlock();
  heir.get();
  next.get();
  BOOST_TEST(order == "hn");
  BOOST_TEST(is_free(mutex));
}

namespace {

auto acquiring(Semaphore& semaphore, char name, std::string& order) {
  return [&semaphore, name, &order] {
    semaphore.acquire();
    order += name;
  };
}

}  // namespace

WEFT_CORES_TEST_CASE(one_passed_over_that_waits_again_comes_before_a_later_one_that_has_not_run) {
  Semaphore semaphore(0);
  std::string order;
  auto a = spawn_in_turn(1, acquiring(semaphore, 'a', order));
  auto b = spawn_in_turn(2, acquiring(semaphore, 'b', order));
  {
    std::optional<Stopped> first(std::in_place, 1);
    const Stopped second(2);
    semaphore.release(2);
    BOOST_TEST((semaphore.try_acquire() && semaphore.try_acquire()));
    first.reset();
    spawn([] {}, on(1)).get();  // until `a` waits again
    semaphore.release();
    spawn([] {}, on(1)).get();
    BOOST_TEST(order == "a");
  }
  semaphore.release();
  a.get();
  b.get();
  BOOST_TEST(order == "ab");
}

// Of two offers the later one is firm, so that the earlier one is taken first.
WEFT_CORES_TEST_CASE(offers_that_are_taken_out_of_order_are_made_again_in_order) {
  for (const bool first_again : {true, false}) {
    Semaphore semaphore(0);
    std::string order;
    auto a = spawn_in_turn(1, acquiring(semaphore, 'a', order));
    auto b = spawn_in_turn(0, acquiring(semaphore, 'b', order));
    {
      const Stopped stopped(1);
      semaphore.release(2);
      for (int i = 0; i < Heir::kMostPassedOver; ++i) {
        BOOST_TEST(semaphore.try_acquire());  // the offer of `b`, which is the last
        yield();                              // `b` waits again
        semaphore.release();
      }
      BOOST_TEST(semaphore.try_acquire());    // that of `a`
      if (first_again) semaphore.release();   // to `a`, before `b`
      BOOST_TEST(semaphore.try_acquire());    // that of `b`, by the second try in a row
      if (!first_again) semaphore.release();  // to `a`, the first of those passed over
      yield();
      BOOST_REQUIRE(order == "");
    }
    a.get();
    semaphore.release();
    b.get();
    BOOST_TEST(order == "ab");
  }
}

namespace {

// Fibers of all schedulers, and plain threads, lock two together, in opposite orders.
template <class M>
void lock_two_everywhere() {
  M a, b;
  int inside = 0, count = 0;  // not atomic: the locks order the accesses
  std::atomic<int> clashes{0};
  const auto use = [&](std::size_t self) {
    for (int turn = 0; turn < kRounds; ++turn) {
      const bool swapped = (turn + self) % 2;
      const std::scoped_lock both(swapped ? b : a, swapped ? a : b);
      clashes += inside++ != 0;
      if (turn % 4 == 0) yield();
      ++count;
      --inside;
    }
  };
  std::thread one(use, 0), two(use, 1);
  spread([&](std::size_t i) { gather([&] { use(i); }, [&] { use(i + 1); }); });
  one.join();
  two.join();
  BOOST_TEST(clashes == 0);
  BOOST_TEST(count == 8 * kRounds);
  a.lock();
  a.unlock();
  b.lock();
  b.unlock();
}

}  // namespace

WEFT_CORES_TEST_CASE(fibers_of_all_schedulers_and_threads_lock_two_in_opposite_orders) {
  lock_two_everywhere<Mutex>();
  lock_two_everywhere<SharedMutex>();
  lock_two_everywhere<Permit>();
}

WEFT_CORES_TEST_CASE(philosophers_of_all_schedulers_and_threads_all_eat) {
  std::array<Mutex, 5> forks;
  std::array<int, 5> used{};  // not atomic: the forks order the accesses
  std::atomic<int> meals{0}, clashes{0};
  const auto dine = [&](std::size_t i) {
    for (int turn = 0; turn < kRounds / 10; ++turn) {
      const std::size_t left = (i + static_cast<std::size_t>(turn)) % 5, right = (left + 1) % 5;
      const std::scoped_lock both(forks[left], forks[right]);
      clashes += used[left]++ != 0 || used[right]++ != 0;
      if (turn % 4 == 0) yield();
      --used[left];
      --used[right];
      ++meals;
    }
  };
  std::thread one(dine, 0), two(dine, 3);
  TaskGroup group;
  for (std::size_t i = 0; i < 30; ++i) {
    group.spawn([&, i] { dine(i); }, on(i % 3));
  }
  group.join();
  one.join();
  two.join();
  BOOST_TEST(clashes == 0);
  BOOST_TEST(meals == 32 * (kRounds / 10));
}

// ---- SharedMutex --------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(readers_of_all_schedulers_hold_it_at_once) {
  SharedMutex mutex;
  Barrier inside(4);
  std::thread thread([&] {
    const std::shared_lock lock(mutex);
    inside.arrive_and_wait();
  });
  spread([&] {
    const std::shared_lock lock(mutex);
    inside.arrive_and_wait();
  });
  thread.join();
  BOOST_TEST(is_free(mutex));
}

WEFT_CORES_TEST_CASE(readers_and_writers_of_all_schedulers_come_in_order) {
  SharedMutex mutex;
  std::array<std::atomic<int>, 6> at{};  // when they got it, in seconds
  const TimePoint start = now() + 1s;
  mutex.lock();
  std::vector<Task<void>> tasks;
  const char kinds[] = "rrwrrw";
  for (std::size_t i = 0; i < 6; ++i) {
    tasks.push_back(spawn_in_turn(i % 3, [&, i, kind = kinds[i]] {
      kind == 'r' ? mutex.lock_shared() : mutex.lock();
      at[i] = static_cast<int>((now() - start) / 1s);
      sleep_for(10s);
      kind == 'r' ? mutex.unlock_shared() : mutex.unlock();
    }));
  }
  BOOST_TEST(!mutex.try_lock_shared());
  sleep_until(start);
  mutex.unlock();
  for (auto& task : tasks) task.get();
  const std::array<int, 6> expected = {0, 0, 10, 20, 20, 30};
  for (std::size_t i = 0; i < 6; ++i) BOOST_TEST(at[i] == expected[i], "the one of place " << i);
  BOOST_TEST(is_free(mutex));
}

WEFT_CORES_TEST_CASE(a_writer_that_gives_up_lets_in_the_readers_of_other_schedulers) {
  for (const bool by_time : {true, false}) {
    SharedMutex mutex;
    std::atomic<int> readers{0};
    mutex.lock_shared();
    auto writer = spawn_in_turn(1, [&] {
      if (!by_time) mutex.lock();
      if (mutex.try_lock_for(1s)) mutex.unlock();
    });
    TaskGroup group;
    for (int i = 0; i < 6; ++i) {
      group.spawn(
          [&] {
            const std::shared_lock lock(mutex);
            ++readers;
          },
          on(i % 3));
    }
    run_until_blocked();
    BOOST_TEST(readers == 0);
    by_time ? sleep_for(2s) : writer.cancel();
    group.join();
    BOOST_TEST(readers == 6);
    writer.wait();
    mutex.unlock_shared();
    BOOST_TEST(is_free(mutex));
  }
}

WEFT_CORES_TEST_CASE(readers_see_what_writers_of_other_schedulers_have_done_as_a_whole) {
  SharedMutex mutex;
  int first = 0, second = 0;
  std::atomic<int> torn{0};
  const auto use = [&](std::size_t self) {
    for (int turn = 0; turn < kRounds; ++turn) {
      if ((turn + self) % 4 == 0) {
        const std::unique_lock lock(mutex, now() + (turn % 8 ? 1h : 0h));
        if (!lock) continue;
        ++first;
        yield();
        ++second;
      } else {
        const std::shared_lock lock(mutex);
        torn += first != second;
      }
    }
  };
  std::thread thread(use, 3);
  spread(use);
  thread.join();
  BOOST_TEST(torn == 0);
  BOOST_TEST(first > 0);
  BOOST_TEST(is_free(mutex));
}

BOOST_AUTO_TEST_SUITE_END()
