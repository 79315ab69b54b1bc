#ifndef WEFT_TESTS_SUPPORT_CHILD_PROCESS_H_
#define WEFT_TESTS_SUPPORT_CHILD_PROCESS_H_

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace weft::test {

// How a child process ended, and what it wrote to stderr.
struct ChildEnd {
  int exit_code = -1;  // -1 if a signal ended it
  int signal = 0;      // SIGALRM if it took longer than it may
  std::string said;
};

// A forked child that runs f(), for what ends the process, talks to stderr or may hang; its result
// is the exit code. Several may run side by side. REQUIRES: no other thread is running.
class ChildProcess {
 public:
  template <class F>
  explicit ChildProcess(F f) {
    constexpr unsigned kMaxSeconds = 20;
    int pipe_ends[2];
    if (pipe2(pipe_ends, O_CLOEXEC) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      // Boost.Test turns these into failures of the test case: of the parent's, in the child.
      for (int number : {SIGABRT, SIGALRM, SIGSEGV}) signal(number, SIG_DFL);
      std::set_terminate(&std::abort);
      alarm(kMaxSeconds);
      dup2(pipe_ends[1], STDERR_FILENO);
      _exit(f());
    }
    close(pipe_ends[1]);
    said_ = pipe_ends[0];
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess() {
    if (said_ >= 0) kill(pid_, SIGKILL), wait();
  }

  pid_t pid() const noexcept { return pid_; }

  // Waits until it has said this, or has ended; returns whether it has said it.
  bool await(std::string_view words) {
    while (end_.said.find(words) == std::string::npos) {
      if (!listen()) return false;
    }
    return true;
  }

  // Until it has ended. REQUIRES: it was not called before.
  ChildEnd wait() {
    while (listen()) continue;
    close(std::exchange(said_, -1));
    int status = 0;
    waitpid(pid_, &status, 0);
    if (WIFEXITED(status)) end_.exit_code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) end_.signal = WTERMSIG(status);
    return std::move(end_);
  }

 private:
  bool listen() {
    char buffer[512];
    const ssize_t size = read(said_, buffer, sizeof(buffer));
    if (size > 0) end_.said.append(buffer, static_cast<std::size_t>(size));
    return size > 0;
  }

  pid_t pid_;
  int said_ = -1;  // the end of a pipe
  ChildEnd end_;
};

// Runs f() in a child, and waits for its end. REQUIRES: as ChildProcess.
template <class F>
ChildEnd run_in_child(F f) {
  return ChildProcess(std::move(f)).wait();
}

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_CHILD_PROCESS_H_
