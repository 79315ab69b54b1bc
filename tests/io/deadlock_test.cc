// When no fiber can ever go on: what is reported, and that nothing is reported otherwise.

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>

#include "tests/support/bound.h"
#include "tests/support/caught_reports.h"
#include "tests/support/child_process.h"
#include "tests/support/end_signals.h"
#include "tests/support/failure.h"
#include "tests/support/fixture.h"
#include "tests/support/pipe.h"
#include "weft/fiber/core/context.h"
#include "weft/fiber/core/fiber.h"
#include "weft/fiber/core/running.h"

BOOST_AUTO_TEST_SUITE(deadlock)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

using OnDeadlock = RunOptions::OnDeadlock;

// The report of the one deadlock in which run(main) ends on virtual time.
template <class F>
std::string verdict_on(F main, unsigned threads = 1) {
  const Reports reports;
  BOOST_CHECK_EXCEPTION(
      run(main, {.threads = threads, .virtual_time = true}), std::logic_error,
      says("weft: deadlock: nothing is left that could wake the tasks that wait"));
  BOOST_TEST(reports.all().size() == 1u, reports.text());
  return reports.text();
}

// What main() waits for comes, on virtual time and on the machine's, and nothing is reported.
template <class F>
void check_no_verdict(F main, unsigned threads = 1) {
  for (const bool virtual_time : {true, false}) {
    const Reports reports;
    BOOST_CHECK_NO_THROW(run(main, {.threads = threads, .virtual_time = virtual_time}));
    BOOST_TEST(reports.text() == "");
  }
}

// Uses the processor for so long.
void compute(Duration time) {
  for (const TimePoint end = Clock::now() + time; Clock::now() < end;) continue;
}

// How long to hold back what a fiber waits for: so a verdict at once would come before.
constexpr Duration kMoment = 20ms;

}  // namespace

// ---- What is reported ---------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(two_mutexes_in_opposite_orders_are_a_cycle_of_their_tasks) {
  const std::string report = verdict_on([] {
    Mutex a, b;
    const auto lock_both = [](Mutex& first, Mutex& second) {
      const std::lock_guard one(first);
      yield();
      const std::lock_guard other(second);
    };
    TaskGroup group;
    group.spawn([&] { lock_both(a, b); }, {.name = "a to b"});
    group.spawn([&] { lock_both(b, a); }, {.name = "b to a"});
    group.join();
  });
  BOOST_TEST(matches(report,
                     "weft: deadlock: 3 tasks wait, and nothing is left that could wake them\n"
                     "scheduler 0: thread *, 0 ready\n"
                     "task * \"a to b\" waits 0.00 s in Mutex::lock, for task * \"b to a\"\n*"
                     "task * \"b to a\" waits 0.00 s in Mutex::lock, for task * \"a to b\"\n*"
                     "task * \"main\" waits 0.00 s in TaskGroup::join*"
                     "cycle: task * -> task * -> task *: they wait for each other\n"),
             report);
}

BOOST_AUTO_TEST_CASE(tasks_that_join_each_other_are_a_cycle) {
  const std::string report = verdict_on([] {
    std::optional<Task<void>> first, second;
    first = spawn([&] { second->wait(); }, {.name = "first"});
    second = spawn([&] { first->wait(); }, {.name = "second"});
    Event().wait();
  });
  BOOST_TEST(matches(report,
                     "*: 3 tasks wait,*"
                     "\"first\" waits 0.00 s in Task::wait, for task * \"second\"\n*"
                     "\"second\" waits 0.00 s in Task::wait, for task * \"first\"\n*"
                     "\"main\" waits 0.00 s in Event::wait\n*cycle: *"),
             report);
}

BOOST_AUTO_TEST_CASE(a_lone_task_is_reported_with_what_it_waits_in) {
  const auto check = [](const char* what, auto wait) {
    const std::string report = verdict_on(wait);
    BOOST_TEST(
        matches(report, std::string("weft: deadlock: 1 task waits, and nothing is left that could "
                                    "wake it\n*task * \"main\" waits 0.00 s in ") +
                            what + "*"),
        report);
    BOOST_TEST(count_words(report, "cycle") == 0, report);
  };
  check("Queue::pop", [] { Queue<int>().pop(); });
  check("Event::wait", [] { Event().wait(); });
  check("Future::wait", [] {
    Promise<int> kept;
    kept.future().get();
  });
  check("Semaphore::acquire", [] { Semaphore(0).acquire(); });
}

BOOST_AUTO_TEST_CASE(all_schedulers_of_the_runtime_are_in_the_report) {
  const std::string report = verdict_on(
      [] {
        Mutex a, b;
        Barrier both(2);
        const auto lock_both = [&](Mutex& first, Mutex& second) {
          const std::lock_guard one(first);
          both.arrive_and_wait();
          const std::lock_guard other(second);
        };
        auto here = spawn([&] { lock_both(a, b); }, {.name = "here"});
        auto there = spawn([&] { lock_both(b, a); }, {.name = "there", .on = on(1).on});
        here.wait();
      },
      2);
  BOOST_TEST(matches(report,
                     "*: 3 tasks wait,*scheduler 0: *\"here\" waits*, for task * \"there\"\n*"
                     "\"main\" waits*, for task * \"here\"\n*"
                     "scheduler 1: *\"there\" waits *, for task * \"here\"\n*"),
             report);
}

BOOST_AUTO_TEST_CASE(a_scheduler_without_fibers_does_not_hold_the_verdict_up) {
  const std::string report = verdict_on([] { Event().wait(); }, 3);
  BOOST_TEST(matches(report, "*: 1 task waits,*scheduler 0:*scheduler 1:*scheduler 2:*"), report);
}

BOOST_AUTO_TEST_CASE(it_comes_when_the_last_scheduler_stops_whichever_that_is) {
  for (const unsigned last : {0u, 1u}) {
    const std::string report = verdict_on(
        [&] {
          Event never;
          auto other = spawn(
              [&] {
                if (last == 1) compute(kMoment);
                never.wait();
              },
              on(1));
          if (last == 0) compute(kMoment);
          never.wait();
        },
        2);
    BOOST_TEST(matches(report, "*: 2 tasks wait,*"), report);
  }
}

BOOST_AUTO_TEST_CASE(runs_work_after_a_verdict_and_get_verdicts_of_their_own) {
  for (int i = 0; i < 3; ++i) {
    verdict_on([] { Event().wait(); }, 1 + static_cast<unsigned>(i) % 2);
    check_no_verdict([] { sleep_for(1ms); });
  }
}

BOOST_AUTO_TEST_CASE(a_runtime_runs_again_after_a_verdict) {
  const Reports reports;
  Runtime runtime({.virtual_time = true});
  Event event;
  int done = 0;
  for (int i = 0; i < 2; ++i) {
    BOOST_CHECK_THROW(runtime.run([&] {
      event.wait();
      ++done;
    }),
                      std::logic_error);
  }
  runtime.run([&] {
    event.set();
    sleep_for(1s);
  });
  BOOST_TEST(reports.all().size() == 2u, reports.text());
}

BOOST_AUTO_TEST_CASE(run_forever_throws_it_too) {
  const Reports reports;
  Runtime runtime({.virtual_time = true});
  runtime.schedulers().front()->post([] { Event().wait(); });
  BOOST_CHECK_THROW(runtime.run_forever(), std::logic_error);
  BOOST_TEST(reports.all().size() == 1u, reports.text());
}

BOOST_AUTO_TEST_CASE(a_fiber_that_never_ends_its_cleanup_ends_the_program) {
  const ChildEnd end = run_in_child([] {
    run(
        [] {
          spawn([] { shield([] { Event().wait(); }); }, {.name = "stays"}).detach();
          yield();
        },
        {.virtual_time = true});
    return 0;
  });
  BOOST_TEST(end.signal == SIGABRT, described(end));
  BOOST_TEST(matches(end.said, "*weft: deadlock: 1 task waits,*\"stays\" waits *Event::wait*"),
             described(end));
}

BOOST_AUTO_TEST_CASE(a_thread_that_has_just_ended_may_delay_a_verdict_but_does_not_prevent_it) {
  for (int i = 0; i < 10; ++i) {
    verdict_on([] {
      std::thread([] {}).join();
      Event().wait();
    });
  }
}

BOOST_AUTO_TEST_CASE(idle_threads_of_pools_do_not_prevent_a_verdict) {
  ThreadPool spinning({.threads = 3, .spin = 1ms}), sleeping({.threads = 3, .spin = 0s});
  verdict_on([&] {
    for (ThreadPool* pool : {&spinning, &sleeping}) {
      TaskGroup jobs;
      for (int i = 0; i < 5; ++i) {
        jobs.spawn([pool] { run_in_executor(*pool, [] { compute(100us); }); });
      }
      jobs.join();
    }
    run_in_executor([] {});
    Event().wait();
  });
}

BOOST_AUTO_TEST_CASE(a_watch_does_not_prevent_a_verdict) {
  const Reports reports;
  const RunOptions options{.virtual_time = true, .stall_after = 10h, .report_signal = SIGQUIT};
  for (int i = 0; i < 2; ++i) BOOST_CHECK_THROW(run(&wait_for_ever, options), std::logic_error);
  verdict_on(&wait_for_ever);  // nor what is left of it
  std::signal(SIGQUIT, SIG_DFL);
}

BOOST_AUTO_TEST_CASE(a_handler_that_ends_the_program_at_a_fault_too_does_not_prevent_a_verdict) {
  struct sigaction action {
  }, at_faults{}, at_others{};
  action.sa_handler = [](int) { std::abort(); };
  sigaction(SIGFPE, &action, &at_faults);
  sigaction(SIGUSR1, &action, &at_others);
  verdict_on(&wait_for_ever);
  sigaction(SIGFPE, &at_faults, nullptr);
  sigaction(SIGUSR1, &at_others, nullptr);
}

#if !defined(WEFT_TSAN)  // which lets a child of a process with threads start none

BOOST_AUTO_TEST_CASE(threads_that_were_left_at_a_fork_do_not_prevent_a_verdict) {
  ThreadPool pool(2);
  run_in_executor(pool, [] {});
  // A child that runs weft while a thread of the parent's sleeps is in order.
  const ChildEnd end = run_in_child([] {
    try {
      run([] { Event().wait(); }, {.virtual_time = true});
    } catch (const std::logic_error&) {
      return 7;
    }
    return 8;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

#endif

// ---- What happens then --------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(if_it_is_only_reported_the_fibers_go_on_when_something_comes_after_all) {
  Event event;
  std::thread thread;
  Scheduler* scheduler = nullptr;
  const Reports reports(
      [&] { thread = std::thread([&] { scheduler->post([&] { event.set(); }); }); });
  run(
      [&] {
        scheduler = &Scheduler::current();
        event.wait();
      },
      {.virtual_time = true, .on_deadlock = OnDeadlock::kReport});
  thread.join();
  BOOST_TEST(reports.all().size() == 1u, reports.text());
}

namespace {

// A program that waits for what never comes until it gets SIGINT. Its exit code is 7 then.
int wait_for_interrupt(bool virtual_time, OnDeadlock on_deadlock) {
  for (const int number : {SIGINT, SIGTERM}) signal(number, SIG_DFL);
  const RunOptions options{.virtual_time = virtual_time, .on_deadlock = on_deadlock};
  const auto main = [] {
    TaskGroup group;
    for (int i = 0; i < 100; ++i) group.spawn([] { yield(); });  // leave stacks to trim
    group.join();
    wait_for_ever();
  };
  return is_cancelled(main, options) ? 7 : 8;
}

// A program that gets two verdicts, as its fiber runs once in between. Its exit code is 7 then.
int wait_twice() {
  Event event, second;
  Scheduler* scheduler = nullptr;
  int reports = 0;
  set_report_handler([&](std::string_view) {
    Event& awaited = ++reports == 1 ? event : second;
    std::thread([&] { scheduler->post([&] { awaited.set(); }); }).detach();
  });
  const TimePoint start = Clock::now();
  run([&] {
    scheduler = &Scheduler::current();
    event.wait();
    second.wait();
  });
  return reports == 2 && Clock::now() - start >= 2s ? 7 : 8;
}

int fail_on_real_time() {
  const TimePoint start = Clock::now();
  try {
    run(&wait_for_ever, {.threads = 2, .on_deadlock = OnDeadlock::kFail});
  } catch (const std::logic_error&) {
    return Clock::now() - start >= 1s ? 7 : 8;
  }
  return 9;
}

}  // namespace

// Side by side, as each takes some real seconds.
BOOST_AUTO_TEST_CASE(on_real_time_a_second_of_it_is_reported_once_and_the_program_can_be_ended) {
  ChildProcess reported([] { return wait_for_interrupt(false, OnDeadlock::kAutomatic); });
  ChildProcess ignored([] { return wait_for_interrupt(false, OnDeadlock::kIgnore); });
  ChildProcess virtually([] { return wait_for_interrupt(true, OnDeadlock::kReport); });
  ChildProcess unseen([] { return wait_for_interrupt(true, OnDeadlock::kIgnore); });
  ChildProcess twice([] { return wait_twice(); });
  ChildProcess failed([] { return fail_on_real_time(); });
  for (ChildProcess* child : {&reported, &virtually}) BOOST_TEST(child->await("weft: deadlock"));
  std::this_thread::sleep_for(1500ms);  // the next look comes a second after the first
  for (ChildProcess* child : {&reported, &virtually}) {
    kill(child->pid(), SIGINT);
    const ChildEnd end = child->wait();
    BOOST_TEST(end.exit_code == 7, described(end));
    BOOST_TEST(count_words(end.said, "weft: deadlock: 1 task waits") == 1, described(end));
    BOOST_TEST(count_words(end.said, "weft: ") == 1, described(end));
  }
  for (ChildProcess* child : {&ignored, &unseen}) {
    kill(child->pid(), SIGINT);
    const ChildEnd end = child->wait();
    BOOST_TEST(end.exit_code == 7, described(end));
    BOOST_TEST(end.said == "");
  }
  for (ChildProcess* child : {&twice, &failed}) {
    const ChildEnd end = child->wait();
    BOOST_TEST(end.exit_code == 7, described(end));
  }
}

// ---- No verdict is false ------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_pending_timer_or_call_is_no_deadlock) {
  check_no_verdict([] { sleep_for(kMoment); });
  check_no_verdict([] {
    Event event;
    Scheduler::current().call_later(kMoment, [&] { event.set(); });
    event.wait();
  });
  check_no_verdict([] {
    Event never;
    never.wait_for(kMoment);
  });
}

namespace {

// Runs wait() while another process does something, after a moment, that ends the wait. No thread
// and no timer of this one could.
template <class F, class G>
void check_woken_by_other_process(F wake, G wait) {
  for (const bool virtual_time : {true, false}) {
    const Reports reports;
    ChildProcess other([&] {
      std::this_thread::sleep_for(kMoment);
      wake();
      return 0;
    });
    BOOST_CHECK_NO_THROW(run(wait, {.virtual_time = virtual_time}));
    BOOST_TEST(other.wait().exit_code == 0);
    BOOST_TEST(reports.text() == "");
  }
}

// SIGALRM after a moment.
void set_alarm() {
  const itimerval once{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_usec = 20'000}};
  setitimer(ITIMER_REAL, &once, nullptr);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_descriptor_of_others_that_is_waited_for_is_no_deadlock) {
  const BarePipe pipe;
  check_woken_by_other_process([&] { pipe.put("x"); },
                               [&] {
                                 wait_readable(pipe.in());
                                 pipe.take();
                               });
}

BOOST_AUTO_TEST_CASE(a_read_of_a_socket_is_no_deadlock) {
  auto [ours, theirs] = UnixStream::pair();
  check_woken_by_other_process([fd = theirs.native_handle()] { (void)!write(fd, "x", 1); },
                               [&ours = ours] {
                                 char byte;
                                 ours.read_some(std::span(&byte, 1));
                               });
}

BOOST_AUTO_TEST_CASE(an_accept_is_no_deadlock) {
  TcpListener listener("127.0.0.1:0");
  const Address address = listener.local_address();
  check_woken_by_other_process(
      [&] { connect(socket(AF_INET, SOCK_STREAM, 0), address.data(), address.size()); },
      [&] { listener.accept(); });
}

BOOST_AUTO_TEST_CASE(a_wait_for_signals_is_no_deadlock) {
  check_no_verdict([] {
    SignalSet signals({SIGALRM});
    set_alarm();
    signals.wait();
  });
}

namespace {

std::atomic<Fiber*> to_cancel{nullptr};
void cancel_it(int) { to_cancel.load()->request(Fiber::kCancel); }

}  // namespace

BOOST_AUTO_TEST_CASE(a_handler_for_signals_of_the_programs_might_wake_a_fiber) {
  struct sigaction action {
  }, before{};
  action.sa_handler = &cancel_it;
  sigaction(SIGALRM, &action, &before);
  for (const bool virtual_time : {true, false}) {
    const Reports reports;
    const auto main = [] {
      to_cancel = running.fiber;
      set_alarm();
      wait_for_ever();
    };
    BOOST_TEST(is_cancelled(main, {.virtual_time = virtual_time}));
    BOOST_TEST(reports.text() == "");
  }
  sigaction(SIGALRM, &before, nullptr);
}

BOOST_AUTO_TEST_CASE(a_handler_beneath_that_of_a_watch_might_wake_a_fiber) {
  const ChildEnd end = run_in_child([] {
    std::signal(SIGURG, [](int) {});
    run([] {}, {.stall_after = 10h});
    alarm(1);
    try {
      run(&wait_for_ever, {.virtual_time = true});
    } catch (const std::logic_error&) {
      return 8;
    }
    return 9;
  });
  BOOST_TEST(end.signal == SIGALRM, described(end));
}

BOOST_AUTO_TEST_CASE(a_job_that_is_waited_for_is_no_deadlock) {
  for (const Duration time : {Duration::zero(), Duration(kMoment)}) {
    for (const Duration spin : {Duration::zero(), Duration(1ms)}) {
      ThreadPool pool({.threads = 1, .spin = spin});
      check_no_verdict([&] { run_in_executor(pool, [&] { std::this_thread::sleep_for(time); }); });
      check_no_verdict([&] { run_in_executor([&] { compute(time); }); });
    }
  }
}

BOOST_AUTO_TEST_CASE(a_job_that_sets_something_later_is_no_deadlock) {
  for (const Duration spin : {Duration::zero(), Duration(1ms)}) {
    ThreadPool pool({.threads = 2, .spin = spin});
    check_no_verdict([&] {
      Event event;
      pool.post([&] {
        std::this_thread::sleep_for(kMoment);
        event.set();
      });
      event.wait();
    });
    check_no_verdict([&] {
      Event event;
      // It posts another one, which another thread does.
      pool.post([&pool, &event, &here = Scheduler::current()] {
        std::this_thread::sleep_for(kMoment);
        pool.post([&] { here.post([&] { event.set(); }); });
      });
      event.wait();
    });
  }
}

BOOST_AUTO_TEST_CASE(a_job_that_waits_in_the_queue_is_no_deadlock) {
  ThreadPool pool({.threads = 1, .max_threads = 2});
  check_no_verdict([&] {
    Event event;
    pool.post([] { std::this_thread::sleep_for(kMoment); });
    pool.post([&] { event.set(); });
    event.wait();
  });
}

BOOST_AUTO_TEST_CASE(a_thread_of_the_programs_might_wake_a_fiber) {
  std::thread thread;
  check_no_verdict([&] {
    Event event;
    thread = std::thread([&event, &here = Scheduler::current()] {
      std::this_thread::sleep_for(kMoment);
      here.post([&] { event.set(); });
    });
    event.wait();
    thread.join();
  });
}

BOOST_AUTO_TEST_CASE(a_runtime_beside_it_might_wake_a_fiber) {
  check_no_verdict([&] {
    Event event;
    std::thread thread([&event, &here = Scheduler::current()] {
      run([&] {
        sleep_for(kMoment);
        here.post([&] { event.set(); });
      });
    });
    event.wait();
    thread.join();
  });
}

BOOST_AUTO_TEST_CASE(a_fiber_of_another_scheduler_that_computes_is_no_deadlock) {
  check_no_verdict(
      [] {
        Event event;
        const auto other = spawn(
            [&] {
              compute(kMoment);
              event.set();
            },
            on(1));
        event.wait();
      },
      2);
}

namespace {

// Runs whose only waker is a job that ends at some moment, which its poster does not wait for.
void race(ThreadPool& pool, unsigned threads, std::minstd_rand& random) {
  const auto micros = std::uniform_int_distribution<int>(0, 200)(random);
  const bool by_post = random() % 2 == 0;
  run(
      [&] {
        Event event, opened;
        auto other = spawn([&] { opened.wait(); }, on(threads - 1));
        pool.post([&, &here = Scheduler::current()] {
          compute(std::chrono::microseconds(micros));
          if (by_post) {
            here.post([&] { event.set(); });
          } else {
            event.set();
          }
        });
        event.wait();
        opened.set();
        other.get();
      },
      {.threads = threads, .virtual_time = true});
}

}  // namespace

BOOST_AUTO_TEST_CASE(however_a_job_and_the_look_for_a_deadlock_meet_there_is_no_verdict) {
  const Reports reports;
  std::minstd_rand random(1);
  ThreadPool spinning({.threads = 1}), sleeping({.threads = 2, .spin = 0s});
  int runs = 0;
  try {
    for (const TimePoint end = Clock::now() + bound<Duration>(10s, 2s); Clock::now() < end;) {
      for (const unsigned threads : {1u, 2u}) {
        for (ThreadPool* pool : {&spinning, &sleeping}) race(*pool, threads, random), ++runs;
      }
    }
  } catch (const std::logic_error& error) {
    BOOST_ERROR(error.what() << " after " << runs << " runs");
  }
  BOOST_TEST_MESSAGE(runs << " runs");
  BOOST_TEST(reports.text() == "");
}

BOOST_AUTO_TEST_SUITE_END()
