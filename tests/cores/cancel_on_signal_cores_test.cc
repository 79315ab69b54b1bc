// run() with several schedulers, and the signals that are to end the program.

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>

#include "tests/support/end_signals.h"
#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(cancel_on_signal_cores)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// On three schedulers.
template <class F>
bool is_cancelled_on_three(F main, bool virtual_time = false) {
  return is_cancelled(main, {.threads = 3, .virtual_time = virtual_time});
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_signal_cancels_main_and_what_it_owns_on_all_schedulers) {
  for (const int number : {SIGINT, SIGTERM}) {
    for (const bool virtual_time : {false, true}) {
      const ChildEnd end = in_child([&] {
        std::atomic<int> cleaned{0};
        const bool cancelled = is_cancelled_on_three(
            [&] {
              std::atomic<int> begun{0};
              TaskGroup group;
              for (std::size_t i = 0; i < 3; ++i) {
                group.spawn(
                    [&] {
                      ++begun;
                      try {
                        wait_for_ever();
                      } catch (const Cancelled&) {
                        shield([] { sleep_for(1ms); });
                        ++cleaned;
                        throw;
                      }
                    },
                    on(i));
              }
              while (begun < 3) yield();
              send(number);
              group.join();
            },
            virtual_time);
        return cancelled && cleaned == 3 ? 7 : 1;
      });
      BOOST_TEST(end.exit_code == 7, described(end));
    }
  }
}

BOOST_AUTO_TEST_CASE(it_cancels_a_spread) {
  const ChildEnd end = in_child([] {
    std::atomic<int> begun{0}, ended{0};
    const bool cancelled = is_cancelled_on_three([&] {
      spread([&] {
        const CountAtEnd ends(ended);
        if (++begun == 3) send(SIGTERM);
        wait_for_ever();
      });
    });
    return cancelled && ended == 3 ? 7 : 1;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

BOOST_AUTO_TEST_CASE(it_wakes_a_process_whose_threads_all_sleep) {
  const ChildEnd end = in_child([] {
    for (int i = 0; i < 20; ++i) {
      const bool cancelled = is_cancelled_on_three([&] {
        const pid_t parent = getpid();
        auto sender = spawn(
            [&] {
              run_in_executor([&] {
                std::this_thread::sleep_for(1ms);
                kill(parent, SIGINT);
              });
            },
            on(1 + static_cast<std::size_t>(i) % 2));
        wait_for_ever();
      });
      if (!cancelled) return 1;
    }
    return 7;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

// raise() is for the calling thread, which blocks it: it would cancel main from the wrong one.
BOOST_AUTO_TEST_CASE(the_threads_of_the_runtime_leave_signals_to_those_of_the_program) {
  const ChildEnd end = in_child([] {
    const auto blocked = [] {
      sigset_t mask;
      pthread_sigmask(SIG_SETMASK, nullptr, &mask);
      return sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGTERM) == 1 &&
             sigismember(&mask, SIGUSR1) == 1 && sigismember(&mask, SIGSEGV) == 0;
    };
    const auto seen = run([&] { return spread(blocked); }, {.threads = 3});
    return !seen[0] && seen[1] && seen[2] ? 7 : 1;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

BOOST_AUTO_TEST_CASE(fibers_of_other_schedulers_that_let_nobody_run_do_not_keep_it) {
  const ChildEnd end = in_child([] {
    std::atomic<bool> over{false};
    const bool cancelled = is_cancelled_on_three([&] {
      std::atomic<int> begun{0};
      for (std::size_t i = 1; i < 3; ++i) {
        spawn(
            [&] {
              ++begun;
              while (!over) std::this_thread::yield();
            },
            on(i))
            .detach();
      }
      while (begun < 2) yield();
      struct Over {
        std::atomic<bool>& over;
        ~Over() { over = true; }
      } const at_the_end{over};
      send(SIGINT);
      wait_for_ever();
    });
    return cancelled ? 7 : 1;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

BOOST_AUTO_TEST_CASE(a_second_one_ends_the_program_whatever_the_schedulers_do) {
  const ChildEnd end = in_child([] {
    is_cancelled_on_three([] {
      spawn([] { shield([] { sleep_for(1h); }); }, on(1)).detach();
      struct Cleanup {
        ~Cleanup() {
          send(SIGTERM);
          shield([] { sleep_for(1h); });
        }
      } const cleanup;
      send(SIGINT);
      wait_for_ever();
    });
    return 1;
  });
  BOOST_TEST(end.signal == SIGTERM, described(end));
}

BOOST_AUTO_TEST_CASE(each_run_of_a_runtime_can_be_cancelled) {
  const ChildEnd end = in_child([] {
    std::atomic<int> ticks{0};
    Runtime runtime({.threads = 3});
    spawn(
        [&] {
          for (;;) sleep_for(10us), ++ticks;
        },
        {.on = runtime.schedulers()[1]})
        .detach();
    for (int i = 0; i < 10; ++i) {
      const int before = ticks;
      try {
        runtime.run([&] {
          send(i % 2 ? SIGINT : SIGTERM);
          wait_for_ever();
        });
        return 1;
      } catch (const TaskCancelled&) {
      }
      // What main does not own goes on.
      if (!runtime.run([&] { return eventually([&] { return ticks > before; }); })) return 2;
    }
    return 7;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

BOOST_AUTO_TEST_CASE(a_signal_set_of_the_first_scheduler_comes_first_whoever_sends) {
  const ChildEnd end = in_child([] {
    int got = 0;
    const bool cancelled = is_cancelled_on_three([&] {
      {
        SignalSet signals({SIGINT});
        for (std::size_t i = 0; i < 6; ++i) {
          auto sender = spawn([] { send(SIGINT); }, on(i % 3));
          got += signals.wait() == SIGINT;
        }
      }
      send(SIGINT);
      wait_for_ever();
    });
    return cancelled && got == 6 ? 7 : 1;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

BOOST_AUTO_TEST_SUITE_END()
