#include "weft/sync/once.h"

#include <atomic>
#include <csignal>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(once)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

// Works before any constructor has run.
constinit Once global_once;

WEFT_TEST_CASE(the_function_is_called_once) {
  Once once;
  int calls = 0;
  BOOST_TEST(!once.done());
  for (int i = 0; i < 3; ++i) {
    call_once(
        once, [&](int& count, std::unique_ptr<int> part) { count += *part; }, calls,
        std::make_unique<int>(1));
    BOOST_TEST(once.done());
  }
  BOOST_TEST(calls == 1);
  call_once(global_once, [&] { ++calls; });
  BOOST_TEST(calls == 2);
}

WEFT_SHUFFLED_TEST_CASE(all_who_come_meanwhile_wait_until_it_is_done) {
  Once once;
  int calls = 0;
  bool ready = false;
  const TimePoint start = now();
  TaskGroup group;
  for (int i = 0; i < 5; ++i) {
    group.spawn([&] {
      call_once(once, [&] {
        ++calls;
        sleep_for(1s);
        ready = true;
      });
      BOOST_TEST(ready);
      BOOST_TEST((now() == start + 1s));
    });
  }
  group.join();
  BOOST_TEST(calls == 1);
}

WEFT_SHUFFLED_TEST_CASE(an_exception_lets_the_next_one_try) {
  Once once;
  int calls = 0, failed = 0;
  TaskGroup group;
  for (int i = 0; i < 5; ++i) {
    group.spawn([&] {
      try {
        call_once(once, [&] {
          sleep_for(1s);
          if (++calls < 3) throw std::runtime_error("failed");
        });
        BOOST_TEST(once.done());
      } catch (const std::runtime_error&) {
        ++failed;
      }
    });
  }
  group.join();
  BOOST_TEST(calls == 3);
  BOOST_TEST(failed == 2);
}

WEFT_SHUFFLED_TEST_CASE(a_cancelled_runner_lets_the_next_one_try) {
  Once once;
  int calls = 0;
  auto first = spawn([&] { call_once(once, [] { sleep_for(1h); }); });
  run_until_blocked();
  auto second = spawn([&] { call_once(once, [&] { ++calls; }); });
  run_until_blocked();
  first.cancel();
  second.get();
  BOOST_TEST(calls == 1);
  BOOST_CHECK_THROW(first.get(), TaskCancelled);
}

WEFT_SHUFFLED_TEST_CASE(a_cancelled_waiter_loses_nothing) {
  Once once;
  int calls = 0;
  auto runner = spawn([&] {
    call_once(once, [&] {
      ++calls;
      sleep_for(1s);
    });
  });
  run_until_blocked();
  auto gone = spawn([&] { call_once(once, [&] { ++calls; }); });
  auto late = spawn([&] {
    BOOST_CHECK_THROW(with_timeout(1ms, [&] { call_once(once, [&] { ++calls; }); }), TimeoutError);
  });
  auto waiter = spawn([&] { call_once(once, [&] { ++calls; }); });
  run_until_blocked();
  gone.cancel();
  waiter.get();
  late.get();
  runner.get();
  BOOST_CHECK_THROW(gone.get(), TaskCancelled);
  BOOST_TEST(calls == 1);
}

// Where the runner is cancelled while those whom its failure woke are, too.
WEFT_SHUFFLED_TEST_CASE(a_waiter_that_is_cancelled_when_it_is_its_turn_passes_it_on) {
  Once once;
  bool done = false;
  auto first = spawn([&] { call_once(once, [] { sleep_for(1h); }); });
  run_until_blocked();
  auto second = spawn([&] { call_once(once, [] { sleep_for(1h); }); });
  auto third = spawn([&] { call_once(once, [&] { done = true; }); });
  run_until_blocked();
  first.cancel();
  second.cancel();
  third.get();
  BOOST_TEST(done);
}

WEFT_TEST_CASE(what_is_done_is_no_cancellation_point) {
  Once once;
  call_once(once, [] {});
  auto task = spawn([&] {
    try {
      sleep_for(1h);
    } catch (const Cancelled&) {
      call_once(once, [] {});
      return true;
    }
    return false;
  });
  run_until_blocked();
  task.cancel();
  BOOST_TEST(task.get());
}

WEFT_TEST_CASE(a_waiter_says_what_it_waits_for) {
  Once once;
  auto runner = spawn([&] { call_once(once, [] { sleep_for(1s); }); });
  auto waiter = spawn([&] { call_once(once, [] {}); }, {.name = "waiter"});
  run_until_blocked();
  for (const TaskInfo& task : all_tasks()) {
    if (task.name == "waiter") BOOST_TEST(std::string(task.waiting_for) == "call_once");
  }
  waiter.get();
}

WEFT_TEST_CASE(a_function_may_call_another_once) {
  Once outer, inner;
  int calls = 0;
  call_once(outer, [&] { call_once(inner, [&] { ++calls; }); });
  BOOST_TEST(calls == 1);
}

WEFT_TEST_CASE(a_null_function_is_refused) {
  Once once;
  BOOST_CHECK_THROW(call_once(once, std::function<void()>()), std::invalid_argument);
  BOOST_TEST(!once.done());
}

BOOST_AUTO_TEST_CASE(a_function_that_calls_itself_ends_the_program_with_a_sentence) {
  const ChildEnd end = run_in_child([] {
    Once once;
    run([&] { call_once(once, [&] { call_once(once, [] {}); }); });
    return 0;
  });
  BOOST_TEST(end.signal == SIGABRT);
  BOOST_TEST(end.said.find("weft: call_once: the function calls it") != std::string::npos,
             end.said);
}

BOOST_AUTO_TEST_CASE(fibers_of_all_schedulers_and_threads_call_it_once) {
  run(
      [] {
        for (int round = 0; round < 200; ++round) {
          Once once;
          int value = 0;  // written by the one, read by all
          std::atomic<int> calls{0};
          const auto use = [&] {
            call_once(once, [&] {
              yield();
              if (calls.fetch_add(1) == 0) throw std::runtime_error("the first fails");
              value = 7;
            });
            if (value != 7) BOOST_ERROR("it is not done");
          };
          const auto use_until_done = [&] {
            try {
              use();
            } catch (const std::runtime_error&) {
              use();
            }
          };
          std::thread thread(use_until_done);
          spread([&] { gather(use_until_done, use_until_done); });
          run_in_executor([&] { thread.join(); });
          BOOST_TEST(calls.load() == 2);
        }
      },
      {.threads = 3});
}

BOOST_AUTO_TEST_SUITE_END()
