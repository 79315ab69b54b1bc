// For tests of the signals that end a program, SIGINT and SIGTERM.
#ifndef WEFT_TESTS_SUPPORT_END_SIGNALS_H_
#define WEFT_TESTS_SUPPORT_END_SIGNALS_H_

#include <signal.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "tests/support/child_process.h"
#include "weft/weft.h"

namespace weft::test {

inline void send(int signal) { kill(getpid(), signal); }

// Runs f in a child process in which both signals are as in a new program.
template <class F>
ChildEnd in_child(F f) {
  return run_in_child([&] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_UNBLOCK, &all, nullptr);
    for (const int number : {SIGINT, SIGTERM}) signal(number, SIG_DFL);
    return f();
  });
}

// Whether run(main) ends by cancellation.
template <class F>
bool is_cancelled(F main, RunOptions options = {}) {
  try {
    run(main, options);
  } catch (const TaskCancelled&) {
    return true;
  }
  return false;
}

inline void wait_for_ever() { Event().wait(); }

inline std::string described(const ChildEnd& end) {
  return "exit code " + std::to_string(end.exit_code) + ", signal " + std::to_string(end.signal) +
         " " + end.said;
}

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_END_SIGNALS_H_
