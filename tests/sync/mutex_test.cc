#include "weft/sync/mutex.h"

#include <atomic>
#include <cstdio>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

#include "tests/support/bound.h"
#include "tests/support/child_process.h"
#include "tests/support/crowd.h"
#include "tests/support/fixture.h"
#include "tests/support/together.h"
#include "weft/fiber/core/loop.h"
#include "weft/sync/condition_variable.h"
#include "weft/sync/core/contended_word.h"
#include "weft/sync/shared_mutex.h"

BOOST_AUTO_TEST_SUITE(mutex)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

// Works before any constructor has run.
constinit Mutex global_mutex;

namespace {

bool is_free(Mutex& mutex) {
  if (!mutex.try_lock()) return false;
  mutex.unlock();
  return true;
}

// What a fiber does that locks, does f() and unlocks.
template <class F>
auto locked(Mutex& mutex, F f) {
  return [&mutex, f] {
    const std::lock_guard lock(mutex);
    f();
  };
}

}  // namespace

WEFT_SHUFFLED_TEST_CASE(the_guards_of_the_standard_library_work) {
  Mutex mutex;
  {
    const std::lock_guard lock(mutex);
    BOOST_TEST(mutex.is_held());
  }
  {
    std::unique_lock lock(mutex);
    BOOST_TEST(!std::unique_lock(mutex, std::try_to_lock).owns_lock());
    lock.unlock();
    BOOST_TEST(!mutex.is_held());
    BOOST_TEST(lock.try_lock());
  }
  BOOST_TEST(std::unique_lock(mutex, 1s).owns_lock());
  BOOST_TEST(std::unique_lock(mutex, now() + 1s).owns_lock());
  Mutex other;
  {
    const std::scoped_lock lock(mutex, other);
    BOOST_TEST((mutex.is_held() && other.is_held()));
  }
  BOOST_TEST((is_free(mutex) && is_free(other)));
}

WEFT_SHUFFLED_TEST_CASE(one_at_a_time_holds_it_and_may_wait_meanwhile) {
  Mutex mutex;
  int inside = 0, done = 0;
  TaskGroup group;
  for (int i = 0; i < 8; ++i) {
    group.spawn([&, i] {
      for (int turn = 0; turn < 4; ++turn) {
        const std::lock_guard lock(mutex);
        BOOST_TEST(inside++ == 0);
        BOOST_TEST(mutex.is_held());
        i % 2 ? yield() : sleep_for(1s);
        BOOST_TEST(--inside == 0);
        ++done;
      }
    });
  }
  group.join();
  BOOST_TEST(done == 32);
  BOOST_TEST(is_free(mutex));
}

WEFT_SHUFFLED_TEST_CASE(nobody_overtakes) {
  Mutex mutex;
  bool got = false;
  mutex.lock();
  auto waiter = spawn_now(locked(mutex, [&] {
    got = true;
    sleep_for(1s);
  }));
  mutex.unlock();
  BOOST_TEST(!mutex.is_held());  // it was offered to the waiter, though that has not run yet
  BOOST_TEST(!got);
  BOOST_TEST(!mutex.try_lock_for(0s));
  BOOST_TEST(!mutex.try_lock_for(999ms));
  mutex.lock();
  BOOST_TEST(got);
  mutex.unlock();
}

WEFT_SHUFFLED_TEST_CASE(whoever_waited_longest_gets_it_and_who_comes_again_goes_to_the_end) {
  Mutex mutex;
  std::string order;
  TaskGroup group;
  for (const char name : {'a', 'b', 'c'}) {
    spawn_now(group, [&, name] {
      for (int turn = 0; turn < 3; ++turn) {
        const std::lock_guard lock(mutex);
        order += name;
        if (turn == 0 && name == 'a') sleep_for(1s);  // until all are there
      }
    });
  }
  group.join();
  BOOST_TEST(order == "abcabcabc");
}

WEFT_SHUFFLED_TEST_CASE(try_lock_takes_what_is_free_and_does_not_wait) {
  Mutex mutex;
  auto other = spawn([] { BOOST_ERROR("it ran"); });
  BOOST_TEST(mutex.try_lock());
  BOOST_TEST(!mutex.try_lock());
  BOOST_TEST(mutex.is_held());
  mutex.unlock();
  BOOST_TEST(!mutex.is_held());
  for (const Duration time : {-1s, 0s, 1s}) {
    BOOST_TEST(mutex.try_lock_for(time));
    mutex.unlock();
  }
  BOOST_TEST(mutex.try_lock_until(kPast));
  mutex.unlock();
  other.cancel();
}

// ---- Timeouts -----------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_try_ends_when_its_time_is_over_and_not_before) {
  Mutex mutex;
  auto holder = spawn_now(locked(mutex, [&] { sleep_for(1h); }));
  const TimePoint start = now();
  for (const Duration time : {Duration::min(), Duration(-1s), Duration(0)}) {
    BOOST_TEST(!mutex.try_lock_for(time));
  }
  BOOST_TEST(!mutex.try_lock_until(kPast));
  BOOST_TEST(!mutex.try_lock_until(start));
  BOOST_TEST((now() == start));
  BOOST_TEST(!mutex.try_lock_for(1s));
  BOOST_TEST((now() == start + 1s));
  BOOST_TEST(!mutex.try_lock_until(start + 3s));
  BOOST_TEST((now() == start + 3s));
  BOOST_TEST(!mutex.is_held());
  BOOST_TEST(mutex.try_lock_for(2h));
  BOOST_TEST((now() == start + 1h));
  BOOST_TEST(mutex.is_held());
  BOOST_TEST(Loop::here()->timers().empty());
  mutex.unlock();
}

WEFT_SHUFFLED_TEST_CASE(those_that_give_up_make_room_for_the_next) {
  Mutex mutex;
  std::string order;
  mutex.lock();
  TaskGroup group;
  spawn_now(group, [&] { order += mutex.try_lock_for(1s) ? "?" : "t"; });
  spawn_now(group, [&] {
    BOOST_CHECK_THROW(with_timeout(2s, [&] { mutex.lock(); }), TimeoutError);
    BOOST_TEST(!mutex.is_held());
    order += 'w';
  });
  auto cancelled = spawn_now([&] { mutex.lock(); });
  spawn_now(group, locked(mutex, [&] { order += 'g'; }));
  sleep_for(3s);
  cancelled.cancel();
  mutex.unlock();
  group.join();
  BOOST_CHECK_THROW(cancelled.get(), TaskCancelled);
  BOOST_TEST(order == "twg");
  BOOST_TEST(is_free(mutex));
}

BOOST_AUTO_TEST_CASE(an_unlock_at_the_instant_when_the_time_is_over_loses_nothing) {
  int got = 0, missed = 0;
  run_shuffled([&] {
    Mutex mutex;
    const TimePoint instant = now() + 1s;
    TaskGroup group;
    mutex.lock();
    for (int i = 0; i < 8; ++i) {
      group.spawn([&, early = i % 2] {
        if (!early) sleep_until(instant);
        const std::unique_lock lock(mutex, instant);
        ++(lock.owns_lock() ? got : missed);
      });
    }
    sleep_until(instant);
    mutex.unlock();
    group.join();
    BOOST_TEST(is_free(mutex));
  });
  BOOST_TEST(got > bound(20, 3));
  BOOST_TEST(missed > bound(20, 3));
}

// ---- Cancellation -------------------------------------------------------------------------------

// In asyncio it held up the others (bpo-27585).
WEFT_SHUFFLED_TEST_CASE(a_cancelled_waiter_gets_nothing_and_holds_up_nobody) {
  for (const bool another_waits : {false, true}) {
    Mutex mutex;
    bool next_got_it = false;
    mutex.lock();
    auto cancelled = spawn_now([&] { mutex.lock(); });
    Task<void> next;
    if (another_waits) next = spawn_now(locked(mutex, [&] { next_got_it = true; }));
    cancelled.cancel();
    mutex.unlock();  // before the cancelled one has run
    if (!another_waits) BOOST_TEST(is_free(mutex));
    BOOST_CHECK_THROW(cancelled.get(), TaskCancelled);
    if (another_waits) next.get();
    BOOST_TEST(next_got_it == another_waits);
    BOOST_TEST(is_free(mutex));
  }
}

WEFT_SHUFFLED_TEST_CASE(who_is_cancelled_after_it_was_handed_over_owns_it) {
  Mutex mutex;
  bool owned = false, next_got_it = false;
  mutex.lock();
  auto task = spawn_now(locked(mutex, [&] {
    owned = mutex.is_held();
    yield();
    BOOST_ERROR("it went on");
  }));
  auto next = spawn_now(locked(mutex, [&] { next_got_it = true; }));
  mutex.unlock();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(owned);
  next.get();
  BOOST_TEST(next_got_it);
  BOOST_TEST(is_free(mutex));
}

WEFT_SHUFFLED_TEST_CASE(a_cancelled_fiber_takes_what_is_free_and_waits_for_nothing_else) {
  Mutex free, taken;
  std::string log;
  taken.lock();
  auto task = spawn_now([&] {
    try {
      sleep_for(1h);
    } catch (const Cancelled&) {
      const std::lock_guard lock(free);
      log += free.is_held() ? 'f' : '?';
    }
    for (const bool timed : {false, true, false}) {
      try {
        timed ? (void)taken.try_lock_for(1s) : taken.lock();
      } catch (const Cancelled&) {
        log += 'c';
      }
    }
    shield([&] { taken.lock(); });
    log += 's';
    taken.unlock();
  });
  task.cancel();
  run_until_blocked();
  BOOST_TEST(log == "fccc");
  taken.unlock();
  task.wait();
  BOOST_TEST(log == "fcccs");
  BOOST_TEST(is_free(taken));
}

// ---- Several at once ----------------------------------------------------------------------------

// With a hand-over that is final before the heir has run, each of these would go on for ever.

WEFT_ANY_ORDER_TEST_CASE(five_lock_two_in_opposite_orders) {
  lock_two_in_opposite_orders<Mutex, Mutex>(5);
}

WEFT_ANY_ORDER_TEST_CASE(several_lock_three_in_rotation) { lock_three_in_rotation<Mutex>(); }

WEFT_ANY_ORDER_TEST_CASE(a_hundred_transfer_between_ten_accounts) {
  transfer_between_accounts<Mutex>();
}

WEFT_ANY_ORDER_TEST_CASE(a_hundred_philosophers_share_five_forks) { dine<Mutex>(); }

WEFT_ANY_ORDER_TEST_CASE(those_who_try_and_back_off_get_both) {
  back_off<Mutex>(true);
  back_off<Mutex>(false);
}

WEFT_ANY_ORDER_TEST_CASE(it_can_be_locked_together_with_locks_of_others) {
  lock_two_in_opposite_orders<Mutex, SharedMutex>(7);
  lock_two_in_opposite_orders<Mutex, Permit>(7);
  lock_two_in_opposite_orders<Mutex, ForeignLock>(7);
}

WEFT_ANY_ORDER_TEST_CASE(those_who_lock_again_after_a_condition_get_both) {
  Mutex a, b;
  ConditionVariable changed;
  Room room;
  int failed = 0, turn = 0;
  TaskGroup group;
  for (int i = 0; i < 6; ++i) {
    group.spawn([&, i] {
      Mutex& mine = i % 2 ? a : b;
      Mutex& other = i % 2 ? b : a;
      std::unique_lock lock(mine);
      changed.wait(lock, [&] { return turn > 0; });
      while (!other.try_lock()) {
        if (++failed > 1000) throw std::runtime_error("a thousand tries have failed");
        changed.wait_for(lock, 1ms);
      }
      const std::lock_guard both(other, std::adopt_lock);
      room.stay();
      changed.notify_all();
    });
  }
  run_until_blocked();
  {
    const std::scoped_lock both(a, b);
    ++turn;
    changed.notify_all();
    sleep_for(1s);
  }
  group.join();
  BOOST_TEST(room.visits() == 6);
}

// ---- Offers -------------------------------------------------------------------------------------

WEFT_ANY_ORDER_TEST_CASE(a_try_takes_what_is_offered_and_the_heir_keeps_its_place) {
  for (const bool heir_runs : {false, true}) {
    Mutex mutex;
    std::string order;
    mutex.lock();
    auto heir = spawn_now(locked(mutex, [&] { order += mutex.is_held() ? 'h' : '?'; }));
    auto next = spawn_now(locked(mutex, [&] { order += 'n'; }));
    mutex.unlock();
    BOOST_TEST(!mutex.is_held());
    BOOST_CHECK_THROW(mutex.unlock(), std::logic_error);
    for (int turn = 0; turn < 3; ++turn) {
      BOOST_TEST(mutex.try_lock());
      BOOST_TEST(mutex.is_held());
      BOOST_TEST(!mutex.try_lock());
      auto late = spawn_now(locked(mutex, [&] { order += 'l'; }));
      if (heir_runs) run_until_blocked();
      BOOST_TEST(order == "");
      mutex.unlock();
      BOOST_TEST(!mutex.is_held());
      BOOST_CHECK_THROW(mutex.unlock(), std::logic_error);
      late.detach();
    }
    heir.get();
    next.get();
    run_until_blocked();
    BOOST_TEST(order == "hnlll");
    BOOST_TEST(is_free(mutex));
  }
}

WEFT_ANY_ORDER_TEST_CASE(one_that_was_passed_over_may_give_up_and_nothing_is_lost) {
  for (const bool runs_before : {false, true}) {
    for (const bool by_time : {false, true}) {
      Mutex mutex;
      bool got = false;
      const TimePoint start = now();
      mutex.lock();
      auto heir = spawn_now([&] {
        if (!by_time) mutex.lock();
        BOOST_TEST(!mutex.try_lock_for(1s));
        BOOST_TEST((now() == start + 1s));
      });
      auto next = spawn_now(locked(mutex, [&] { got = true; }));
      mutex.unlock();
      BOOST_TEST(mutex.try_lock());
      if (runs_before) run_until_blocked();
      if (!by_time) heir.cancel();
      sleep_for(2s);
      BOOST_TEST(heir.done());
      BOOST_TEST(!got);
      mutex.unlock();
      next.get();
      BOOST_TEST(got);
      heir.wait();
      BOOST_TEST(is_free(mutex));
      BOOST_TEST(Loop::here()->timers().empty());
    }
  }
}

WEFT_TEST_CASE(tries_without_end_pass_over_a_waiter_only_so_often) {
  wait_beside_one_that_keeps_trying<Mutex>();
}

// The waiter cannot run while the loop does.
WEFT_ANY_ORDER_TEST_CASE(a_loop_of_tries_that_never_waits_does_not_hang_on_a_waiter_of_its_thread) {
  Mutex mutex;
  bool got = false;
  mutex.lock();
  auto waiter = spawn_now(locked(mutex, [&] { got = true; }));
  for (int times = 0; times < Heir::kMostPassedOver; ++times) {
    mutex.unlock();
    BOOST_TEST(mutex.try_lock());
    run_until_blocked();
  }
  for (int turn = 0; turn < 3; ++turn) {
    mutex.unlock();
    BOOST_TEST(!mutex.try_lock());
    if (turn == 1) {
      // To another thread it does not give way: the waiter can run meanwhile.
      bool taken = false;
      std::thread([&] { taken = mutex.try_lock() || mutex.try_lock(); }).join();
      BOOST_TEST(!taken);
      BOOST_TEST(!mutex.try_lock());
    }
    BOOST_TEST(mutex.try_lock());
    if (turn == 2) run_until_blocked();
  }
  BOOST_TEST(!got);
  mutex.unlock();
  waiter.get();
  BOOST_TEST(got);
  BOOST_TEST(is_free(mutex));
}

WEFT_ANY_ORDER_TEST_CASE(one_that_was_passed_over_may_destroy_it) {
  for (const bool heir_runs : {false, true}) {
    auto owned = std::make_unique<Mutex>();
    owned->lock();
    auto heir = spawn_now([&] {
      owned->lock();
      owned->unlock();
      owned.reset();
    });
    owned->unlock();
    BOOST_TEST(owned->try_lock());
    if (heir_runs) run_until_blocked();
    owned->unlock();
    heir.get();
    BOOST_TEST(!owned);
  }
}

// ---- Misuse -------------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(only_the_holder_can_unlock) {
  Mutex mutex;
  BOOST_CHECK_THROW(mutex.unlock(), std::logic_error);
  BOOST_TEST(is_free(mutex));
  mutex.lock();
  const auto fails = [&] {
    BOOST_CHECK_THROW(mutex.unlock(), std::logic_error);
    BOOST_TEST(!mutex.is_held());
    BOOST_TEST(!mutex.try_lock());
  };
  spawn(fails).get();
  std::thread(fails).join();
  bool got = false;
  auto waiter = spawn_now(locked(mutex, [&] { got = true; }));
  spawn(fails).get();
  std::thread(fails).join();
  run_until_blocked();
  BOOST_TEST((mutex.is_held() && !got));
  mutex.unlock();
  BOOST_CHECK_THROW(mutex.unlock(), std::logic_error);  // it is the waiter's already
  waiter.get();
  BOOST_TEST(got);
  BOOST_TEST(is_free(mutex));
}

BOOST_AUTO_TEST_CASE(locking_twice_ends_the_program_with_a_sentence) {
  const auto twice = [] {
    Mutex mutex;
    mutex.lock();
    mutex.lock();
  };
  for (const bool in_fiber : {true, false}) {
    const ChildEnd end = run_in_child([&] {
      in_fiber ? run(twice) : twice();
      return 0;
    });
    BOOST_TEST(end.signal == SIGABRT);
    BOOST_TEST(end.said.find("Mutex::lock: the caller holds it already") != std::string::npos,
               end.said);
  }
}

// ---- Who ends with it
// -----------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_fiber_that_ends_with_a_mutex_ends_the_program_with_a_sentence) {
  const auto lock = [](Mutex& mutex) { mutex.lock(); };
  const auto try_lock = [](Mutex& mutex) { (void)mutex.try_lock(); };
  const auto wait_for_it = [](Mutex& mutex) {
    auto holder = spawn([&] {
      const std::lock_guard held(mutex);
      sleep_for(1s);
    });
    yield();
    mutex.lock();
  };
  const auto take_offer = [](Mutex& mutex) {
    std::unique_lock lock(mutex);
    auto heir = spawn([&] { const std::lock_guard its(mutex); });
    yield();
    lock.unlock();
    (void)mutex.try_lock();
    heir.detach();
  };
  const auto fail = [](Mutex& mutex) {
    mutex.lock();
    throw std::runtime_error("failed");
  };
  for (void (*how)(Mutex&) :
       std::initializer_list<void (*)(Mutex&)>{lock, try_lock, wait_for_it, take_offer, fail}) {
    const ChildEnd end = run_in_child([&] {
      run_case([&] {
        Mutex mutex;
        spawn([&] { how(mutex); }, {.name = "forgetful"}).wait();
      });
      return 0;
    });
    BOOST_TEST(end.signal == SIGABRT);
    BOOST_TEST(
        end.said.find("\"forgetful\" has ended but still holds a Mutex") != std::string::npos,
        end.said);
  }
}

BOOST_AUTO_TEST_CASE(a_job_that_ends_with_a_mutex_ends_the_program_with_a_sentence) {
  const ChildEnd end = run_in_child([] {
    Mutex mutex;
    ThreadPool pool(1);
    run_in_executor(pool, [&] { mutex.lock(); });
    run_in_executor(pool, [&] { mutex.unlock(); });
    return 0;
  });
  BOOST_TEST(end.signal == SIGABRT);
  BOOST_TEST(end.said.find("a job has ended but still holds a Mutex") != std::string::npos,
             end.said);
}

// The next one on the same stack would have the same name.
BOOST_AUTO_TEST_CASE(a_call_that_ends_with_a_mutex_ends_the_program_with_a_sentence) {
  const ChildEnd end = run_in_child([] {
    run_case([] {
      Mutex mutex;
      Scheduler::current().post([&] { mutex.lock(); });
      Scheduler::current().post([] { std::fputs("too late", stderr); });
      run_until_blocked();
    });
    return 0;
  });
  BOOST_TEST(end.signal == SIGABRT);
  BOOST_TEST(end.said.find("has ended but still holds a Mutex") != std::string::npos, end.said);
  BOOST_TEST(end.said.find("too late") == std::string::npos, end.said);
}

BOOST_AUTO_TEST_CASE(a_thread_that_ends_with_a_mutex_ends_the_program_with_a_sentence) {
  const ChildEnd end = run_in_child([] {
    Mutex mutex;
    std::thread([&] { mutex.lock(); }).join();
    return 0;
  });
  BOOST_TEST(end.signal == SIGABRT);
  BOOST_TEST(end.said.find("a thread has ended but still holds a Mutex") != std::string::npos,
             end.said);
}

BOOST_AUTO_TEST_CASE(a_thread_may_unlock_when_its_variables_are_destroyed) {
  Mutex mutex;
  std::thread([&] {
    thread_local std::unique_lock<Mutex> last;
    last = std::unique_lock(mutex);
  }).join();
  BOOST_TEST(is_free(mutex));
}

WEFT_TEST_CASE(what_a_task_owns_may_unlock_at_its_end) {
  Mutex mutex;
  struct Unlock {
    explicit Unlock(Mutex& its) : mutex(its) {}
    Unlock(const Unlock& other) = default;
    ~Unlock() {
      if (mutex.is_held()) mutex.unlock();
    }
    Mutex& mutex;
  };
  spawn([at_end = Unlock(mutex)] { at_end.mutex.lock(); }).get();
  BOOST_TEST(is_free(mutex));
  spawn([&] {
    static FiberLocal<std::shared_ptr<Unlock>> local;
    local.set(std::make_shared<Unlock>(mutex));
    mutex.lock();
  }).get();
  BOOST_TEST(is_free(mutex));
}

WEFT_TEST_CASE(to_destroy_a_mutex_that_is_held_is_to_unlock_it) {
  spawn([] {
    Mutex mutex;
    mutex.lock();
    SharedMutex shared;
    shared.lock();
    // One that others have waited for.
    auto contended = std::make_unique<Mutex>();
    contended->lock();
    BOOST_TEST(!spawn([&] { return contended->try_lock_for(1s); }).get());
  }).get();
  BOOST_TEST(current_task().name == "main");
}

// ---- Threads ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_plain_thread_and_a_fiber_wait_for_each_other) {
  Mutex mutex;
  Crowd crowd;
  std::atomic<bool> got{false}, leave{false};
  mutex.lock();
  auto waiter = crowd.start_until_it_waits(locked(mutex,
                                                  [&] {
                                                    got = true;
                                                    while (!leave) sleep_for(1ms);
                                                  }),
                                           "Mutex::lock");
  BOOST_TEST(!got);
  mutex.unlock();
  check_it_tries_in_vain([&](Duration time) { return mutex.try_lock_for(time); });
  BOOST_TEST(!mutex.try_lock_until(Clock::now() + 1ms));
  leave = true;
  BOOST_TEST(mutex.try_lock_for(1h));
  BOOST_TEST((got && mutex.is_held()));
  mutex.unlock();
}

BOOST_AUTO_TEST_CASE(the_next_owner_may_destroy_it_while_unlock_is_on_its_way_out) {
  Crowd crowd;
  int waited = 0;
  for (int round = 0; round < kRounds; ++round) {
    auto owned = std::make_unique<Mutex>();
    Mutex& mutex = *owned;
    std::atomic<bool> locked{false}, coming{false};
    crowd.run_two(
        round,
        [&] {
          mutex.lock();
          locked = true;
          while (!coming) yield();
          for (int pause = round % 4; pause > 0; --pause) yield();
          mutex.unlock();
        },
        [&] {
          while (!locked) yield();
          coming = true;
          if (!mutex.try_lock()) {
            ++waited;
            mutex.lock();
          }
          mutex.unlock();
          owned.reset();
        });
    BOOST_REQUIRE(!owned);
  }
  BOOST_TEST(waited > 0);
}

BOOST_AUTO_TEST_CASE(fibers_schedulers_and_threads_exclude_each_other) {
  Mutex mutex;
  int inside = 0, count = 0;  // not atomic: the mutex orders the accesses
  std::atomic<int> passed{0}, clashes{0};
  Crowd crowd;
  const int in_vain = crowd.stress(20'000 / kScale, [&](TimePoint deadline, bool linger, unsigned) {
    const std::unique_lock lock(mutex, deadline);
    if (!lock) return false;
    clashes += inside++ != 0;
    if (linger) yield();
    --inside;
    ++count;
    ++passed;
    return true;
  });
  BOOST_TEST(clashes == 0);
  BOOST_TEST(count == passed);
  BOOST_TEST(in_vain > 0);
  BOOST_TEST(is_free(mutex));
}

BOOST_AUTO_TEST_SUITE_END()
