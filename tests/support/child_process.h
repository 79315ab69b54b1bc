#ifndef WEFT_TESTS_SUPPORT_CHILD_PROCESS_H_
#define WEFT_TESTS_SUPPORT_CHILD_PROCESS_H_

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <string>

namespace weft::test {

// How a child process ended, and what it wrote to stderr.
struct ChildEnd {
  int exit_code = -1;  // -1 if a signal ended it
  int signal = 0;      // SIGALRM if it took longer than it may
  std::string said;
};

// Runs f() in a forked child, for what ends the process, talks to stderr or may hang; its result is
// the exit code. REQUIRES: no other thread is running.
template <class F>
ChildEnd run_in_child(F f) {
  constexpr unsigned kMaxSeconds = 20;
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) std::abort();
  const pid_t child = fork();
  if (child == 0) {
    // Boost.Test turns these into failures of the test case: of the parent's, in the child.
    for (int number : {SIGABRT, SIGALRM, SIGSEGV}) signal(number, SIG_DFL);
    std::set_terminate(&std::abort);
    alarm(kMaxSeconds);
    dup2(pipe_ends[1], STDERR_FILENO);
    _exit(f());
  }
  close(pipe_ends[1]);
  ChildEnd end;
  char buffer[512];
  for (ssize_t size; (size = read(pipe_ends[0], buffer, sizeof(buffer))) > 0;) {
    end.said.append(buffer, static_cast<std::size_t>(size));
  }
  close(pipe_ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status)) end.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
  return end;
}

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_CHILD_PROCESS_H_
