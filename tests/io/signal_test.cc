// SignalSet.

#include "weft/io/signal.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/fixture.h"
#include "weft/fiber/core/context.h"

BOOST_AUTO_TEST_SUITE(signal_set)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

bool is_blocked(int signal) {
  sigset_t blocked;
  pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  return sigismember(&blocked, signal) == 1;
}

void send(int signal) { kill(getpid(), signal); }

std::atomic<int> handled{0};

// A thread that was started by somebody else, and blocks nothing.
class Stranger {
 public:
  Stranger() = default;
  ~Stranger() {
    stop_ = true;
    thread_.join();
  }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;

  void send(int signal) const {
    pthread_kill(const_cast<std::thread&>(thread_).native_handle(), signal);
  }

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_{[this] {
    while (!stop_) std::this_thread::sleep_for(1ms);
  }};
};

}  // namespace

// ---- Waiting ------------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_wait_gives_the_signals_number) {
  SignalSet signals({SIGUSR1, SIGUSR2, SIGHUP});
  for (const int signal : {SIGUSR1, SIGUSR2, SIGHUP, SIGUSR1}) {
    send(signal);
    BOOST_TEST(signals.wait() == signal);
    raise(signal);
    BOOST_TEST(signals.wait() == signal);
  }
}

WEFT_REAL_TIME_TEST_CASE(a_signal_wakes_who_waits) {
  SignalSet signals({SIGUSR1});
  for (int i = 0; i < 3; ++i) {
    auto waiter = spawn([&] { return signals.wait(); }, {.eager = true});
    yield();
    BOOST_TEST(!waiter.done());
    i % 2 ? send(SIGUSR1) : run_in_executor([] { send(SIGUSR1); });
    BOOST_TEST(waiter.get() == SIGUSR1);
  }
}

WEFT_REAL_TIME_TEST_CASE(several_signals_are_given_one_by_one) {
  SignalSet signals({SIGUSR1, SIGUSR2});
  for (int i = 0; i < 3; ++i) send(SIGUSR1);
  send(SIGUSR2);
  BOOST_TEST(signals.wait() + signals.wait() == SIGUSR1 + SIGUSR2);
  // What came twice before it was waited for counts once.
  BOOST_CHECK_THROW(with_timeout(5ms, [&] { signals.wait(); }), TimeoutError);
}

WEFT_REAL_TIME_TEST_CASE(of_signals_that_keep_coming_each_has_its_turn) {
  SignalSet signals({SIGUSR2, SIGUSR1, SIGHUP, SIGRTMIN});
  const int all[] = {SIGHUP, SIGUSR1, SIGUSR2, SIGRTMIN};
  for (int round = 0; round < 3; ++round) {
    for (const int expected : all) {
      for (const int signal : all) send(signal);
      BOOST_TEST(signals.wait() == expected);
    }
  }
  // One that has come alone waits for no turn.
  BOOST_CHECK_THROW(with_timeout(1ms,
                                 [&] {
                                   for (;;) signals.wait();
                                 }),
                    TimeoutError);
  for (const int signal : {SIGUSR2, SIGHUP, SIGHUP, SIGRTMIN, SIGUSR1}) {
    send(signal);
    BOOST_TEST(signals.wait() == signal);
  }
}

WEFT_REAL_TIME_TEST_CASE(of_several_who_wait_one_gets_it) {
  SignalSet first({SIGUSR1}), second({SIGUSR1, SIGUSR2});
  int got = 0;
  std::vector<Task<void>> waiters;
  for (SignalSet* set : {&first, &first, &second, &second}) {
    waiters.push_back(spawn(
        [&got, set] {
          BOOST_TEST(set->wait() == SIGUSR1);
          ++got;
        },
        {.eager = true}));
  }
  for (int i = 1; i <= 4; ++i) {
    send(SIGUSR1);
    BOOST_TEST(eventually([&] { return got == i; }));
    for (int turn = 0; turn < 20; ++turn) yield();
    BOOST_TEST(got == i);
  }
}

WEFT_REAL_TIME_TEST_CASE(a_timeout_or_a_cancellation_loses_nothing) {
  SignalSet signals({SIGUSR1});
  for (int i = 0; i < 3; ++i) {
    BOOST_CHECK_THROW(with_timeout(1ms, [&] { signals.wait(); }), TimeoutError);
    auto waiter = spawn([&] { signals.wait(); }, {.eager = true});
    send(SIGUSR1);
    waiter.cancel();
    BOOST_CHECK_THROW(waiter.get(), TaskCancelled);
    BOOST_TEST(signals.wait() == SIGUSR1);
  }
}

WEFT_REAL_TIME_TEST_CASE(the_end_of_a_child_process_is_a_signal) {
  SignalSet signals({SIGCHLD});
  const pid_t child = fork();
  if (child == 0) _exit(7);
  BOOST_TEST(signals.wait() == SIGCHLD);
  int status = 0;
  BOOST_TEST(waitpid(child, &status, 0) == child);
  BOOST_TEST(WEXITSTATUS(status) == 7);
}

BOOST_AUTO_TEST_CASE(it_may_be_made_before_run_and_outlive_it) {
  SignalSet signals({SIGUSR1});
  BOOST_CHECK_THROW(signals.wait(), std::logic_error);
  for (int i = 0; i < 3; ++i) {
    send(SIGUSR1);
    run([&] { BOOST_TEST(signals.wait() == SIGUSR1); });
    run([&] {
      auto waiter = spawn([&] { return signals.wait(); }, {.eager = true});
      send(SIGUSR1);
      BOOST_TEST(waiter.get() == SIGUSR1);
    });
  }
}

WEFT_REAL_TIME_TEST_CASE(it_may_be_empty) {
  SignalSet none({});
  BOOST_CHECK_THROW(with_timeout(1ms, [&] { none.wait(); }), TimeoutError);
}

WEFT_REAL_TIME_TEST_CASE(busy_fibers_do_not_keep_it_from_whoever_waits) {
  SignalSet signals({SIGUSR1});
  bool stop = false;
  TaskGroup group;
  for (int i = 0; i < 10; ++i) {
    group.spawn([&] {
      while (!stop) yield();
    });
  }
  for (int i = 0; i < 10; ++i) {
    auto waiter = spawn([&] { return signals.wait(); }, {.eager = true});
    send(SIGUSR1);
    BOOST_TEST(waiter.get() == SIGUSR1);
  }
  stop = true;
  group.join();
}

// ---- The thread's mask --------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(the_signals_are_blocked_while_a_set_lives) {
  BOOST_TEST(!is_blocked(SIGUSR1));
  {
    SignalSet first({SIGUSR1});
    BOOST_TEST(is_blocked(SIGUSR1));
    BOOST_TEST(!is_blocked(SIGUSR2));
    {
      SignalSet second({SIGUSR1, SIGUSR2});
      BOOST_TEST(is_blocked(SIGUSR2));
    }
    BOOST_TEST(is_blocked(SIGUSR1));
    BOOST_TEST(!is_blocked(SIGUSR2));
  }
  BOOST_TEST(!is_blocked(SIGUSR1));
}

WEFT_REAL_TIME_TEST_CASE(sets_may_go_in_any_order) {
  auto first = std::make_unique<SignalSet>(std::initializer_list<int>{SIGUSR1});
  auto second = std::make_unique<SignalSet>(std::initializer_list<int>{SIGUSR1});
  first.reset();
  BOOST_TEST(is_blocked(SIGUSR1));
  send(SIGUSR1);
  BOOST_TEST(second->wait() == SIGUSR1);
  second.reset();
  BOOST_TEST(!is_blocked(SIGUSR1));
}

WEFT_REAL_TIME_TEST_CASE(what_was_blocked_before_stays_blocked) {
  sigset_t mine, before;
  sigemptyset(&mine);
  sigaddset(&mine, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &mine, &before);
  for (int i = 0; i < 2; ++i) {
    SignalSet first({SIGUSR1, SIGUSR2});
    SignalSet second({SIGUSR1});
  }
  BOOST_TEST(is_blocked(SIGUSR1));
  BOOST_TEST(!is_blocked(SIGUSR2));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

WEFT_REAL_TIME_TEST_CASE(what_is_no_signal_is_refused_by_its_number) {
  const auto before = open_descriptors();
  for (const int number : {0, -1, 65, 1000, SIGKILL, SIGSTOP}) {
    BOOST_CHECK_EXCEPTION(
        SignalSet({SIGUSR1, number}), std::system_error, [&](const std::system_error& error) {
          return error.code() == std::errc::invalid_argument &&
                 std::string(error.what()).find(std::to_string(number)) != std::string::npos;
        });
    BOOST_TEST(!is_blocked(SIGUSR1));
  }
  BOOST_TEST(open_descriptors() == before);
}

// ---- Threads that do not block the signals ----

WEFT_REAL_TIME_TEST_CASE(what_another_thread_takes_goes_to_the_set) {
  const Stranger stranger;
  SignalSet signals({SIGUSR1, SIGRTMIN});
  for (int i = 0; i < 10; ++i) {
    for (const int signal : {SIGUSR1, SIGRTMIN}) {
      auto waiter = spawn([&] { return signals.wait(); }, {.eager = true});
      i % 2 ? stranger.send(signal) : send(signal);
      BOOST_TEST(waiter.get() == signal);
    }
  }
}

WEFT_REAL_TIME_TEST_CASE(while_a_set_lives_a_handler_of_the_program_is_out_of_use) {
  const Stranger stranger;
  handled = 0;
  struct sigaction before {
  }, mine{}, now{};
  mine.sa_handler = [](int) { ++handled; };
  sigaction(SIGUSR1, &mine, &before);
  {
    SignalSet first({SIGUSR1});
    auto second = std::make_unique<SignalSet>(std::initializer_list<int>{SIGUSR1, SIGUSR2});
    stranger.send(SIGUSR1);
    BOOST_TEST(second->wait() == SIGUSR1);
    second.reset();
    stranger.send(SIGUSR1);
    BOOST_TEST(first.wait() == SIGUSR1);
    BOOST_TEST(handled == 0);
  }
  sigaction(SIGUSR1, nullptr, &now);
  BOOST_TEST((now.sa_handler == mine.sa_handler));
  stranger.send(SIGUSR1);
  BOOST_TEST(eventually([] { return handled == 1; }));
  sigaction(SIGUSR1, &before, nullptr);
  sigaction(SIGUSR2, nullptr, &now);
  BOOST_TEST((now.sa_handler == SIG_DFL));
}

BOOST_AUTO_TEST_CASE(a_handler_that_is_installed_while_a_set_lives_stays) {
  handled = 0;
  {
    const SignalSet signals({SIGUSR1});
    std::signal(SIGUSR1, [](int) { ++handled; });
  }
  raise(SIGUSR1);
  BOOST_TEST(handled == 1);
  std::signal(SIGUSR1, SIG_DFL);
}

BOOST_AUTO_TEST_CASE(sets_of_two_threads_get_what_a_third_one_takes) {
  const Stranger stranger;
  std::atomic<bool> ready{false}, alone{false};
  std::atomic<int> got{0};
  std::thread other([&] {
    run([&] {
      SignalSet signals({SIGUSR1});
      ready = true;
      if (!eventually([&] { return alone.load(); })) return;
      stranger.send(SIGUSR1);
      got = signals.wait();
    });
  });
  run([&] {
    std::optional<SignalSet> signals;
    signals.emplace(std::initializer_list<int>{SIGUSR1});  // the older one, or the younger
    BOOST_TEST(eventually([&] { return ready.load(); }));
    signals.reset();
    alone = true;
  });
  other.join();
  BOOST_TEST(got == SIGUSR1);
}

#if !defined(WEFT_TSAN)  // which gives a handler a copy of the mask

WEFT_REAL_TIME_TEST_CASE(a_signal_that_the_own_thread_has_unblocked_goes_to_the_set) {
  SignalSet signals({SIGUSR1});
  sigset_t mine;
  sigemptyset(&mine);
  sigaddset(&mine, SIGUSR1);
  pthread_sigmask(SIG_UNBLOCK, &mine, nullptr);
  send(SIGUSR1);
  BOOST_TEST(signals.wait() == SIGUSR1);
  BOOST_TEST(is_blocked(SIGUSR1));
}

#endif

BOOST_AUTO_TEST_CASE(children_that_the_kernel_shall_reap_are_reaped) {
  std::signal(SIGCHLD, SIG_IGN);
  {
    const SignalSet signals({SIGCHLD});
    const pid_t child = fork();
    if (child == 0) _exit(7);
    BOOST_TEST(waitpid(child, nullptr, 0) == -1);
    BOOST_TEST(errno == ECHILD);
  }
  std::signal(SIGCHLD, SIG_DFL);
}

// ---- What is left -------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(what_nobody_waited_for_does_what_it_would_have) {
  const ChildEnd end = run_in_child([] {
    run([] {
      SignalSet signals({SIGUSR1});
      send(SIGUSR1);
      sleep_for(1ms);
    });
    return 7;
  });
  BOOST_TEST(end.signal == SIGUSR1);
}

BOOST_AUTO_TEST_CASE(what_was_waited_for_does_nothing_more) {
  const ChildEnd end = run_in_child([] {
    run([] {
      SignalSet signals({SIGUSR1});
      send(SIGUSR1);
      signals.wait();
    });
    return 7;
  });
  BOOST_TEST(end.exit_code == 7, end.said);
}

BOOST_AUTO_TEST_CASE(without_a_set_a_signal_does_what_it_does) {
  const ChildEnd end = run_in_child([] {
    run([] {
      { SignalSet signals({SIGUSR1}); }
      send(SIGUSR1);
      sleep_for(1h);
    });
    return 7;
  });
  BOOST_TEST(end.signal == SIGUSR1);
}

BOOST_AUTO_TEST_SUITE_END()
