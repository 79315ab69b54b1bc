#ifndef WEFT_TESTS_SUPPORT_PROGRAM_H_
#define WEFT_TESTS_SUPPORT_PROGRAM_H_

#include <fcntl.h>
#include <fnmatch.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/check.h"

namespace weft::test {

// Another program that runs beside the test: what it prints, what it is told, and how it ends.
// Every wait is bounded: what takes longer than its patience throws, with all that the program
// said. Whatever happens, the program is gone with this object, and with it the processes that it
// started: it has a process group of its own.
class Program {
 public:
  static constexpr std::chrono::seconds kPatience{10};

  struct End {
    int exit_code = -1;  // -1 if a signal ended it
    int signal = 0;
    std::string out;  // what was not taken by read_line()
    std::string err;
    bool left_a_process = false;  // which is gone now
  };

  // `command`: a path, or a name that is looked up in PATH.
  explicit Program(const std::string& command, std::vector<std::string> arguments = {},
                   std::chrono::seconds patience = kPatience)
      : command_(command), patience_(patience) {
    std::array<int, 2> in{}, out{}, err{};
    for (auto* ends : {&in, &out, &err}) check(pipe2(ends->data(), O_CLOEXEC) == 0, "pipe2");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
    std::vector<char*> argv{command_.data()};
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    // Signals are for it as for a program that a shell starts, whatever this thread does with them.
    std::signal(SIGPIPE, SIG_IGN);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&attributes, 0);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    sigaddset(&signals, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &signals);
    errno = posix_spawnp(&pid_, command_.c_str(), &actions, &attributes, argv.data(), environ);
    const bool started = errno == 0;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    for (const int theirs : {in[0], out[1], err[1]}) close(theirs);
    in_ = in[1];
    sources_[0].fd = out[0];
    sources_[1].fd = err[0];
    check(started, command_.c_str());
  }

  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  ~Program() {
    if (pid_ > 0) {
      kill(-pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close_input();
    for (const Source& source : sources_) close(source.fd);
  }

  // Writes to its standard input, which it has to read.
  void write(std::string_view text) {
    while (!text.empty()) {
      const ssize_t size = ::write(in_, text.data(), text.size());
      check(size >= 0, "write");
      text.remove_prefix(static_cast<std::size_t>(size));
    }
  }

  // Lets its standard input end.
  void close_input() {
    if (in_ >= 0) close(std::exchange(in_, -1));
  }

  // The next line that it prints, without its end.
  std::string read_line() {
    std::string& text = sources_[0].text;
    std::size_t end;
    await("a line", [&] { return (end = text.find('\n')) != std::string::npos; });
    std::string line = text.substr(0, end);
    text.erase(0, end + 1);
    return line;
  }

  // Waits until what it printed, and read_line() has not taken, contains this.
  void await_text(const std::string& text) {
    await(text, [&] { return sources_[0].text.find(text) != std::string::npos; });
  }

  // The same of what it printed to stderr.
  void await_error(const std::string& text) {
    await(text, [&] { return sources_[1].text.find(text) != std::string::npos; });
  }

  pid_t pid() const noexcept { return pid_; }

  void signal(int number) { check(kill(pid_, number) == 0, "kill"); }

  // Waits for its end.
  End wait() {
    await("its end", [&] { return !sources_[0].open && !sources_[1].open; });
    int status = 0;
    const Deadline deadline = soon();
    while (waitpid(pid_, &status, WNOHANG) == 0) {
      if (Clock::now() > deadline) fail("its end");
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    // The group is there while one of it is. One that is on its way out, or not yet reaped by its
    // new parent, such as the process by which LeakSanitizer looks around, gets a moment.
    const Deadline moment = Clock::now() + kPatience / 2;
    while (kill(-pid_, 0) == 0 && Clock::now() < moment) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const bool left = kill(-pid_, SIGKILL) == 0;
    pid_ = -1;
    End end{.out = sources_[0].text, .err = sources_[1].text};
    if (WIFEXITED(status)) end.exit_code = WEXITSTATUS(status);
    end.left_a_process = left;
    if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
    return end;
  }

  // Ends it by a signal and waits.
  End stop(int number = SIGTERM) {
    signal(number);
    return wait();
  }

 private:
  using Clock = std::chrono::steady_clock;
  using Deadline = Clock::time_point;

  struct Source {
    int fd = -1;
    bool open = true;
    std::string text{};
  };

  Deadline soon() const { return Clock::now() + patience_; }

  static void check(bool success, const char* what) {
    if (!success) throw std::system_error(errno, std::generic_category(), what);
  }

  [[noreturn]] void fail(const std::string& awaited) const {
    throw std::runtime_error(command_ + ": waited in vain for " + awaited + "; it said:\n" +
                             sources_[0].text + sources_[1].text);
  }

  // Reads until done(). Throws if the program ends before, or takes too long.
  template <class Done>
  void await(const std::string& what, Done done) {
    for (const Deadline deadline = soon(); !done();) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
      if (left.count() <= 0 || (!sources_[0].open && !sources_[1].open)) fail(what);
      std::array<pollfd, 2> polled{};
      for (std::size_t i = 0; i < 2; ++i) {
        polled[i] = {sources_[i].open ? sources_[i].fd : -1, POLLIN, 0};
      }
      poll(polled.data(), polled.size(), static_cast<int>(left.count()));
      for (std::size_t i = 0; i < 2; ++i) {
        if (polled[i].revents) take(sources_[i]);
      }
    }
  }

  static void take(Source& source) {
    char buffer[4096];
    const ssize_t size = read(source.fd, buffer, sizeof(buffer));
    if (size <= 0) source.open = false;
    if (size > 0) source.text.append(buffer, static_cast<std::size_t>(size));
  }

  std::string command_;
  const std::chrono::seconds patience_;
  pid_t pid_ = -1;
  int in_ = -1;
  std::array<Source, 2> sources_;  // stdout, stderr
};

// The result of a program that ends by itself.
inline Program::End run_program(const std::string& command, std::vector<std::string> arguments = {},
                                std::string_view input = {},
                                std::chrono::seconds patience = Program::kPatience) {
  Program program(command, std::move(arguments), patience);
  program.write(input);
  program.close_input();
  return program.wait();
}

// Each line matches a pattern: `*` is any text, `?` any character.
inline void check_lines(const std::string& output, const std::vector<std::string>& patterns) {
  std::istringstream lines(output);
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const std::string pattern = count < patterns.size() ? patterns[count] : "the end";
    BOOST_TEST(fnmatch(pattern.c_str(), line.c_str(), 0) == 0,
               "line " << count + 1 << ": \"" << line << "\" is not " << pattern);
  }
  BOOST_TEST(count == patterns.size(), "this was printed:\n" << output);
}

// It ended with this one line on stderr.
inline void check_refused(const Program::End& end, const std::string& pattern) {
  BOOST_TEST(end.exit_code == 1);
  BOOST_TEST(end.out == "");
  check_lines(end.err, {pattern});
}

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_PROGRAM_H_
