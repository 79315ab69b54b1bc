#include "weft/fiber/cancel.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"

BOOST_AUTO_TEST_SUITE(cancel)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

bool sleep_is_cancelled() {
  return throws_cancelled([] { sleep_for(1h); });
}

// A destructor that waits.
struct Cleanup {
  bool& done;
  ~Cleanup() {
    sleep_for(1s);
    sleep_for(1s);
    done = true;
  }
};

}  // namespace

// ---- When it comes ------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_task_cancelled_before_it_starts_never_runs) {
  auto task = spawn([] { BOOST_ERROR("it ran"); });
  task.cancel();
  BOOST_TEST(!task.done());
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
}

WEFT_SHUFFLED_TEST_CASE(a_ready_task_is_cancelled_at_its_next_wait) {
  int steps = 0;
  Promise<void> promise;
  auto task = spawn([&, future = promise.future()] {
    future.get();
    ++steps;
    yield();
    ++steps;
  });
  run_until_blocked();
  promise.set_value();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(steps == 1);
}

WEFT_SHUFFLED_TEST_CASE(a_waiting_task_is_cancelled_at_once) {
  const TimePoint start = now();
  auto task = spawn([] { sleep_for(1h); });
  sleep_for(1s);
  task.cancel();
  BOOST_TEST(!task.done());
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST((now() == start + 1s));
}

WEFT_SHUFFLED_TEST_CASE(every_kind_of_wait_can_be_cancelled) {
  Promise<void> never;
  const Future<void> future = never.future();
  std::vector<Future<void>> futures{future};
  auto target = spawn([&] { future.get(); });
  std::vector<Task<void>> targets;
  targets.push_back(spawn([&] { future.get(); }));

  const std::map<std::string, std::function<void()>> waits{
      {"sleep_for", [] { sleep_for(1h); }},
      {"sleep_until", [] { sleep_until(kForever); }},
      {"Future::get", [&] { future.get(); }},
      {"Future::wait", [&] { future.wait(); }},
      {"Future::wait_for", [&] { future.wait_for(1h); }},
      {"Task::wait", [&] { target.wait(); }},
      {"Task::wait_until", [&] { target.wait_until(kForever); }},
      {"Task::get", [&] { target.get(); }},
      {"TaskGroup::join",
       [&] {
         TaskGroup group;
         group.spawn([&] { future.get(); });
         group.join();
       }},
      {"gather", [&] { gather([&] { future.get(); }); }},
      {"wait", [&] { wait(futures); }},
      {"wait for the first", [&] { wait(targets, When::first_completed, 1h); }},
      {"as_completed",
       [&] {
         for (auto i : as_completed(futures)) (void)i;
       }},
  };
  for (const auto& [name, wait] : waits) {
    auto task = spawn([&wait = wait] {
      bool cancelled = throws_cancelled(wait);          // during the wait
      cancelled = cancelled && throws_cancelled(wait);  // before it
      return cancelled;
    });
    run_until_blocked();
    task.cancel();
    BOOST_TEST(task.get(), name);
  }
  BOOST_TEST(!target.done());
}

WEFT_SHUFFLED_TEST_CASE(a_task_that_only_yields_can_be_cancelled) {
  bool started = false;
  auto task = spawn([&] {
    started = true;
    for (;;) yield();
  });
  while (!started) yield();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
}

WEFT_TEST_CASE(a_wait_that_is_over_already_is_cancelled_only_if_it_is_a_sleep) {
  Promise<int> promise;
  promise.set_value(7);
  auto done = spawn([] {});
  done.wait();
  auto task = spawn([&] {
    BOOST_TEST(sleep_is_cancelled());
    BOOST_TEST(throws_cancelled([] { sleep_for(0s); }));
    BOOST_TEST(throws_cancelled([] { sleep_until(kPast); }));
    BOOST_TEST(throws_cancelled([] { yield(); }));
    BOOST_TEST(promise.future().get() == 7);
    BOOST_TEST(promise.future().wait_for(0s));
    done.get();
    TaskGroup().join();
  });
  run_until_blocked();
  task.cancel();
  task.get();
}

WEFT_SHUFFLED_TEST_CASE(cancelling_twice_is_cancelling_once) {
  int times = 0;
  auto task = spawn([&] {
    times += sleep_is_cancelled();
    shield([] { sleep_for(1s); });
  });
  run_until_blocked();
  task.cancel();
  task.cancel();
  yield();
  task.cancel();
  task.get();
  task.cancel();
  BOOST_TEST(times == 1);
}

WEFT_SHUFFLED_TEST_CASE(a_task_that_has_ended_cannot_be_cancelled) {
  auto task = spawn([] { return 7; });
  task.wait();
  task.cancel();
  BOOST_TEST(task.get() == 7);
  task = {};
  // Nor does it stick to the stack.
  auto next = spawn([] {
    yield();
    return 8;
  });
  BOOST_TEST(next.get() == 8);
}

WEFT_SHUFFLED_TEST_CASE(a_task_may_cancel_itself) {
  Task<void> task;
  bool went_on = false;
  task = spawn([&] {
    task.cancel();
    went_on = true;
    yield();
    BOOST_ERROR("it was not cancelled");
  });
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(went_on);
}

BOOST_AUTO_TEST_CASE(any_thread_may_cancel) {
  SchedulerThread other;
  std::atomic<bool> started{false};
  auto task = spawn(
      [&] {
        started = true;
        sleep_for(1h);
      },
      {.on = other.get()});
  while (!started) std::this_thread::yield();
  task.cancel();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  task.cancel();
}

BOOST_AUTO_TEST_CASE(cancelling_from_another_thread_may_race_with_the_end) {
  SchedulerThread other;
  for (int i = 0; i < 2000; ++i) {
    auto task = spawn(
        [] {
          yield();
          return 7;
        },
        {.on = other.get()});
    for (int pause = i % 50; pause > 0; --pause) std::this_thread::yield();
    task.cancel();
    try {
      if (task.get() != 7) BOOST_ERROR("wrong result");
    } catch (const TaskCancelled&) {
    }
  }
}

// ---- A level, not an event ----------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(every_later_wait_throws_too) {
  auto task = spawn([] {
    for (int i = 0; i < 10; ++i) {
      if (!sleep_is_cancelled()) return false;
    }
    return true;
  });
  run_until_blocked();
  task.cancel();
  BOOST_TEST(task.get());
}

WEFT_SHUFFLED_TEST_CASE(catching_everything_does_not_swallow_it) {
  int caught = 0;
  auto task = spawn([&] {
    for (int i = 0; i < 3; ++i) {
      try {
        sleep_for(1h);
      } catch (...) {
        ++caught;
      }
    }
    sleep_for(1h);
    BOOST_ERROR("swallowed");
  });
  run_until_blocked();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(caught == 3);
}

WEFT_SHUFFLED_TEST_CASE(a_task_that_ends_otherwise_was_not_cancelled) {
  auto value = spawn([] { return sleep_is_cancelled() ? 7 : 8; });
  auto error = spawn([] {
    if (sleep_is_cancelled()) throw std::runtime_error("mine");
  });
  run_until_blocked();
  value.cancel(), error.cancel();
  BOOST_TEST(value.get() == 7);
  BOOST_CHECK_EXCEPTION(error.get(), std::runtime_error,
                        [](const auto& e) { return e.what() == std::string("mine"); });
}

WEFT_TEST_CASE(cancelled_is_no_std_exception_and_only_weft_makes_one) {
  static_assert(!std::is_convertible_v<Cancelled*, std::exception*>);
  static_assert(!std::is_default_constructible_v<Cancelled>);
  static_assert(std::is_convertible_v<TaskCancelled*, std::runtime_error*>);
  static_assert(std::is_convertible_v<TimeoutError*, std::runtime_error*>);
  auto task = spawn([] {
    try {
      sleep_for(1h);
    } catch (const std::exception&) {
      BOOST_ERROR("taken for an error");
    }
  });
  run_until_blocked();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
}

// ---- Races with a wake-up -----------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_wake_up_beats_a_later_cancel) {
  Promise<int> promise;
  int got = 0;
  auto task = spawn([&, future = promise.future()] {
    got = future.get();
    return sleep_is_cancelled();
  });
  run_until_blocked();
  promise.set_value(7);
  task.cancel();
  BOOST_TEST(task.get());
  BOOST_TEST(got == 7);
}

WEFT_SHUFFLED_TEST_CASE(a_cancel_beats_a_later_wake_up) {
  Promise<int> promise;
  auto task = spawn([future = promise.future()] {
    return throws_cancelled([&] { future.get(); }) && future.get() == 7;
  });
  run_until_blocked();
  task.cancel();
  promise.set_value(7);
  BOOST_TEST(task.get());
}

WEFT_SHUFFLED_TEST_CASE(the_end_of_a_sleep_beats_a_later_cancel) {
  auto task = spawn([] {
    sleep_for(1s);
    return sleep_is_cancelled();
  });
  auto canceller = spawn([&] {
    sleep_for(1s);
    task.cancel();
  });
  BOOST_TEST(task.get());
  canceller.get();
}

// ---- Shield -------------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_shield_holds_it_back) {
  const TimePoint start = now();
  bool finished = false;
  auto task = spawn([&] {
    const int result = shield([&] {
      sleep_for(10s);
      yield();
      finished = true;
      return 7;
    });
    BOOST_TEST(result == 7);
    sleep_for(1h);
  });
  sleep_for(1s);
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(finished);
  BOOST_TEST((now() == start + 10s));
}

WEFT_SHUFFLED_TEST_CASE(cleanup_may_wait_in_a_shield) {
  bool cleaned = false;
  auto task = spawn(when_cancelled([&] {
    shield([] { sleep_for(1s); });
    BOOST_TEST(sleep_is_cancelled());
    cleaned = true;
    throw;
  }));
  run_until_blocked();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(cleaned);
}

WEFT_SHUFFLED_TEST_CASE(shields_nest) {
  int passed = 0;
  auto task = spawn([&] {
    shield([&] {
      shield([&] { sleep_for(1s), ++passed; });
      sleep_for(1s), ++passed;
    });
    ++passed;
    sleep_for(1s), ++passed;
  });
  run_until_blocked();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(passed == 3);
}

WEFT_TEST_CASE(a_shield_passes_exceptions_and_refuses_null) {
  BOOST_CHECK_THROW(shield([] { throw std::runtime_error("through"); }), std::runtime_error);
  BOOST_CHECK_THROW(shield(std::function<void()>()), std::invalid_argument);
  int variable = 0;
  BOOST_TEST(&shield([&]() -> int& { return variable; }) == &variable);
}

BOOST_AUTO_TEST_CASE(a_shield_on_a_plain_thread_just_calls) {
  BOOST_TEST(shield([] { return 7; }) == 7);
}

// ---- Cleanup ------------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_destructor_that_waits_during_unwinding_is_not_interrupted) {
  const TimePoint start = now();
  bool cleaned = false;
  auto task = spawn([&] {
    const Cleanup cleanup{cleaned};
    sleep_for(1h);
  });
  run_until_blocked();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(cleaned);
  BOOST_TEST((now() >= start + 2s));
}

WEFT_SHUFFLED_TEST_CASE(a_cancel_does_not_interrupt_unwinding_that_is_under_way) {
  bool cleaned = false;
  auto task = spawn([&] {
    try {
      const Cleanup cleanup{cleaned};
      throw std::runtime_error("unwinds");
    } catch (const std::runtime_error&) {
      return sleep_is_cancelled();
    }
    return false;
  });
  run_until_blocked();
  BOOST_TEST(!cleaned);
  task.cancel();
  BOOST_TEST(task.get());
  BOOST_TEST(cleaned);
}

WEFT_SHUFFLED_TEST_CASE(a_wait_in_a_handler_of_exceptions_is_cancelled) {
  auto task = spawn([] {
    try {
      throw std::runtime_error("handled");
    } catch (const std::runtime_error&) {
      return sleep_is_cancelled();
    }
  });
  run_until_blocked();
  task.cancel();
  BOOST_TEST(task.get());
}

WEFT_SHUFFLED_TEST_CASE(the_end_of_a_handle_is_waited_for_by_a_cancelled_task_too) {
  bool child_ended = false;
  auto parent = spawn([&] {
    {
      auto child =
          spawn([&] { shield([&] { sleep_for(10s), child_ended = true; }); }, {.eager = true});
    }
    BOOST_TEST(child_ended);
    return sleep_is_cancelled();
  });
  sleep_for(1s);
  parent.cancel();
  BOOST_TEST(parent.get());
}

WEFT_SHUFFLED_TEST_CASE(the_end_of_a_group_is_waited_for_by_a_cancelled_task_too) {
  bool child_ended = false;
  auto parent = spawn([&] {
    {
      TaskGroup group;
      group.spawn([&] { shield([&] { sleep_for(10s), child_ended = true; }); }, {.eager = true});
    }
    BOOST_TEST(child_ended);
    return sleep_is_cancelled();
  });
  sleep_for(1s);
  parent.cancel();
  BOOST_TEST(parent.get());
}

WEFT_SHUFFLED_TEST_CASE(i_was_cancelled_and_it_was_cancelled_differ) {
  auto child = spawn([] { sleep_for(1h); });
  auto joins_a_cancelled_one = spawn([&] {
    try {
      child.get();
    } catch (const TaskCancelled&) {
      sleep_for(1s);  // not cancelled itself
      return true;
    }
    return false;
  });
  run_until_blocked();
  child.cancel();
  BOOST_TEST(joins_a_cancelled_one.get());

  auto other = spawn([] { sleep_for(1h); });
  auto is_cancelled = spawn([&] { return throws_cancelled([&] { other.get(); }); });
  run_until_blocked();
  is_cancelled.cancel();
  BOOST_TEST(is_cancelled.get());
  BOOST_TEST(!other.done());
}

// ---- yield() ------------------------------------------------------------------------------------

WEFT_TEST_CASE(a_yield_sees_a_cancellation_that_comes_meanwhile) {
  bool went_on = false;
  Task<void> task = spawn([&] {
    yield();
    went_on = true;
  });
  auto other = spawn([&] { task.cancel(); });
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(!went_on);
}

WEFT_TEST_CASE(a_yield_lets_others_run_before_it_throws) {
  std::string order;
  Task<void> task;
  task = spawn([&] {
    task.cancel();
    auto other = spawn([&] { order += 'a'; });
    order += throws_cancelled([] { yield(); }) ? 'b' : '?';
    other.detach();
  });
  task.get();
  BOOST_TEST(order == "ab");
}

WEFT_REAL_TIME_TEST_CASE(a_yield_sees_a_cancellation_by_a_thread_once_the_loop_has_looked) {
  std::atomic<bool> cancelled{false};
  auto task = spawn([&] {
    while (!cancelled) yield();
    for (int i = 0; i < 100'000'000; ++i) yield();
    BOOST_ERROR("it was not cancelled");
  });
  yield();
  std::thread thread([&] {
    task.cancel();
    cancelled = true;
  });
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  thread.join();
}

// ---- Loops that catch it ------------------------------------------------------------------------

namespace {

// Waits again and again, whatever it throws, until `over`.
template <class Wait>
void retry(const bool& over, Wait wait) {
  while (!over) {
    try {
      wait();
    } catch (...) {
    }
  }
}

// Runs f() as a fiber in a child process, and returns what that said.
std::string said_by(const std::function<void()>& f, bool virtual_time = true) {
  const ChildEnd end = run_in_child([&] {
    run(f, {.virtual_time = virtual_time});
    return 7;
  });
  BOOST_TEST(end.exit_code == 7, end.said);
  return end.said;
}

int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

WEFT_SHUFFLED_TEST_CASE(a_wait_that_throws_at_once_lets_others_run_first) {
  Mutex mutex;
  const std::lock_guard held(mutex);
  SharedMutex shared;
  const std::lock_guard held_too(shared);
  ConditionVariable condition;
  Mutex free;
  Queue<int> empty;
  Queue<int> full(1);
  full.push(1);
  Barrier barrier(2);
  Promise<void> never;
  const std::vector<std::function<void()>> waits{
      [] { yield(); },
      [] { sleep_for(1h); },
      [] { sleep_until(kForever); },
      [&] { mutex.lock(); },
      [&] { shared.lock(); },
      [&] { shared.lock_shared(); },
      [&] {
        std::unique_lock lock(free);
        condition.wait(lock);
      },
      [&] { empty.pop(); },
      [&] { full.push(2); },
      [&] { full.join(); },
      [&] { Semaphore(0).acquire(); },
      [&] { Event().wait(); },
      [&] { barrier.arrive_and_wait(); },
      [&] { never.future().wait(); },
      [&] {
        TaskGroup group;
        group.spawn([&] { never.future().get(); });
        group.join();
      },
      [&] {
        const std::vector futures{never.future()};
        wait(futures);
      },
      [] { run_in_executor([] {}); },
  };
  for (const auto& wait : waits) {
    bool over = false;
    bool begun = false;
    auto task = spawn([&] {
      begun = true;
      retry(over, wait);
    });
    while (!begun) yield();
    task.cancel();
    for (int i = 0; i < 3; ++i) yield();
    BOOST_TEST(!task.done());
    over = true;
    task.get();
  }
  never.set_value();
}

WEFT_REAL_TIME_TEST_CASE(a_socket_that_throws_at_once_lets_others_run_first) {
  auto [near, far] = UnixStream::pair();
  auto [third, fourth] = UnixStream::pair();
  TcpListener listener("127.0.0.1:0");
  UdpSocket datagrams("127.0.0.1:0");
  SignalSet signals({SIGUSR2});
  int pipe_ends[2];
  BOOST_REQUIRE(pipe(pipe_ends) == 0);
  const Fd in(pipe_ends[0]), out(pipe_ends[1]);
  char byte[1];
  const std::vector<std::function<void()>> waits{
      [&, &near = near] { near.read_some(byte); },
      [&] { listener.accept(); },
      [&] { datagrams.receive_from(byte); },
      [&] { signals.wait(); },
      [&] { wait_readable(in.get()); },
  };
  for (const auto& wait : waits) {
    bool over = false;
    auto task = spawn([&] { retry(over, wait); }, {.eager = true});
    task.cancel();
    // Timers have their turn, and sockets.
    sleep_for(1ms);
    auto echo = spawn([&third = third] {
      char other[1];
      third.read_exactly(other);
    });
    yield();
    fourth.write_all("x");
    echo.get();
    BOOST_TEST(!task.done());
    over = true;
    task.get();
  }
}

BOOST_AUTO_TEST_CASE(a_loop_that_catches_it_is_told_once_and_slowed) {
  for (const bool virtual_time : {true, false}) {
    const std::string said = said_by(
        [&] {
          bool over = false;
          std::uint64_t throws = 0;
          auto task =
              spawn([&] { retry(over, [&] { ++throws, sleep_for(1h); }); }, {.name = "stubborn"});
          yield();
          task.cancel();
          while (throws < 1002) yield();
          const std::uint64_t before = throws;
          sleep_for(50ms);
          const auto more = throws - before;
          // One for each millisecond; fewer if the machine is slow.
          if (more > 51 || (virtual_time && more < 49)) std::abort();
          std::fprintf(stderr, "%llu.", static_cast<unsigned long long>(task.id()));
          over = true;
          task.get();
        },
        virtual_time);
    BOOST_TEST(count(said, "\"stubborn\"") == 1, said);
    const std::string id = said.substr(said.rfind('\n') + 1);
    BOOST_TEST(said.find("fiber " + id.substr(0, id.size() - 1) + ' ') != said.npos, said);
  }
}

BOOST_AUTO_TEST_CASE(a_loop_in_an_expired_timeout_is_told_and_slowed_too) {
  const std::string said = said_by([] {
    bool over = false;
    auto task = spawn([&] { with_timeout(1s, [&] { retry(over, [] { sleep_for(1h); }); }); },
                      {.name = "late"});
    const TimePoint start = now();
    sleep_for(10s);
    if (now() != start + 10s) std::abort();
    over = true;
    task.get();
  });
  BOOST_TEST(count(said, "\"late\"") == 1, said);
}

BOOST_AUTO_TEST_CASE(a_thousand_waits_that_throw_are_not_told) {
  const std::string said = said_by([] {
    auto task = spawn([] {
      for (int i = 0; i < 1000; ++i) {
        if (!throws_cancelled([] { sleep_for(1s); })) std::abort();
      }
      for (int i = 0; i < 5000; ++i) {
        try {
          shield([] { with_timeout(0s, [] { yield(); }); });
          std::abort();
        } catch (const TimeoutError&) {
        }
      }
    });
    run_until_blocked();
    const TimePoint start = now();
    task.cancel();
    task.get();
    // Nor are as many timeouts, each of which is caught once.
    for (int i = 0; i < 1100; ++i) {
      try {
        with_timeout(0s, [] { yield(); });
      } catch (const TimeoutError&) {
      }
    }
    if (now() != start) std::abort();
  });
  BOOST_TEST(said == "");
}

BOOST_AUTO_TEST_CASE(shields_in_a_loop_that_catches_it_hide_nothing) {
  const std::string said = said_by([] {
    auto task = spawn(
        [] {
          for (int i = 0; i < 1100; ++i) {
            const auto child = spawn([] { sleep_for(1s); });  // destroyed in a shield
            if (!throws_cancelled([] { sleep_for(1s); })) std::abort();
          }
        },
        {.name = "hidden"});
    run_until_blocked();
    task.cancel();
    task.get();
  });
  BOOST_TEST(count(said, "\"hidden\"") == 1, said);
}

BOOST_AUTO_TEST_CASE(the_next_task_of_a_stack_begins_anew) {
  const std::string said = said_by([] {
    for (int round = 0; round < 3; ++round) {
      auto task = spawn([] {
        for (int i = 0; i < 900; ++i) throws_cancelled([] { sleep_for(1s); });
      });
      run_until_blocked();
      task.cancel();
      task.get();
    }
  });
  BOOST_TEST(said == "");
}

BOOST_AUTO_TEST_CASE(each_task_of_a_stack_is_named) {
  const std::string said = said_by([] {
    for (int round = 0; round < 3; ++round) {
      auto task = spawn(
          [] {
            for (int i = 0; i < 1100; ++i) throws_cancelled([] { sleep_for(1s); });
          },
          {.name = "again"});
      run_until_blocked();
      task.cancel();
      task.get();
    }
  });
  BOOST_TEST(count(said, "\"again\"") == 3, said);
}

BOOST_AUTO_TEST_CASE(a_loop_that_catches_it_holds_up_no_end) {
  for (const bool virtual_time : {true, false}) {
    const std::string said = said_by(
        [] {
          static bool over = false;
          spawn([] { retry(over, [] { sleep_for(1h); }); }, {.name = "stubborn"}).detach();
          // On its way out, at the end, it needs timers and the kernel.
          spawn(when_cancelled([] {
            shield([] {
              auto [near, far] = UnixStream::pair();
              auto writer = spawn([&far = far] { sleep_for(20ms), far.write_all("x"); });
              char byte[1];
              near.read_exactly(byte);
              over = true;
            });
            throw;
          })).detach();
          yield();
        },
        virtual_time);
    BOOST_TEST(count(said, "\n") <= 1, said);
  }
}

// Cancelled again and again, the pause of such a loop is still one.
BOOST_AUTO_TEST_CASE(the_pause_of_a_loop_that_catches_it_cannot_be_cancelled) {
  const std::string said = said_by([] {
    bool over = false;
    int throws = 0;
    auto task = spawn([&] { retry(over, [&] { ++throws, sleep_for(1h); }); });
    yield();
    task.cancel();
    while (throws < 1002) yield();  // the first has waited
    const int before = throws;
    for (int i = 0; i < 100; ++i) task.cancel(), yield();
    if (throws > before) std::abort();
    over = true;
    task.get();
  });
  BOOST_TEST(count(said, "\n") == 1, said);
}

WEFT_TEST_CASE(a_destructor_that_waits_again_and_again_while_unwinding_is_not_slowed) {
  struct Waits {
    ~Waits() {
      for (int i = 0; i < 3000; ++i) yield();
    }
  };
  auto task = spawn([] {
    const Waits waits;
    sleep_for(1h);
  });
  run_until_blocked();
  const TimePoint start = now();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST((now() == start));
}

BOOST_AUTO_TEST_SUITE_END()
