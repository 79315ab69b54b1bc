#include "weft/sync/condition_variable.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/bound.h"
#include "tests/support/crowd.h"
#include "tests/support/fixture.h"
#include "weft/fiber/core/loop.h"

BOOST_AUTO_TEST_SUITE(condition_variable)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

using Lock = std::unique_lock<Mutex>;

bool is_free(Mutex& mutex) { return Lock(mutex, std::try_to_lock).owns_lock(); }

// What a fiber does that waits to be notified, and then does f() with the mutex held.
template <class F>
auto notified(Mutex& mutex, ConditionVariable& changed, F f) {
  return [&mutex, &changed, f] {
    Lock lock(mutex);
    changed.wait(lock);
    f();
  };
}

// Lets timers expire before any fiber runs.
void expire_timers(TimePoint until) {
  while (Timer* timer = Loop::here()->timers().pop_expired(until)) timer->expire();
}

}  // namespace

WEFT_SHUFFLED_TEST_CASE(a_wait_releases_the_mutex_and_comes_back_with_it) {
  Mutex mutex;
  ConditionVariable changed;
  bool back = false;
  auto waiter = spawn_now([&] {
    Lock lock(mutex);
    changed.wait(lock);
    back = true;
    BOOST_TEST((lock.owns_lock() && mutex.is_held()));
    run_until_blocked();
  });
  Lock lock(mutex, std::try_to_lock);
  BOOST_TEST(lock.owns_lock());
  changed.notify_one();
  run_until_blocked();
  BOOST_TEST(!back);
  lock.unlock();
  yield();
  waiter.get();
  BOOST_TEST(back);
  BOOST_TEST(is_free(mutex));
}

WEFT_TEST_CASE(one_notification_wakes_whoever_waited_longest_and_nobody_else) {
  for (const bool with_mutex : {true, false}) {
    Mutex mutex;
    ConditionVariable changed;
    std::string order;
    TaskGroup group;
    for (const char name : {'a', 'b', 'c', 'd'}) {
      spawn_now(group, notified(mutex, changed, [&, name] { order += name; }));
    }
    const auto notify = [&](bool all) {
      Lock lock(mutex, std::defer_lock);
      if (with_mutex) lock.lock();
      all ? changed.notify_all() : changed.notify_one();
    };
    notify(false);
    run_until_blocked();
    BOOST_TEST(order == "a");
    notify(false);
    run_until_blocked();
    BOOST_TEST(order == "ab");
    notify(true);
    group.join();
    BOOST_TEST(order == "abcd");
  }
}

WEFT_SHUFFLED_TEST_CASE(a_notification_that_nobody_waits_for_is_nothing) {
  Mutex mutex;
  ConditionVariable changed;
  changed.notify_one();
  changed.notify_all();
  Lock lock(mutex);
  BOOST_TEST((changed.wait_for(lock, 1s) == std::cv_status::timeout));
}

// ---- Conditions ---------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_condition_is_asked_with_the_mutex_held_until_it_is_true) {
  Mutex mutex;
  ConditionVariable changed;
  int value = 0, asked = 0;
  const auto is_three = [&] {
    BOOST_TEST(mutex.is_held());
    ++asked;
    return value == 3;
  };
  auto waiter = spawn_now([&] {
    Lock lock(mutex);
    changed.wait(lock, is_three);
    BOOST_TEST(value == 3);
    BOOST_TEST(changed.wait_for(lock, 1s, is_three));
    BOOST_TEST(changed.wait_until(lock, kPast, is_three));
  });
  for (int i = 0; i < 3; ++i) {
    BOOST_TEST(asked == i + 1);
    {
      const Lock lock(mutex);
      ++value;
    }
    changed.notify_one();
    run_until_blocked();
  }
  waiter.get();
  BOOST_TEST(asked == 6);
}

WEFT_SHUFFLED_TEST_CASE(a_condition_has_the_last_word_when_the_time_is_over) {
  Mutex mutex;
  ConditionVariable changed;
  bool flag = false;
  const auto get = [&] { return flag; };
  const TimePoint start = now();
  Lock lock(mutex);
  BOOST_TEST(!changed.wait_for(lock, 1s, get));
  BOOST_TEST((now() == start + 1s));
  auto setter = spawn([&] {
    sleep_for(1s);
    flag = true;  // and tells nobody
  });
  BOOST_TEST(changed.wait_until(lock, start + 3s, get));
  BOOST_TEST((now() == start + 3s));
  BOOST_TEST(lock.owns_lock());
  setter.get();
  auto notifier = spawn([&] {
    for (int i = 0; i < 4; ++i) {
      sleep_for(300ms);
      changed.notify_all();
    }
  });
  flag = false;
  BOOST_TEST(!changed.wait_for(lock, 1s, get));  // of all its waits together
  BOOST_TEST((now() == start + 4s));
}

WEFT_SHUFFLED_TEST_CASE(what_a_condition_throws_comes_out_with_the_mutex_held) {
  Mutex mutex;
  ConditionVariable changed;
  auto waiter = spawn_now([&] {
    Lock lock(mutex);
    bool first = true;
    const auto condition = [&] {
      if (!std::exchange(first, false)) throw std::runtime_error("no");
      return false;
    };
    BOOST_CHECK_THROW(changed.wait(lock, condition), std::runtime_error);
    BOOST_TEST((lock.owns_lock() && mutex.is_held()));
  });
  changed.notify_one();
  waiter.get();
  BOOST_TEST(is_free(mutex));
}

// ---- Timeouts -----------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_wait_ends_when_its_time_is_over_with_the_mutex_held) {
  Mutex mutex;
  ConditionVariable changed;
  const TimePoint start = now();
  Lock lock(mutex);
  for (const Duration time : {Duration::min(), Duration(-1s), Duration(0)}) {
    BOOST_TEST((changed.wait_for(lock, time) == std::cv_status::timeout));
    BOOST_TEST(mutex.is_held());
  }
  BOOST_TEST((changed.wait_until(lock, kPast) == std::cv_status::timeout));
  BOOST_TEST((now() == start));
  BOOST_TEST((changed.wait_for(lock, 1s) == std::cv_status::timeout));
  BOOST_TEST((now() == start + 1s));
  BOOST_CHECK_THROW(with_timeout(1s, [&] { changed.wait(lock); }), TimeoutError);
  BOOST_TEST((now() == start + 2s));
  BOOST_TEST((lock.owns_lock() && mutex.is_held()));
  auto notifier = spawn([&] { changed.notify_one(); });
  BOOST_TEST((changed.wait_for(lock, 1s) == std::cv_status::no_timeout));
  BOOST_TEST((now() == start + 2s));
  BOOST_TEST(Loop::here()->timers().empty());
}

WEFT_SHUFFLED_TEST_CASE(the_time_for_locking_again_does_not_count) {
  Mutex mutex;
  ConditionVariable changed;
  const TimePoint start = now();
  auto waiter = spawn_now([&] {
    Lock lock(mutex);
    BOOST_CHECK_THROW(with_timeout(2s,
                                   [&] {
                                     const auto result = changed.wait_for(lock, 1s);
                                     BOOST_TEST((result == std::cv_status::timeout));
                                     BOOST_TEST((now() == start + 1h));
                                     BOOST_TEST(mutex.is_held());
                                     yield();
                                   }),
                      TimeoutError);
  });
  {
    const Lock lock(mutex);
    sleep_for(1h);
  }
  waiter.get();
}

WEFT_TEST_CASE(a_notification_beats_a_timeout_that_comes_later_and_goes_on_after_an_earlier_one) {
  for (const bool notify_first : {true, false}) {
    Mutex mutex;
    ConditionVariable changed;
    std::string log;
    const auto wait = [&](TimePoint deadline) {
      Lock lock(mutex);
      log += changed.wait_until(lock, deadline) == std::cv_status::timeout ? 't' : 'n';
    };
    const TimePoint soon = now() + 1s;
    auto first = spawn_now([&] { wait(soon); });
    auto second = spawn_now([&] { wait(kForever); });
    if (notify_first) changed.notify_one();
    expire_timers(soon);
    if (!notify_first) changed.notify_one();
    run_until_blocked();
    BOOST_TEST(log == (notify_first ? "n" : "tn"));
    changed.notify_all();
    first.get();
    second.get();
  }
}

// Each of these takes an item if there is one when it comes back.
// Boost.Fiber lost notifications to timeouts (its #212 and #251).
BOOST_AUTO_TEST_CASE(no_notification_is_lost_to_those_who_give_up_at_the_same_instant) {
  int taken = 0, timed_out = 0, cancelled = 0;
  run_shuffled([&] {
    Mutex mutex;
    ConditionVariable changed;
    const TimePoint instant = now() + 1s;
    int items = 0;
    std::vector<Task<void>> tasks, others;
    for (int i = 0; i < 12; ++i) {
      tasks.push_back(spawn([&, i] {
        if (i % 2) sleep_until(instant);
        Lock lock(mutex);
        try {
          const bool there =
              changed.wait_until(lock, i % 3 ? instant : kForever, [&] { return items > 0; });
          there ? (--items, ++taken) : ++timed_out;
        } catch (const Cancelled&) {
          ++cancelled;
        }
        BOOST_TEST(mutex.is_held());
      }));
    }
    for (int i = 0; i < 12; ++i) {
      others.push_back(spawn([&, i] {
        sleep_until(instant);
        if (i % 4 == 0) return tasks[i].cancel();
        if (i % 4 == 1) return;
        const Lock lock(mutex);
        ++items;
        changed.notify_one();
      }));
    }
    for (auto& other : others) other.get();
    run_until_blocked();
    for (const auto& task : tasks) BOOST_TEST((task.done() || items == 0));
    items += 12;
    changed.notify_all();
    for (auto& task : tasks) task.wait();
    BOOST_TEST(is_free(mutex));
  });
  BOOST_TEST(taken > bound(20, 3));
  BOOST_TEST(timed_out > bound(20, 3));
  BOOST_TEST(cancelled > bound(20, 3));
}

// ---- Cancellation -------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_cancelled_wait_comes_back_with_the_mutex_too) {
  Mutex mutex;
  ConditionVariable changed;
  int thrown = 0;
  auto waiter = spawn_now([&] {
    Lock lock(mutex);
    for (const bool timed : {false, true}) {
      try {
        timed ? (void)changed.wait_for(lock, 1s) : changed.wait(lock);
      } catch (const Cancelled&) {
        ++thrown;
        BOOST_TEST((lock.owns_lock() && mutex.is_held()));
      }
    }
    changed.wait(lock, [] { return true; });
  });
  {
    const Lock lock(mutex);
    waiter.cancel();
    run_until_blocked();
    BOOST_TEST(thrown == 0);  // the mutex is not free
  }
  waiter.get();
  BOOST_TEST(thrown == 2);
  BOOST_TEST(is_free(mutex));
}

WEFT_SHUFFLED_TEST_CASE(the_notification_of_a_cancelled_one_goes_to_the_next) {
  for (const bool cancel_first : {true, false}) {
    Mutex mutex;
    ConditionVariable changed;
    std::string woken;
    const auto wait = [&](char name) {
      return spawn_now(notified(mutex, changed, [&, name] { woken += name; }));
    };
    auto first = wait('1'), second = wait('2');
    if (cancel_first) first.cancel();
    changed.notify_one();
    if (!cancel_first) first.cancel();
    run_until_blocked();
    BOOST_TEST(woken == (cancel_first ? "2" : "1"));
    changed.notify_all();
    first.wait();
    second.get();
  }
}

WEFT_SHUFFLED_TEST_CASE(locking_again_is_no_cancellation_point) {
  Mutex mutex;
  ConditionVariable changed;
  std::string log;
  auto waiter = spawn_now([&] {
    Lock lock(mutex);
    changed.wait(lock);
    log += mutex.is_held() ? 'h' : '?';
    try {
      changed.wait(lock);
    } catch (const Cancelled&) {
      log += 'c';
    }
  });
  {
    const Lock lock(mutex);
    changed.notify_one();
    run_until_blocked();
    waiter.cancel();
    run_until_blocked();
    BOOST_TEST(log == "");
  }
  waiter.get();
  BOOST_TEST(log == "hc");
}

// ---- Misuse -------------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(who_does_not_hold_the_mutex_through_the_lock_cannot_wait) {
  Mutex mutex;
  ConditionVariable changed;
  const auto unasked = [] {
    BOOST_ERROR("the condition was asked");
    return true;
  };
  const auto fails = [&](Lock& lock) {
    BOOST_CHECK_THROW(changed.wait(lock), std::logic_error);
    BOOST_CHECK_THROW(changed.wait_for(lock, 1s), std::logic_error);
    BOOST_CHECK_THROW(changed.wait_until(lock, kPast), std::logic_error);
    BOOST_CHECK_THROW(changed.wait(lock, unasked), std::logic_error);
    BOOST_CHECK_THROW(changed.wait_for(lock, 1s, unasked), std::logic_error);
    BOOST_CHECK_THROW(changed.wait_until(lock, kPast, unasked), std::logic_error);
  };
  const TimePoint start = now();
  Lock none, mine(mutex), deferred(mutex, std::defer_lock);
  fails(none);
  fails(deferred);
  const auto elsewhere = [&] {
    Lock theirs(mutex, std::adopt_lock);
    fails(theirs);
    theirs.release();
  };
  spawn(elsewhere).get();
  std::thread(elsewhere).join();
  BOOST_TEST(mutex.is_held());
  mine.unlock();
  Lock nobodys(mutex, std::adopt_lock);
  fails(nobodys);
  nobodys.release();
  BOOST_TEST(is_free(mutex));
  BOOST_TEST((now() == start));
}

// ---- Lifetime -----------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(it_may_be_destroyed_when_all_have_been_notified) {
  Mutex mutex;
  auto changed = std::make_unique<ConditionVariable>();
  int woken = 0;
  std::vector<Task<void>> tasks;
  for (int i = 0; i < 4; ++i) {
    tasks.push_back(spawn_now([&, i] {
      Lock lock(mutex);
      changed->wait_until(lock, i % 2 ? now() + 1s : kForever);
      ++woken;
    }));
  }
  const Lock lock(mutex);
  changed->notify_all();
  changed.reset();
  tasks[2].cancel();
  tasks[3].cancel();
  sleep_for(2s);
  BOOST_TEST(woken == 0);
  mutex.unlock();
  for (auto& task : tasks) task.get();
  mutex.lock();
  BOOST_TEST(woken == 4);
}

BOOST_AUTO_TEST_CASE(
    the_notified_or_the_notifier_may_destroy_it_while_the_other_is_on_its_way_out) {
  Crowd crowd;
  for (int round = 0; round < kRounds; ++round) {
    Mutex mutex;
    auto changed = std::make_unique<ConditionVariable>();
    ConditionVariable& alias = *changed;
    const bool notified_destroys = round % 2;
    bool waits = false;
    const auto it_waits = [&] {
      const Lock lock(mutex);
      return waits;
    };
    crowd.run_two(
        round,
        [&] {
          Lock lock(mutex);
          waits = true;
          alias.wait(lock);
          if (notified_destroys) changed.reset();
        },
        [&] {
          while (!it_waits()) yield();
          round % 4 < 2 ? alias.notify_one() : alias.notify_all();
          if (!notified_destroys) changed.reset();
        });
    BOOST_REQUIRE(!changed);
  }
}

// ---- Threads ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_plain_thread_gives_up_when_the_time_is_over_and_not_before) {
  Mutex mutex;
  ConditionVariable changed;
  Lock lock(mutex);
  check_it_tries_in_vain([&](Duration time) {
    const auto result = changed.wait_for(lock, time);
    return result != std::cv_status::timeout || !mutex.is_held();
  });
  BOOST_TEST(!changed.wait_for(lock, 1ms, [] { return false; }));
}

BOOST_AUTO_TEST_CASE(fibers_and_threads_tell_each_other) {
  Mutex mutex;
  ConditionVariable changed;
  int turn = 0;
  Crowd crowd;
  for (int kind = 0; kind < 5; ++kind) {
    turn = 0;
    const auto play = [&](int mine) {
      for (int i = 0; i < 200; ++i) {
        Lock lock(mutex);
        changed.wait(lock, [&] { return turn % 2 == mine; });
        ++turn;
        changed.notify_one();
      }
    };
    crowd.run_two(
        kind, [&] { play(0); }, [&] { play(1); });
    BOOST_TEST(turn == 400);
  }
}

BOOST_AUTO_TEST_CASE(no_item_is_lost_among_fibers_schedulers_and_threads) {
  constexpr int kRoom = 3;
  const int turns = 2'000 / kScale;
  Mutex mutex;
  ConditionVariable not_full, not_empty;
  int items = 1, added = 1, taken = 0;  // not atomic: the mutex orders the accesses
  std::atomic<int> gave_up{0}, stuck{0};
  const auto move = [&](bool adds, TimePoint deadline) {
    Lock lock(mutex);
    if (adds) {
      if (!not_full.wait_until(lock, deadline, [&] { return items < kRoom; })) return false;
      ++items, ++added;
      not_empty.notify_one();
    } else {
      if (!not_empty.wait_until(lock, deadline, [&] { return items > 0; })) return false;
      --items, ++taken;
      not_full.notify_one();
    }
    return true;
  };
  Crowd crowd;
  crowd.run_all([&](unsigned seed, Scheduler* elsewhere) {
    std::mt19937 random(stress_seed() + seed);
    // What one adds it takes later, or the reverse: while one waits there is another that need not.
    const bool adds = seed % 2;
    for (int turn = 0; turn < turns && stuck == 0; ++turn) {
      bool moved = false;
      const unsigned choice = random() % 16;
      if (choice == 0) {
        auto task = spawn([&] { moved = move(adds, kForever); }, {.on = elsewhere});
        for (unsigned pause = random() % 4; pause > 0; --pause) yield();
        task.cancel();
        task.wait();
      } else if (choice < 4) {
        moved = move(adds, Clock::now() + Duration(random() % 20'000));
      } else {
        moved = move(adds, Clock::now() + 20s);
        stuck += !moved;
      }
      moved ? stuck += !move(!adds, Clock::now() + 20s) : ++gave_up;
    }
  });
  BOOST_TEST(stuck == 0);
  BOOST_TEST(items == 1);
  BOOST_TEST(added - taken == 1);
  BOOST_TEST(is_free(mutex));
  BOOST_TEST_MESSAGE(taken << " taken, " << gave_up << " gave up");
}

BOOST_AUTO_TEST_SUITE_END()
