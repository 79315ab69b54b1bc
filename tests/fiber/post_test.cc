// How calls are run: those of post(), call_soon(), call_at() and done callbacks.

#include <sys/resource.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/core/context.h"
#include "weft/fiber/core/loop.h"
#include "weft/fiber/core/virtual_port.h"

BOOST_AUTO_TEST_SUITE(post)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

Scheduler& here() { return Scheduler::current(); }

// Where the running fiber's stack is.
[[gnu::noinline]] std::uintptr_t page_of_stack() {
  char local = 0;
  char* volatile address = &local;
  return reinterpret_cast<std::uintptr_t>(address) / 65536;
}

}  // namespace

// ---- Order --------------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(posts_and_calls_of_a_fiber_start_in_one_order) {
  std::string order;
  here().post([&] { order += 'a'; });
  here().call_soon([&] { order += 'b'; });
  here().post([&] { order += 'c'; });
  here().call_soon([&] { order += 'd'; });
  run_until_blocked();
  BOOST_TEST(order == "abcd");
}

WEFT_SHUFFLED_TEST_CASE(calls_that_wait_start_in_order_too) {
  std::string order;
  for (char name = 'a'; name <= 'z'; ++name) {
    here().post([&order, name] {
      order += name;
      if (name % 3 == 0) yield();
      if (name % 3 == 1) sleep_for(1s);
    });
  }
  run_until_blocked();
  BOOST_TEST(order == "abcdefghijklmnopqrstuvwxyz");
  sleep_for(1h);
}

WEFT_TEST_CASE(where_a_call_waits_the_next_starts_before_other_fibers) {
  std::string order;
  here().post([&] { order += 'a', sleep_for(1s); });
  here().post([&] { order += 'b', yield(), order += 'e'; });
  here().post([&] { order += 'c'; });
  auto other = spawn([&] { order += 'd'; });
  other.wait();
  run_until_blocked();
  BOOST_TEST(order == "abcde");
  sleep_for(1h);
}

WEFT_SHUFFLED_TEST_CASE(calls_that_post_again_take_their_turn) {
  int ran = 0;
  std::function<void()> again = [&] {
    if (++ran < 1000) here().post(again);
  };
  here().post(again);
  run_until_blocked();
  BOOST_TEST(ran == 1000);
}

WEFT_TEST_CASE(a_call_without_end_lets_fibers_and_timers_have_their_turn) {
  bool over = false;
  int ran = 0;
  std::function<void()> again = [&] {
    ++ran;
    if (!over) here().post(again);
  };
  here().post(again);
  for (int i = 0; i < 100; ++i) yield();
  BOOST_TEST(ran >= 100);
  BOOST_TEST(ran <= 100 * 64 + 64);
  over = true;
  run_until_blocked();
}

WEFT_TEST_CASE(of_many_calls_no_more_than_64_run_between_two_fibers) {
  int ran = 0;
  for (int i = 0; i < 10'000; ++i) here().post([&] { ++ran; });
  int turns = 0;
  while (ran < 10'000) {
    const int before = ran;
    yield();
    BOOST_TEST(ran - before <= 64);
    ++turns;
  }
  BOOST_TEST(turns >= 10'000 / 64);
}

WEFT_TEST_CASE(of_many_calls_that_wait_no_more_than_64_start_between_two_fibers) {
  int started = 0;
  std::function<void()> call = [&] {
    if (++started < 1000) here().post(call);
    sleep_for(1s);
  };
  for (int i = 0; i < 2; ++i) here().post(call);  // while one starts the other is due
  while (started < 1000) {
    const int before = started;
    yield();
    BOOST_TEST(started - before <= 64);
  }
  sleep_for(1h);
}

WEFT_TEST_CASE(where_a_call_that_another_has_posted_waits_the_next_starts_too) {
  std::string order;
  here().post([&] {
    order += 'a';
    here().post([&] {
      order += 'b';
      sleep_for(1s);
    });
    here().post([&] { order += 'c'; });
  });
  auto other = spawn([&] { order += 'f'; });
  other.wait();
  run_until_blocked();
  BOOST_TEST(order == "abcf");
  sleep_for(1h);
}

WEFT_TEST_CASE(a_call_that_has_waited_leaves_what_fibers_have_posted_to_its_turn) {
  std::string order;
  here().post([&] { yield(), order += 'a'; });
  yield();
  auto other = spawn([&] { order += 'f'; });
  here().post([&] { order += 'b', yield(); });
  here().post([&] { order += 'c'; });
  other.wait();
  run_until_blocked();
  BOOST_TEST(order == "afbc");
}

WEFT_REAL_TIME_TEST_CASE(calls_that_compute_let_fibers_have_their_turn_when_a_turn_is_over) {
  int ran = 0;
  for (int i = 0; i < 200; ++i) {
    here().post([&] {
      const TimePoint end = now() + 500us;
      while (now() < end) {
      }
      ++ran;
    });
  }
  while (ran < 200) {
    const int before = ran;
    yield();
    BOOST_TEST(ran - before < 40);
  }
}

BOOST_AUTO_TEST_CASE(a_stop_ends_the_turn_between_two_calls_and_the_next_run_goes_on) {
  VirtualClock clock;
  ThreadPort thread;
  VirtualPort port(thread, clock);
  Loop scheduler(port, {});
  std::string order;
  scheduler.post([&] { order += 'a'; });
  scheduler.post([&] { order += 'b', scheduler.stop(); });
  scheduler.post([&] { order += 'c'; });
  scheduler.post([&] { order += 'd', scheduler.stop(); });
  scheduler.run();
  BOOST_TEST(order == "ab");
  scheduler.run();
  BOOST_TEST(order == "abcd");
  scheduler.shutdown();
}

// ---- What each call is --------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(each_call_is_a_fiber_of_its_own) {
  FiberLocal<int> local(0);
  std::set<std::uint64_t> ids{current_task().id};
  std::size_t failures = 0;
  here().set_exception_handler([&](std::exception_ptr) { ++failures; });
  for (int i = 0; i < 100; ++i) {
    here().post([&, i] {
      BOOST_TEST(ids.insert(current_task().id).second);
      BOOST_TEST(current_task().name == "");
      BOOST_TEST(local.get() == 0);
      local.set(i + 1);
      if (i % 4 == 0) throw std::runtime_error("test");
      if (i % 4 == 1) {
        BOOST_CHECK_THROW(with_timeout(0s, [] { sleep_for(1h); }), TimeoutError);
      }
      if (i % 4 == 2) sleep_for(1s);
    });
  }
  sleep_for(1h);
  BOOST_TEST(ids.size() == 101u);
  BOOST_TEST(failures == 25u);
}

WEFT_TEST_CASE(a_callable_goes_before_the_next_call_starts) {
  struct Noted {
    Noted(std::string& its_order, char its_name) : order(its_order), name(its_name) {}
    ~Noted() { order += name; }
    std::string& order;
    const char name;
  };
  std::string order;
  const auto noted = [&](char name) { return std::make_shared<const Noted>(order, name); };
  here().post([&, its = noted('A')] { order += 'a'; });
  here().post([&, its = noted('B')] { order += 'b'; });
  run_until_blocked();
  BOOST_TEST(order == "aAbB");
}

WEFT_SHUFFLED_TEST_CASE(a_callable_whose_end_waits_holds_up_nobody) {
  struct Slow {
    explicit Slow(bool& its_gone) : gone(its_gone) {}
    ~Slow() { sleep_for(1s), gone = true; }
    bool& gone;
  };
  bool gone = false, ran = false;
  here().post([slow = std::make_shared<const Slow>(gone)] {});
  here().post([&] { ran = true; });
  run_until_blocked();
  BOOST_TEST(ran);
  BOOST_TEST(!gone);
  sleep_for(1h);
  BOOST_TEST(gone);
}

WEFT_TEST_CASE(a_move_only_callable_will_do) {
  int seen = 0;
  here().post([&, its = std::make_unique<int>(7)] { seen = *its; });
  run_until_blocked();
  BOOST_TEST(seen == 7);
}

WEFT_TEST_CASE(a_call_that_has_not_begun_is_no_task) {
  for (int i = 0; i < 100; ++i) here().post([] { BOOST_TEST(all_tasks().size() == 2u); });
  BOOST_TEST(all_tasks().size() == 1u);
  yield();  // after 64
  BOOST_TEST(all_tasks().size() == 1u);
  run_until_blocked();
}

// ---- Many ---------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(posts_that_do_not_wait_run_on_two_stacks) {
  constexpr int kPosts = 100'000;
  run_case([] {
    std::set<std::uintptr_t> stacks;
    int ran = 0;
    std::thread([&, &its = here()] {
      for (int i = 0; i < kPosts; ++i) its.post([&] { ++ran, stacks.insert(page_of_stack()); });
    }).join();
    for (int i = 0; i < kPosts; ++i)
      here().call_soon([&] { ++ran, stacks.insert(page_of_stack()); });
    while (ran < 2 * kPosts) yield();
    BOOST_TEST(stacks.size() <= 4u);  // with a border of the above in each
  });
}

#if !defined(WEFT_VALGRIND)
// Beside 1 us slices the loop looks each 100 us: much of the rest is for threads that take turns on
// few processors.
WEFT_REAL_TIME_TEST_CASE(a_thread_that_posts_without_end_keeps_no_sleeper) {
  std::atomic<bool> over{false};
  std::int64_t ran = 0;
  Promise<void> last;
  std::thread poster([&, &its = here()] {
    do {
      its.post([&] { ++ran; });
    } while (!over);
    its.post([&] { last.set_value(); });
  });
  for (int i = 0; i < 20; ++i) {
    const TimePoint begin = now();
    sleep_for(1ms);
    const Duration late = now() - begin - 1ms;
    BOOST_TEST((late < 1s), late.count() << " ns late");
  }
  over = true;
  poster.join();
  last.future().wait();
  BOOST_TEST(ran > 0);
}
#endif

WEFT_CORES_TEST_CASE(threads_and_schedulers_post_to_each_other_and_nothing_is_lost) {
  constexpr int kPosts = 2000;
  const auto schedulers = Runtime::current().schedulers();
  std::atomic<int> ran{0};
  const auto post_to_all = [&] {
    for (int i = 0; i < kPosts; ++i) {
      schedulers[static_cast<std::size_t>(i) % 3]->post([&, i] {
        if (i % 7 == 0) yield();
        if (i % 11 == 0) sleep_for(1ms);
        ran.fetch_add(1, std::memory_order_relaxed);
      });
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) threads.emplace_back(post_to_all);
  spread(post_to_all);
  run_in_executor([&] {
    for (std::thread& thread : threads) thread.join();
  });
  while (ran < 5 * kPosts || count_fibers() > 1) sleep_for(1ms);
  BOOST_TEST(ran == 5 * kPosts);
}

// ---- Where there is no stack --------------------------------------------------------------------

#if !defined(WEFT_ASAN) && !defined(WEFT_TSAN) && !defined(WEFT_VALGRIND)

namespace {

// Runs f() on virtual time in a process whose stacks end at some 200. Returns what it says.
ChildEnd run_with_few_stacks(const std::function<bool()>& f) {
  return run_in_child([&] {
    const auto limited = [&] {
      std::FILE* const file = std::fopen("/proc/self/statm", "r");
      unsigned long pages = 0;
      if (!file || std::fscanf(file, "%lu", &pages) != 1) return false;
      std::fclose(file);
      const rlimit limit{pages * 4096 + 200 * 256 * 1024, RLIM_INFINITY};
      return setrlimit(RLIMIT_AS, &limit) == 0 && f();
    };
    return run(limited, {.virtual_time = true}) ? 0 : 1;
  });
}

void check_told_once(const ChildEnd& end) {
  BOOST_TEST(end.exit_code == 0);
  BOOST_TEST(end.said.starts_with("weft: calls wait until there is a stack for them: "), end.said);
  BOOST_TEST(end.said.find('\n') == end.said.size() - 1, end.said);
}

constexpr int kMany = 5000;

}  // namespace

BOOST_AUTO_TEST_CASE(posts_for_which_there_is_no_stack_wait_until_fibers_end) {
  check_told_once(run_with_few_stacks([] {
    int ran = 0;
    for (int i = 0; i < kMany; ++i) here().post([&] { sleep_for(1s), ++ran; });
    sleep_for(24h);
    return ran == kMany;
  }));
}

BOOST_AUTO_TEST_CASE(posts_of_a_thread_for_which_there_is_no_stack_wait_too) {
  check_told_once(run_with_few_stacks([] {
    std::atomic<int> ran{0};
    std::thread([&, &its = here()] {
      for (int i = 0; i < kMany; ++i) its.post([&] { sleep_for(1s), ++ran; });
    }).join();
    sleep_for(24h);
    return ran == kMany;
  }));
}

BOOST_AUTO_TEST_CASE(timers_of_one_instant_for_which_there_is_no_stack_wait_too) {
  check_told_once(run_with_few_stacks([] {
    int ran = 0;
    for (int i = 0; i < kMany; ++i) here().call_later(1s, [&] { sleep_for(1s), ++ran; });
    sleep_for(24h);
    return ran == kMany;
  }));
}

BOOST_AUTO_TEST_CASE(done_callbacks_for_which_there_is_no_stack_wait_too) {
  check_told_once(run_with_few_stacks([] {
    int ran = 0;
    Promise<void> promise;
    for (int i = 0; i < kMany; ++i)
      promise.future().add_done_callback([&] { sleep_for(1s), ++ran; });
    promise.set_value();
    sleep_for(24h);
    return ran == kMany;
  }));
}

BOOST_AUTO_TEST_CASE(a_burst_of_posts_that_do_not_wait_needs_no_further_stacks) {
  const ChildEnd end = run_with_few_stacks([] {
    int ran = 0;
    for (int i = 0; i < kMany; ++i) here().post([&] { ++ran; });
    while (ran < kMany) yield();
    return true;
  });
  BOOST_TEST(end.exit_code == 0);
  BOOST_TEST(end.said == "");
}

BOOST_AUTO_TEST_CASE(posts_for_which_there_is_no_stack_are_dropped_at_the_end) {
  const ChildEnd end = run_with_few_stacks([] {
    for (int i = 0; i < kMany; ++i) here().post([] { sleep_for(1h); });
    run_until_blocked();
    return true;
  });
  check_told_once(end);
}

#endif

// ---- The end ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(calls_that_are_due_at_the_shutdown_are_dropped_on_a_fiber) {
  struct Slow {
    explicit Slow(int& its_gone) : gone(its_gone) {}
    ~Slow() { sleep_for(1s), ++gone; }
    int& gone;
  };
  int gone = 0, ran = 0;
  run(
      [&] {
        for (int i = 0; i < 100; ++i) {
          here().post([&, slow = std::make_shared<const Slow>(gone)] { ++ran; });
        }
      },
      {.virtual_time = true});
  BOOST_TEST(ran == 0);
  BOOST_TEST(gone == 100);
}

BOOST_AUTO_TEST_CASE(a_call_that_waits_at_the_shutdown_is_cancelled_and_starts_no_other) {
  std::string order;
  run(
      [&] {
        here().post([&] {
          order += 'a';
          if (throws_cancelled([] { sleep_for(1h); })) order += 'b';
          here().post([&] { order += 'x'; });
        });
        run_until_blocked();
        here().post([&] { order += 'y'; });
      },
      {.virtual_time = true});
  BOOST_TEST(order == "ab");
}

BOOST_AUTO_TEST_CASE(so_is_one_that_has_the_stack_of_another_call) {
  std::string order;
  run(
      [&] {
        here().post([&] { order += 'a'; });
        here().post([&] {
          order += 'b';
          if (throws_cancelled([] { sleep_for(1h); })) order += 'c';
        });
        run_until_blocked();
      },
      {.virtual_time = true});
  BOOST_TEST(order == "abc");
}

BOOST_AUTO_TEST_SUITE_END()
