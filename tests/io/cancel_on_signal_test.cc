// run(), and the signals that are to end the program.

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "tests/support/end_signals.h"
#include "tests/support/fixture.h"
#include "weft/fiber/core/context.h"

BOOST_AUTO_TEST_SUITE(cancel_on_signal)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

using Handler = void (*)(int);

Handler handler_of(int number) {
  struct sigaction action {};
  sigaction(number, nullptr, &action);
  return action.sa_handler;
}

std::atomic<int> handled{0};
void count(int) { ++handled; }

}  // namespace

// ---- The first one ------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_signal_cancels_main_which_ends_in_order) {
  for (const int number : {SIGINT, SIGTERM}) {
    for (const bool virtual_time : {false, true}) {
      const ChildEnd end = in_child([&] {
        int steps = 0;
        // May wait, and for others.
        struct Cleanup {
          ~Cleanup() {
            sleep_for(1ms);
            steps += spawn([] {
                       yield();
                       return 1;
                     }).get();
          }
          int& steps;
        };
        const bool cancelled = is_cancelled(
            [&] {
              const Cleanup first{steps}, second{steps};
              send(number);
              wait_for_ever();
            },
            {.virtual_time = virtual_time});
        return cancelled && steps == 2 ? 7 : 1;
      });
      BOOST_TEST(end.exit_code == 7, described(end));
    }
  }
}

BOOST_AUTO_TEST_CASE(it_wakes_a_process_that_sleeps) {
  const ChildEnd end = in_child([] {
    for (int i = 0; i < 20; ++i) {
      const bool cancelled = is_cancelled([&] {
        auto sender = spawn([] { run_in_executor([] { send(SIGINT); }); });
        wait_for_ever();
      });
      if (!cancelled) return 1;
    }
    return 7;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

BOOST_AUTO_TEST_CASE(it_comes_from_other_processes) {
  const ChildEnd end = in_child([] {
    const bool cancelled = is_cancelled([] {
      const pid_t parent = getpid();
      if (fork() == 0) {
        kill(parent, SIGTERM);
        _exit(0);
      }
      wait_for_ever();
    });
    return cancelled ? 7 : 1;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

BOOST_AUTO_TEST_CASE(any_thread_may_get_it) {
  const ChildEnd end = in_child([] {
    for (int i = 0; i < 20; ++i) {
      std::thread thread;
      const bool cancelled = is_cancelled([&] {
        thread = std::thread([] { raise(SIGTERM); });
        wait_for_ever();
      });
      thread.join();
      if (!cancelled) return 1;
    }
    return 7;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

BOOST_AUTO_TEST_CASE(it_comes_through_whatever_it_interrupts) {
  const ChildEnd end = in_child([] {
    const pthread_t here = pthread_self();
    for (int i = 0; i < 60; ++i) {
      std::thread sender;
      const bool cancelled = is_cancelled([&] {
        TaskGroup parked;
        sender = std::thread([=] {
          std::this_thread::sleep_for(i * 40us);
          pthread_kill(here, SIGINT);
        });
        // Each runs once, for a moment.
        for (int n = 0; n < 500; ++n) parked.spawn(&wait_for_ever), yield();
        wait_for_ever();
      });
      sender.join();
      if (!cancelled) return 1;
    }
    return 7;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

BOOST_AUTO_TEST_CASE(busy_fibers_do_not_keep_it) {
  const ChildEnd end = in_child([] {
    bool cancelled = is_cancelled([] {
      TaskGroup group;
      for (int i = 0; i < 10; ++i) {
        group.spawn([] {
          for (;;) yield();
        });
      }
      group.spawn([] { send(SIGINT); });
      group.join();
    });
    return cancelled ? 7 : 1;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

BOOST_AUTO_TEST_CASE(a_job_that_has_begun_is_waited_for) {
  const ChildEnd end = in_child([] {
    std::atomic<bool> over{false};
    const bool cancelled = is_cancelled([&] {
      run_in_executor([&] {
        send(SIGTERM);
        for (int i = 0; i < 1000; ++i) std::this_thread::yield();
        over = true;
      });
      wait_for_ever();  // if the job was over before this thread heard of the signal
    });
    return cancelled && over ? 7 : 1;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

BOOST_AUTO_TEST_CASE(a_main_that_waits_no_more_has_its_way) {
  const ChildEnd end = in_child([] {
    if (is_cancelled([] { send(SIGINT); })) return 1;
    // It does not strike whoever comes next.
    Runtime runtime;
    for (int i = 0; i < 10; ++i) {
      runtime.run([] { send(SIGINT); });
      runtime.run([] {
        sleep_for(1ms);
        spawn([] { yield(); }).get();
      });
    }
    if (is_cancelled([] { sleep_for(1ms); })) return 2;
    return 7;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

BOOST_AUTO_TEST_CASE(each_run_can_be_cancelled) {
  const ChildEnd end = in_child([] {
    Runtime runtime;
    for (int i = 0; i < 10; ++i) {
      try {
        runtime.run([&] {
          send(i % 2 ? SIGINT : SIGTERM);
          wait_for_ever();
        });
        return 1;
      } catch (const TaskCancelled&) {
      }
      if (runtime.run([] { return spawn([] { return 5; }).get(); }) != 5) return 2;
    }
    return 7;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

// ---- The second one -----------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_second_one_ends_the_program_at_once) {
  for (const int first : {SIGINT, SIGTERM}) {
    for (const int second : {SIGINT, SIGTERM}) {
      const ChildEnd end = in_child([&] {
        struct Cleanup {
          ~Cleanup() {
            send(second);
            shield([] { sleep_for(1h); });
          }
          int second;
        };
        is_cancelled([&] {
          const Cleanup cleanup{second};
          send(first);
          wait_for_ever();
        });
        return 1;
      });
      BOOST_TEST(end.signal == second, described(end));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_second_one_ends_a_program_whose_fibers_let_nobody_run) {
  const ChildEnd end = in_child([] {
    is_cancelled([] {
      send(SIGINT);
      send(SIGINT);
      for (volatile bool forever = true; forever;) {
      }
    });
    return 1;
  });
  BOOST_TEST(end.signal == SIGINT, described(end));
}

// ---- Where it does not --------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(it_can_be_turned_off) {
  const ChildEnd end = in_child([] {
    is_cancelled(
        [] {
          if (handler_of(SIGINT) != SIG_DFL || handler_of(SIGTERM) != SIG_DFL) _exit(1);
          send(SIGTERM);
          wait_for_ever();
        },
        {.cancel_on_signal = false});
    return 2;
  });
  BOOST_TEST(end.signal == SIGTERM, described(end));
}

BOOST_AUTO_TEST_CASE(what_is_ignored_stays_ignored) {
  const ChildEnd end = in_child([] {
    signal(SIGINT, SIG_IGN);
    if (is_cancelled([] {
          send(SIGINT);
          sleep_for(1ms);
        })) {
      return 1;
    }
    if (handler_of(SIGINT) != SIG_IGN) return 2;
    const bool cancelled = is_cancelled([] {
      send(SIGTERM);
      wait_for_ever();
    });
    return cancelled && handler_of(SIGINT) == SIG_IGN ? 7 : 3;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

BOOST_AUTO_TEST_CASE(the_programs_own_handler_stays) {
  const ChildEnd end = in_child([] {
    signal(SIGINT, &count);
    if (is_cancelled([] {
          send(SIGINT);
          sleep_for(1ms);
          send(SIGINT);
          sleep_for(1ms);
        })) {
      return 1;
    }
    if (handled != 2 || handler_of(SIGINT) != &count) return 2;
    // Also one that comes later.
    if (is_cancelled([] {
          signal(SIGTERM, &count);
          send(SIGTERM);
          sleep_for(1ms);
        })) {
      return 3;
    }
    return handled == 3 && handler_of(SIGTERM) == &count ? 7 : 4;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

BOOST_AUTO_TEST_CASE(afterwards_all_is_as_it_was) {
  const ChildEnd end = in_child([] {
    const auto restored = [] {
      return handler_of(SIGINT) == SIG_DFL && handler_of(SIGTERM) == SIG_DFL;
    };
    run([] { sleep_for(1ms); });
    if (!restored()) return 1;
    try {
      run([] { throw std::runtime_error("failure"); });
    } catch (const std::runtime_error&) {
      if (!restored()) return 2;
    }
    is_cancelled([] {
      send(SIGINT);
      wait_for_ever();
    });
    if (!restored()) return 3;
    Runtime runtime;
    if (!restored()) return 4;
    send(SIGINT);
    return 5;
  });
  BOOST_TEST(end.signal == SIGINT, described(end));
}

BOOST_AUTO_TEST_CASE(other_threads_leave_signals_alone) {
  const ChildEnd end = in_child([] {
    int result = 0;
    std::thread([&] {
      run([&] {
        result = handler_of(SIGINT) == SIG_DFL && handler_of(SIGTERM) == SIG_DFL ? 7 : 1;
      });
    }).join();
    return result;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

BOOST_AUTO_TEST_CASE(a_signal_set_comes_first) {
  const ChildEnd end = in_child([] {
    int got = 0;
    const bool cancelled = is_cancelled([&] {
      {
        SignalSet signals({SIGINT});
        for (int i = 0; i < 3; ++i) {
          send(SIGINT);
          got += signals.wait() == SIGINT;
        }
        sleep_for(1ms);
      }
      ++got;
      send(SIGINT);
      wait_for_ever();
    });
    return cancelled && got == 4 ? 7 : 1;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

BOOST_AUTO_TEST_CASE(what_a_signal_set_leaves_cancels) {
  const ChildEnd end = in_child([] {
    bool after = false;
    const bool cancelled = is_cancelled([&] {
      {
        SignalSet signals({SIGTERM});
        send(SIGTERM);
        sleep_for(1ms);
      }
      after = true;
      wait_for_ever();
    });
    return cancelled && after ? 7 : 1;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

#if !defined(WEFT_TSAN)  // it calls the handler at a time of its own

BOOST_AUTO_TEST_CASE(a_child_that_is_no_other_program_yet_ends_by_the_signal) {
  const ChildEnd end = in_child([] {
    return is_cancelled([] {
      const pid_t child = fork();
      if (child == 0) {
        raise(SIGINT);
        _exit(0);
      }
      int status = 0;
      waitpid(child, &status, 0);
      if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGINT) throw std::logic_error("it lives");
      sleep_for(1ms);  // a cancellation would come here
    })
               ? 1
               : 0;
  });
  BOOST_TEST(end.exit_code == 0, described(end));
}

#endif

// ---- Beside a SignalSet -------------------------------------------------------------------------

// A thread that was there before the set, and blocks nothing.
template <class F>
void beside_a_stranger(F f) {
  std::atomic<bool> stop{false};
  std::thread stranger([&] {
    while (!stop) std::this_thread::sleep_for(1ms);
  });
  f(stranger.native_handle());
  stop = true;
  stranger.join();
}

BOOST_AUTO_TEST_CASE(what_a_set_has_cancels_nobody_whichever_thread_takes_it) {
  const ChildEnd end = in_child([] {
    int exit_code = 8;
    beside_a_stranger([&](pthread_t stranger) {
      run([&] {
        {
          SignalSet signals({SIGTERM});
          for (int i = 0; i < 10; ++i) {
            pthread_kill(stranger, SIGTERM);
            if (signals.wait() != SIGTERM) return;
          }
        }
        exit_code = 7;
      });
    });
    return exit_code;
  });
  BOOST_TEST(end.exit_code == 7, end.said);
}

BOOST_AUTO_TEST_CASE(when_the_set_is_gone_the_next_signal_cancels) {
  for (const bool before_run : {false, true}) {
    const ChildEnd end = in_child([&] {
      int exit_code = 8;
      beside_a_stranger([&](pthread_t stranger) {
        std::optional<SignalSet> set;
        if (before_run) set.emplace(std::initializer_list<int>{SIGTERM});
        const bool cancelled = is_cancelled([&] {
          if (!before_run) set.emplace(std::initializer_list<int>{SIGTERM});
          set.reset();
          pthread_kill(stranger, SIGTERM);
          wait_for_ever();
        });
        if (cancelled && handler_of(SIGTERM) == SIG_DFL) exit_code = 7;
      });
      return exit_code;
    });
    BOOST_TEST(end.exit_code == 7, end.said);
  }
}

BOOST_AUTO_TEST_CASE(when_the_set_is_gone_a_second_signal_ends_the_program) {
  const ChildEnd end = in_child([] {
    is_cancelled([] {
      std::optional<SignalSet> set;
      set.emplace(std::initializer_list<int>{SIGTERM});
      send(SIGINT);
      try {
        wait_for_ever();
      } catch (const Cancelled&) {
        set.reset();
        send(SIGTERM);
        throw;
      }
    });
    return 7;
  });
  BOOST_TEST(end.signal == SIGTERM);
}

BOOST_AUTO_TEST_CASE(a_set_that_outlives_the_run_leaves_no_handler_of_its_own) {
  const ChildEnd end = in_child([] {
    std::optional<SignalSet> set;
    run([&] { set.emplace(std::initializer_list<int>{SIGTERM}); });
    set.reset();
    return handler_of(SIGTERM) == SIG_DFL && handler_of(SIGINT) == SIG_DFL ? 7 : 8;
  });
  BOOST_TEST(end.exit_code == 7, end.said);
}

BOOST_AUTO_TEST_SUITE_END()
