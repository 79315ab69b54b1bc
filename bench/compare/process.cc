#include "bench/compare/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include "bench/lib/harness.h"

namespace weft::bench {
namespace {

// In the child.
[[noreturn]] void execute(const std::vector<std::string>& command, int output) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  execv(arguments[0], arguments.data());
  std::perror(arguments[0]);
  _exit(127);
}

}  // namespace

Process::Process(const std::vector<std::string>& command) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::system_category(), "pipe2");
  std::fflush(nullptr);
  pid_ = fork();
  if (pid_ == 0) execute(command, ends[1]);
  close(ends[1]);
  output_ = ends[0];
  if (pid_ < 0) throw std::system_error(errno, std::system_category(), "fork");
}

Process::~Process() {
  if (pid_ >= 0) {
    kill(pid_, SIGKILL);
    status();
  }
  close(output_);
}

bool Process::read_more(double deadline) {
  const double left_ms = (deadline - wall_ns()) * 1e-6;
  pollfd readable = {.fd = output_, .events = POLLIN, .revents = 0};
  if (poll(&readable, 1, static_cast<int>(std::max(left_ms, 0.0))) <= 0) return false;
  char bytes[4096];
  const ssize_t size = read(output_, bytes, sizeof(bytes));
  if (size > 0) unread_.append(bytes, static_cast<std::size_t>(size));
  return size > 0;
}

std::string Process::read_line(double seconds) {
  const double deadline = wall_ns() + seconds * 1e9;
  std::size_t end;
  while ((end = unread_.find('\n')) == std::string::npos) {
    if (!read_more(deadline)) return std::exchange(unread_, "");
  }
  std::string line = unread_.substr(0, end);
  unread_.erase(0, end + 1);
  return line;
}

std::string Process::read_all(double seconds) {
  const double deadline = wall_ns() + seconds * 1e9;
  while (read_more(deadline)) continue;
  if (wall_ns() >= deadline) kill(pid_, SIGKILL);
  return std::exchange(unread_, "");
}

int Process::status() {
  int status = 0;
  waitpid(std::exchange(pid_, -1), &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace weft::bench
