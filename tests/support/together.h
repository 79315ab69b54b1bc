// Fibers that need several locks at once, in different orders, and take them by trying.
#ifndef WEFT_TESTS_SUPPORT_TOGETHER_H_
#define WEFT_TESTS_SUPPORT_TOGETHER_H_

#include <array>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "tests/support/fixture.h"
#include "weft/sync/core/contended_word.h"
#include "weft/sync/semaphore.h"

namespace weft::test {

using namespace internal;

// A lock that counts the tries that fail, and throws when they are too many: a livelock so fails a
// test, which would hang otherwise. A try that fails is part of the game: it is one for each lock
// that somebody holds across a wait.
template <class M>
class Counted {
 public:
  void lock() { lock_.lock(); }
  bool try_lock() { return counted(lock_.try_lock()); }
  void unlock() { lock_.unlock(); }
  void lock_shared() { lock_.lock_shared(); }
  bool try_lock_shared() { return counted(lock_.try_lock_shared()); }
  void unlock_shared() { lock_.unlock_shared(); }

  int failed() const { return failed_; }

 private:
  bool counted(bool got) {
    if (!got && ++failed_ > 1000) throw std::runtime_error("a thousand tries have failed");
    return got;
  }

  M lock_;
  int failed_ = 0;
};

// One permit, as a lock.
class Permit {
 public:
  void lock() { semaphore_.acquire(); }
  bool try_lock() { return semaphore_.try_acquire(); }
  void unlock() { semaphore_.release(); }

 private:
  Semaphore semaphore_{1};
};

// Another library's lock: a waiter polls.
class ForeignLock {
 public:
  void lock() {
    while (!try_lock()) sleep_for(std::chrono::microseconds(1));
  }
  bool try_lock() { return !std::exchange(held_, true); }
  void unlock() { held_ = false; }

 private:
  bool held_ = false;
};

// Lets one at a time in, and notices if there are two.
class Room {
 public:
  void stay() {
    BOOST_TEST(inside_++ == 0);
    sleep_for(std::chrono::milliseconds(1));
    BOOST_TEST(--inside_ == 0);
    ++visits_;
  }
  int visits() const { return visits_; }

 private:
  int inside_ = 0;
  int visits_ = 0;
};

template <class A, class B>
void lock_two_in_opposite_orders(int fibers) {
  Counted<A> a;
  Counted<B> b;
  Room room;
  TaskGroup group;
  const TimePoint start = now();
  for (int i = 0; i < fibers; ++i) {
    group.spawn([&, i] {
      if (i % 2) {
        const std::scoped_lock both(b, a);
        room.stay();
      } else {
        const std::scoped_lock both(a, b);
        room.stay();
      }
    });
  }
  group.join();
  BOOST_TEST(room.visits() == fibers);
  BOOST_TEST((now() - start < (fibers + 1) * std::chrono::milliseconds(1)));  // nobody was idle
}

template <class M>
void lock_three_in_rotation() {
  std::array<Counted<M>, 3> locks;
  Room room;
  TaskGroup group;
  for (std::size_t i = 0; i < 7; ++i) {
    group.spawn([&, i] {
      for (int turn = 0; turn < 3; ++turn) {
        const std::scoped_lock all(locks[i % 3], locks[(i + 1) % 3], locks[(i + 2) % 3]);
        room.stay();
      }
    });
  }
  group.join();
  BOOST_TEST(room.visits() == 21);
}

template <class M>
void transfer_between_accounts() {
  struct Account {
    Counted<M> lock;
    int balance = 100;
  };
  std::array<Account, 10> accounts;
  TaskGroup group;
  for (std::size_t i = 0; i < 100; ++i) {
    group.spawn([&, i] {
      Account& from = accounts[i * 7 % 10];
      Account& to = accounts[(i * 7 + 1 + i % 9) % 10];
      const std::scoped_lock both(from.lock, to.lock);
      const int left = from.balance - 10;
      const int had = to.balance;
      sleep_for(std::chrono::milliseconds(1));
      from.balance = left;
      to.balance = had + 10;
    });
  }
  group.join();
  int sum = 0;
  for (const Account& account : accounts) sum += account.balance;
  BOOST_TEST(sum == 1000);
}

template <class M>
void dine() {
  std::array<Counted<M>, 5> forks;
  std::array<int, 5> used{};
  int meals = 0;
  TaskGroup group;
  for (std::size_t i = 0; i < 100; ++i) {
    group.spawn([&, i] {
      const std::size_t left = i % 5, right = (i + 1) % 5;
      const std::scoped_lock both(forks[left], forks[right]);
      BOOST_TEST((used[left]++ == 0 && used[right]++ == 0));
      sleep_for(std::chrono::milliseconds(1));
      --used[left];
      --used[right];
      ++meals;
    });
  }
  group.join();
  BOOST_TEST(meals == 100);
}

// Locks the first, tries the second, and backs off.
template <class A, class B>
void lock_by_backing_off(A& first, B& second, bool yields) {
  for (;;) {
    first.lock();
    if (second.try_lock()) return;
    first.unlock();
    if (yields) yield();
  }
}

template <class M>
void back_off(bool yields) {
  Counted<M> a, b;
  Room room;
  TaskGroup group;
  for (int i = 0; i < 7; ++i) {
    group.spawn([&, i] {
      for (int turn = 0; turn < 5; ++turn) {
        lock_by_backing_off(i % 2 ? b : a, i % 2 ? a : b, yields);
        room.stay();
        a.unlock();
        b.unlock();
      }
    });
  }
  group.join();
  BOOST_TEST(room.visits() == 35);
}

// Tries over and over, and keeps what it gets for a turn of the others.
template <class M>
Task<void> keep_trying(M& lock, int& taken) {
  return spawn(
      [&] {
        for (;;) {
          const std::unique_lock held(lock, std::try_to_lock);
          taken += held.owns_lock();
          yield();
          // Unlocks, and tries again at once.
        }
      },
      {.eager = true});
}

template <class M>
void wait_beside_one_that_keeps_trying() {
  M lock;
  int taken = 0, taken_before = -1;
  lock.lock();
  auto waiter = spawn(
      [&] {
        const std::lock_guard held(lock);
        taken_before = taken;
      },
      {.eager = true});
  const auto trying = keep_trying(lock, taken);
  lock.unlock();
  waiter.get();
  BOOST_TEST(taken_before == Heir::kMostPassedOver);
}

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_TOGETHER_H_
