#include "weft/fiber/core/wait_queue.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/permits.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/core/context.h"
#include "weft/fiber/core/loop.h"
#include "weft/fiber/core/parker.h"

BOOST_AUTO_TEST_SUITE(wait_queue)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

#if defined(WEFT_TSAN) || defined(WEFT_ASAN)
constexpr int kScale = 10;  // divides how often stress repeats
#else
constexpr int kScale = 1;
#endif

void await_a_waiter(Permits& permits) {
  while (permits.nobody_waits()) std::this_thread::yield();
}

Waiter* claim(WaitQueue& queue) {
  WaitQueue::Lock lock(queue);
  return queue.claim(lock);
}

// Wakes the first and tells what it waits in.
std::string wake_first(WaitQueue& queue) {
  Waiter* waiter = claim(queue);
  if (!waiter) return "";
  std::string what = waiter->what();
  waiter->resume();
  return what;
}

}  // namespace

// ---- Order --------------------------------------------------------------------------------------

WEFT_TEST_CASE(who_waited_longest_is_woken_first) {
  Permits permits;
  std::string order;
  TaskGroup group;
  for (const char name : {'a', 'b', 'c', 'd'}) {
    group.spawn([&, name] {
      permits.acquire();
      order += name;
    });
  }
  run_until_blocked();
  for (int i = 0; i < 4; ++i) {
    permits.release();
    if (i % 2) yield();
  }
  group.join();
  BOOST_TEST(order == "abcd");
  BOOST_TEST(permits.nobody_waits());
}

WEFT_SHUFFLED_TEST_CASE(nobody_overtakes) {
  Permits permits;
  bool first_has_it = false;
  auto first = spawn([&] {
    permits.acquire();
    first_has_it = true;
  });
  run_until_blocked();
  permits.release();
  BOOST_TEST(!permits.acquire(now()));  // it belongs to the first, though that has not run yet
  first.get();
  BOOST_TEST(first_has_it);
  BOOST_TEST(permits.count() == 0);
}

BOOST_AUTO_TEST_CASE(fibers_of_all_schedulers_and_threads_wait_in_one_line) {
  Permits permits;
  SchedulerThread one, two;
  std::vector<Task<bool>> tasks;
  std::vector<std::thread> threads;
  std::atomic<int> waiting{0};
  const auto wait = [&](const char* what) {
    WaitQueue::Lock lock(permits.queue());
    ++waiting;
    return permits.queue().wait(lock, kForever, what);
  };
  const auto await = [&](int count) {
    while (waiting < count) std::this_thread::yield();
    // Whoever counted has the lock until it is in line.
    (void)permits.nobody_waits();
  };
  tasks.push_back(spawn([&] { return wait("a"); }, {.on = one.get()}));
  await(1);
  threads.emplace_back([&] { wait("b"); });
  await(2);
  tasks.push_back(spawn([&] { return wait("c"); }, {.on = two.get()}));
  await(3);
  tasks.push_back(spawn([&] { return wait("d"); }, {.on = one.get()}));
  await(4);
  threads.emplace_back([&] { wait("e"); });
  await(5);
  std::string order;
  for (int i = 0; i < 5; ++i) order += wake_first(permits.queue());
  BOOST_TEST(order == "abcde");
  for (auto& task : tasks) BOOST_TEST(task.get());
  for (auto& thread : threads) thread.join();
}

WEFT_TEST_CASE(all_can_be_woken_at_once_in_their_order) {
  WaitQueue queue;
  std::string order;
  TaskGroup group;
  for (const char name : {'a', 'b', 'c'}) {
    group.spawn([&, name] {
      WaitQueue::Lock lock(queue);
      BOOST_TEST(queue.wait(lock, kForever, "wait"));
      order += name;
    });
  }
  run_until_blocked();
  WaitQueue::Lock lock(queue);
  Claimed claimed;
  queue.claim_all(lock, claimed);
  BOOST_TEST(queue.empty(lock));
  BOOST_TEST(queue.first(lock) == nullptr);
  BOOST_TEST(queue.claim(lock) == nullptr);
  Claimed nobody;
  queue.claim_all(lock, nobody);
  lock.unlock();
  nobody.resume();
  claimed.resume();
  group.join();
  BOOST_TEST(order == "abc");
}

WEFT_TEST_CASE(a_wait_says_what_it_waits_in) {
  Permits permits;
  auto task = spawn([&] { permits.acquire(kForever, "my_word"); }, {.name = "waits"});
  run_until_blocked();
  for (const TaskInfo& info : all_tasks()) {
    if (info.name == "waits") BOOST_TEST(info.waiting_for == std::string("my_word"));
  }
  permits.release();
  task.get();
}

// ---- Timeouts -----------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_wait_ends_at_its_deadline_and_leaves_the_line) {
  Permits permits;
  const TimePoint start = now();
  BOOST_TEST(!permits.acquire(start + 1s));
  BOOST_TEST((now() == start + 1s));
  BOOST_TEST(permits.nobody_waits());
  BOOST_TEST(!permits.acquire(start));
  BOOST_TEST((now() == start + 1s));
  permits.release();
  BOOST_TEST(permits.count() == 1);
}

WEFT_SHUFFLED_TEST_CASE(one_that_leaves_makes_room_for_the_next) {
  Permits permits;
  auto first = spawn([&] { return permits.acquire(now() + 1s); });
  auto second = spawn([&] { return permits.acquire(); });
  auto third = spawn([&] { return permits.acquire(now() + 1s); });
  sleep_for(2s);
  permits.release();
  BOOST_TEST(!first.get());
  BOOST_TEST(second.get());
  BOOST_TEST(!third.get());
  BOOST_TEST(permits.count() == 0);
}

WEFT_SHUFFLED_TEST_CASE(a_wake_up_leaves_no_timer_behind) {
  Permits permits;
  auto task = spawn([&] { permits.acquire(now() + 1h); });
  run_until_blocked();
  BOOST_TEST(Loop::here()->timers().size() == 1u);
  permits.release();
  task.get();
  BOOST_TEST(Loop::here()->timers().empty());
}

// Those that wait until this very instant, and those that release in it, in many orders.
BOOST_AUTO_TEST_CASE(a_wake_up_and_a_timeout_at_the_same_instant_lose_nothing) {
  int woken = 0, timed_out = 0;
  const auto body = [&] {
    constexpr int kEach = 8;
    Permits permits;
    const TimePoint instant = now() + 1s;
    int got = 0, released = 0;
    TaskGroup group;
    for (int i = 0; i < kEach; ++i) {
      const bool early = i % 2;  // in line before the instant; else comes at it
      group.spawn([&, early] {
        if (!early) sleep_until(instant);
        if (permits.acquire(instant)) {
          ++got;
          ++woken;
        } else {
          ++timed_out;
        }
      });
      group.spawn([&, i] {
        if (i < kEach / 2) sleep_until(instant - 1ns);  // its timer is the later one
        sleep_until(instant);
        permits.release();
        ++released;
      });
    }
    group.join();
    BOOST_TEST(permits.nobody_waits());
    BOOST_TEST(got + permits.count() == released);
  };
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    BOOST_TEST_CONTEXT("shuffle_seed " << seed) { run_case(body, {.shuffle_seed = seed}); }
  }
  BOOST_TEST(woken > 100);
  BOOST_TEST(timed_out > 100);
}

WEFT_TEST_CASE(a_wake_up_beats_a_timeout_that_comes_before_the_woken_one_runs) {
  Permits permits;
  bool got = false;
  auto task = spawn([&] { got = permits.acquire(now()); });
  yield();
  permits.release();
  while (Timer* timer = Loop::here()->timers().pop_expired(now())) timer->expire();
  task.get();
  BOOST_TEST(got);
  BOOST_TEST(permits.count() == 0);
}

// ---- Cancellation -------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_wake_up_and_a_cancellation_at_the_same_instant_lose_nothing) {
  for (const bool cancel_first : {false, true}) {
    Permits permits;
    bool got = false;
    auto task = spawn([&] { got = permits.acquire(); });
    auto next = spawn([&] {
      sleep_for(Duration(1));
      return permits.acquire(now() + 1s);
    });
    sleep_for(Duration(2));
    if (cancel_first) task.cancel();
    permits.release();
    task.cancel();
    task.wait();
    BOOST_TEST(got == !cancel_first);
    BOOST_TEST(next.get() == cancel_first);
    BOOST_TEST(permits.count() == 0);
    BOOST_TEST(permits.nobody_waits());
  }
}

BOOST_AUTO_TEST_CASE(waits_cancelled_at_random_lose_nothing) {
  int woken = 0, cancelled = 0;
  const auto body = [&] {
    constexpr int kEach = 8;
    Permits permits;
    int got = 0;
    std::vector<Task<void>> tasks, others;
    for (int i = 0; i < kEach; ++i) {
      tasks.push_back(spawn([&] {
        sleep_for(1ms);
        permits.acquire();
        ++got;
      }));
    }
    for (int i = 0; i < kEach; ++i) {
      others.push_back(spawn([&] {
        sleep_for(1ms);
        permits.release();
      }));
      others.push_back(spawn([&, i] {
        sleep_for(1ms);
        tasks[i].cancel();
      }));
    }
    for (auto& other : others) other.get();
    for (auto& task : tasks) task.wait();
    BOOST_TEST(permits.nobody_waits());
    BOOST_TEST(got + permits.count() == kEach);
    woken += got;
    cancelled += kEach - got;
  };
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    BOOST_TEST_CONTEXT("shuffle_seed " << seed) { run_case(body, {.shuffle_seed = seed}); }
  }
  BOOST_TEST(woken > 100);
  BOOST_TEST(cancelled > 100);
}

WEFT_SHUFFLED_TEST_CASE(a_cancelled_fiber_does_not_get_in_line) {
  Permits permits;
  int thrown = 0;
  auto task = spawn([&] {
    for (int i = 0; i < 3; ++i) {
      try {
        permits.acquire(now() + 1s);
      } catch (const Cancelled&) {
        ++thrown;
        BOOST_TEST(permits.nobody_waits());  // also: the lock was released
      }
    }
  });
  run_until_blocked();
  task.cancel();
  task.wait();
  BOOST_TEST(thrown == 3);
  permits.release();
  BOOST_TEST(permits.count() == 1);
}

WEFT_SHUFFLED_TEST_CASE(a_wait_while_unwinding_is_not_interrupted) {
  Permits permits;
  struct Acquires {
    Permits& permits;
    int& got;
    ~Acquires() {
      got += permits.acquire();
      got += permits.acquire(now() + 1h);
    }
  };
  int got = 0;
  bool thrown_later = false;
  auto task = spawn([&] {
    try {
      const Acquires acquires{permits, got};
      sleep_for(1h);
    } catch (const Cancelled&) {
      try {
        permits.acquire();
      } catch (const Cancelled&) {
        thrown_later = true;
      }
      throw;
    }
  });
  run_until_blocked();
  task.cancel();
  run_until_blocked();
  BOOST_TEST(got == 0);
  task.cancel();
  permits.release();
  run_until_blocked();
  BOOST_TEST(got == 1);
  permits.release();
  task.wait();
  BOOST_TEST(got == 2);
  BOOST_TEST(thrown_later);
}

// Between the claim and the wake-up there may be any time.
WEFT_SHUFFLED_TEST_CASE(a_claimed_fiber_waits_for_its_wake_up_whatever_its_deadline) {
  Permits permits;
  auto task = spawn([&] { return permits.acquire(now() + 1s); });
  run_until_blocked();
  Waiter* waiter = claim(permits.queue());
  BOOST_TEST_REQUIRE(waiter);
  sleep_for(2s);
  BOOST_TEST(!task.done());
  task.cancel();
  run_until_blocked();
  BOOST_TEST(!task.done());
  waiter->resume();
  BOOST_TEST(task.get());
}

// ---- Watchers -----------------------------------------------------------------------------------

namespace {

struct Watcher : Waiter {
  Watcher(std::string& its_log, char its_name) : Waiter(&notify), log(its_log), name(its_name) {}
  static Waiter* notify(Waiter& waiter) noexcept {
    auto& self = static_cast<Watcher&>(waiter);
    self.log += self.name;
    return nullptr;
  }
  std::string& log;
  const char name;
};

}  // namespace

WEFT_TEST_CASE(watchers_are_called_in_line_and_take_nothing) {
  Permits permits;
  std::string log;
  Watcher a(log, 'a'), b(log, 'b'), c(log, 'c');
  const auto watch = [&](Watcher& watcher) {
    WaitQueue::Lock lock(permits.queue());
    permits.queue().watch(lock, watcher);
  };
  watch(a);
  watch(b);
  auto task = spawn([&] { permits.acquire(); });
  run_until_blocked();
  watch(c);
  BOOST_TEST(permits.queue().unwatch(b));
  BOOST_TEST(!permits.queue().unwatch(b));
  permits.release();
  BOOST_TEST(log == "a");
  BOOST_TEST(!permits.queue().unwatch(a));
  task.get();
  permits.release();
  BOOST_TEST(log == "ac");
  BOOST_TEST(permits.count() == 1);
}

BOOST_AUTO_TEST_CASE(watchers_can_be_visited) {
  WaitQueue queue;
  std::string log, visited;
  Watcher a(log, 'a'), b(log, 'b');
  Waiter other([](Waiter&) noexcept -> Waiter* { return nullptr; });
  WaitQueue::Lock lock(queue);
  for (Waiter* waiter : {static_cast<Waiter*>(&a), &other, static_cast<Waiter*>(&b)}) {
    queue.watch(lock, *waiter);
  }
  queue.for_each_watcher(lock, &Watcher::notify,
                         [&](Waiter& waiter) { visited += static_cast<Watcher&>(waiter).name; });
  BOOST_TEST(visited == "ab");
  Claimed claimed;
  queue.claim_all(lock, claimed);
  claimed.resume();
  BOOST_TEST(log == "ab");
}

// ---- Waiting for nobody -------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(one_may_wait_nowhere) {
  const TimePoint start = now();
  WaitQueue::wait_nowhere(start + 1s, "nowhere");
  BOOST_TEST((now() == start + 1s));
  WaitQueue::wait_nowhere(kPast, "nowhere");
  auto task = spawn([] { WaitQueue::wait_nowhere(kForever, "nowhere"); });
  run_until_blocked();
  BOOST_TEST(!task.done());
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
}

// ---- Plain threads ------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_plain_thread_waits_until_its_deadline_and_not_less) {
  Permits permits;
  for (const Duration time : {Duration(0), Duration(100us), Duration(2ms)}) {
    const TimePoint deadline = Clock::now() + time;
    BOOST_TEST(!permits.acquire(deadline));
    BOOST_TEST((Clock::now() >= deadline));
    BOOST_TEST(permits.nobody_waits());
  }
  const TimePoint deadline = Clock::now() + 1ms;
  WaitQueue::wait_nowhere(deadline, "nowhere");
  BOOST_TEST((Clock::now() >= deadline));
}

BOOST_AUTO_TEST_CASE(plain_threads_wake_each_other) {
  Permits permits;
  std::atomic<int> got{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] { got += permits.acquire(i % 2 ? kForever : Clock::now() + 1h); });
  }
  for (int i = 0; i < 4; ++i) {
    await_a_waiter(permits);
    permits.release();
  }
  for (auto& thread : threads) thread.join();
  BOOST_TEST(got == 4);
  BOOST_TEST(permits.count() == 0);
}

BOOST_AUTO_TEST_CASE(a_claimed_thread_waits_for_its_wake_up_whatever_its_deadline) {
  Permits permits;
  std::atomic<bool> claimed{false}, returned{false}, resumed{false};
  bool woken = false, token_left = true;
  std::thread thread([&] {
    while (!woken && !claimed) woken = permits.acquire(Clock::now() + 3ms);
    returned = true;
    while (!resumed) std::this_thread::yield();
    token_left = this_thread_parker().wait(kPast);
  });
  Waiter* waiter = nullptr;
  while (!waiter) waiter = claim(permits.queue());
  claimed = true;
  std::this_thread::sleep_for(10ms);
  BOOST_TEST(!returned);
  waiter->resume();
  resumed = true;
  thread.join();
  BOOST_TEST(woken);
  BOOST_TEST(!token_left);
}

BOOST_AUTO_TEST_CASE(a_token_that_came_too_late_for_one_wait_is_not_left_for_the_next) {
  // A thread whose time is over, but who was claimed before, waits for the token of that claim.
  Permits permits;
  const int rounds = 20'000 / kScale;
  std::atomic<int> released{0};
  std::atomic<bool> stop{false};
  std::thread releaser([&] {
    while (!stop) {
      while (permits.nobody_waits() && !stop) std::this_thread::yield();
      permits.release();
      ++released;
    }
  });
  int got = 0;
  for (int i = 0; i < rounds; ++i) got += permits.acquire(Clock::now() + Duration(i % 5'000));
  stop = true;
  releaser.join();
  BOOST_TEST(got + permits.count() == released);
  BOOST_TEST(!this_thread_parker().wait(kPast));
}

BOOST_AUTO_TEST_CASE(a_fiber_and_a_plain_thread_take_turns) {
  const int rounds = 5'000 / kScale;
  Permits ping, pong;
  int count = 0;  // not atomic: the permits order the accesses
  SchedulerThread other;
  auto task = spawn(
      [&] {
        for (int i = 0; i < rounds; ++i) {
          ping.acquire();
          ++count;
          pong.release();
        }
      },
      {.on = other.get()});
  for (int i = 0; i < rounds; ++i) {
    ping.release();
    pong.acquire();
    BOOST_REQUIRE(count == i + 1);
  }
  task.get();
}

// ---- Many threads -------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(the_one_that_was_woken_may_destroy_the_queue) {
  const int rounds = 2'000 / kScale;
  SchedulerThread one, two;
  const auto wait_and_destroy = [](std::unique_ptr<Permits>& permits) {
    permits->acquire();
    permits.reset();
  };
  for (int i = 0; i < rounds; ++i) {
    auto owned = std::make_unique<Permits>();
    Permits& permits = *owned;
    const auto release = [&] { permits.release(); };
    auto waiter =
        i % 3 < 2 ? spawn([&] { wait_and_destroy(owned); }, {.on = one.get()}) : Task<void>();
    auto waker = i % 3 > 0 ? spawn(release, {.on = two.get()}) : Task<void>();
    if (!waker.valid()) release();
    if (!waiter.valid()) wait_and_destroy(owned);
    if (waiter.valid()) waiter.get();
    if (waker.valid()) waker.get();
    BOOST_REQUIRE(!owned);
  }
}

BOOST_AUTO_TEST_CASE(no_token_is_lost_among_fibers_schedulers_and_threads) {
  constexpr unsigned kSeed = 1;
  constexpr int kTokens = 3;
  constexpr int kFibers = 6;  // on each of two schedulers
  constexpr int kThreads = 2;
  const int wanted = 100'000 / kScale;

  Permits permits(kTokens);
  std::atomic<int> passed{0}, timed_out{0}, cancelled{0}, stuck{0};

  const auto pass = [&](TimePoint deadline, bool keep_for_a_while) {
    if (!permits.acquire(deadline)) return false;
    struct Release {
      Permits& permits;
      ~Release() { permits.release(); }
    } const release{permits};
    if (keep_for_a_while) yield();  // others come and find nothing
    ++passed;
    return true;
  };
  const auto work = [&](unsigned seed, Scheduler* elsewhere) {
    std::mt19937 random(seed);
    while (passed < wanted && stuck == 0) {
      const unsigned choice = random() % 32;
      if (choice < 4) {
        if (!pass(Clock::now() + Duration(random() % 20'000), false)) ++timed_out;
      } else if (choice == 4) {
        auto task = spawn([&] { pass(kForever, true); }, {.on = elsewhere});
        for (unsigned pause = random() % 4; pause > 0; --pause) yield();
        task.cancel();
        task.wait();
        ++cancelled;
      } else if (!pass(Clock::now() + 20s, choice < 12)) {
        ++stuck;  // a wait that ends in time unless a token was lost
      }
    }
  };

  const TimePoint start = Clock::now();
  BOOST_TEST_CONTEXT("seed " << kSeed) {
    SchedulerThread one, two;
    std::vector<Task<void>> fibers;
    std::vector<std::thread> threads;
    unsigned seed = kSeed;
    for (int i = 0; i < kFibers; ++i) {
      fibers.push_back(spawn([&, its = ++seed] { work(its, two.get()); }, {.on = one.get()}));
      fibers.push_back(spawn([&, its = ++seed] { work(its, one.get()); }, {.on = two.get()}));
    }
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, its = ++seed] { work(its, one.get()); });
    }
    for (auto& fiber : fibers) fiber.get();
    for (auto& thread : threads) thread.join();
    BOOST_TEST(stuck == 0);
    BOOST_TEST(permits.count() == kTokens);
    BOOST_TEST(permits.nobody_waits());
    BOOST_TEST(passed >= wanted);
  }
  BOOST_TEST_MESSAGE(passed << " passed, " << timed_out << " timed out, " << cancelled
                            << " cancelled, in " << (Clock::now() - start).count() / 1'000'000
                            << " ms");
}

BOOST_AUTO_TEST_SUITE_END()
