#ifndef WEFT_IO_PROCESS_H_
#define WEFT_IO_PROCESS_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/fiber/time.h"
#include "weft/io/buffer.h"
#include "weft/io/exit_status.h"
#include "weft/io/fd_stream.h"

namespace weft::internal {

class Child;

}  // namespace weft::internal

namespace weft {

// Where a standard stream of a process comes from, or goes to.
//
//   Process sort = Process::start({"sort", "-n"}, {.input = Stdio::pipe(),
//                                                  .output = Stdio::file("/tmp/sorted"),
//                                                  .error = Stdio::null()});
//
// One program's output is the input of another like this:
//
//   Process list = Process::start({"ls"}, {.output = Stdio::pipe()});
//   Process sort = Process::start({"sort"}, {.input = Stdio::stream(std::move(list.output()))});
//
// A value: any thread, no waiting. A file is opened by Process::start(), in this process's
// directory.
class Stdio {
 public:
  // As the call says: Process::start() inherits it. run_process() makes a pipe, or takes /dev/null
  // if there is no text to read.
  Stdio() = default;

  // This process's own.
  static Stdio inherit() { return Stdio(Kind::kInherit); }
  // A pipe: its other end is input(), output() or error() of the Process.
  static Stdio pipe() { return Stdio(Kind::kPipe); }
  // /dev/null.
  static Stdio null() { return Stdio(Kind::kFile, "/dev/null"); }
  // A file. For output it is created or emptied.
  static Stdio file(std::string path) { return Stdio(Kind::kFile, std::move(path)); }
  // A file, at whose end output is added.
  static Stdio append(std::string path) { return Stdio(Kind::kAppend, std::move(path)); }
  // Any descriptor, which stays the caller's.
  static Stdio descriptor(int fd) { return Stdio(Kind::kDescriptor, {}, fd); }
  // A stream of weft's, which the program gets as programs expect it: blocking. It is closed here
  // with the last copy of this. Throws std::system_error (bad_file_descriptor) if it is not open.
  static Stdio stream(StreamSocket&& stream);
  // For `error` alone: where output goes.
  static Stdio output() { return Stdio(Kind::kOutput); }

  bool is_default() const noexcept { return kind_ == Kind::kDefault; }

 private:
  friend class Process;

  enum class Kind : std::uint8_t {
    kDefault,
    kInherit,
    kPipe,
    kFile,
    kAppend,
    kDescriptor,
    kOutput
  };

  explicit Stdio(Kind kind, std::string path = {}, int fd = -1)
      : kind_(kind), fd_(fd), path_(std::move(path)) {}

  Kind kind_ = Kind::kDefault;
  int fd_ = -1;
  std::string path_;
  std::shared_ptr<const internal::Fd> stream_;
};

struct ProcessOptions {
  Stdio input = {};
  Stdio output = {};
  Stdio error = {};

  // Variables that are added to this process's environment: "NAME=value". "NAME" takes one away. Of
  // several changes of a variable the last one counts.
  std::vector<std::string> environment = {};
  // Begins with an empty environment instead.
  bool clear_environment = false;

  // Where the program starts; empty: here. The program itself is looked for from there, if its name
  // or a part of the PATH is relative.
  std::string directory = {};

  // Makes it the first of a process group of its own. Signals that are sent by its Process reach
  // all of the group, also what the program starts, until its end was waited for. Ctrl-C on the
  // terminal does not reach it, and it may not read from the terminal.
  bool own_group = false;

  // Descriptors that the program gets, beside the standard three: as 3, 4 and so on. They stay the
  // caller's. The same one may be there twice.
  std::vector<int> descriptors = {};
};

// A program that runs beside this one.
//
//   Process sort = Process::start({"sort"}, {.input = Stdio::pipe(), .output = Stdio::pipe()});
//   sort.input().write_all("b\na\n");
//   sort.input().close();
//   const std::string sorted = BufferedReader(sort.output()).read_all();  // "a\nb\n"
//   if (!sort.wait().ok()) complain();
//
// The Process owns the program: destroying it kills the program (SIGKILL) and reaps it, which takes
// a moment in which other fibers run. A program that may not be killed, because it runs as another
// user, is detached. What waits may be cancelled; the program goes on then. A child that was forked
// from this process leaves the program alone.
//
// Of this process the program inherits the environment, the directory, the standard streams and
// limits such as those of setrlimit(), and no more: no other descriptor, whether it is
// close-on-exec or not, no signal's handler, no blocked signal. Signals that are ignored stay
// ignored, but for SIGPIPE. If this process crashes, the program goes on.
//
// SIGCHLD stays this process's: it may handle it, but not reap what it has not started, by
// waitpid(-1) say. Before Linux 6.15 wait() would then fail with no_child_process, as it does there
// if SIGCHLD is ignored.
//
// On virtual time the clock stands still for a process for 100 ms of the machine's time; then it
// goes on. If the process takes longer, a time limit around the wait expires before it ends.
//
// Threads: fibers of one scheduler; several may wait for it. It may be moved, destroyed, or handed
// over to another scheduler while no call on it is in progress. Outside fibers what waits throws
// std::logic_error; the destructor blocks.
//
// Cost: the thread stands still until the kernel has loaded the program, a third of a millisecond
// and more, as with posix_spawn(). Memory is not copied, however large the process is. A
// descriptor, and one for each pipe, while the Process lives; two more for the start.
class Process {
 public:
  // None.
  Process() noexcept;
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process();

  // Starts a program: arguments.front() is its name, without a slash looked for in the PATH that
  // the program itself gets. Does not wait. Throws std::system_error, naming the program and the
  // step that failed: no_such_file_or_directory, permission_denied (a directory, too),
  // executable_format_error (a script without a line #!: see shell()), argument_list_too_long,
  // bad_file_descriptor, and what opening a file throws. Throws std::invalid_argument if there are
  // no arguments, or a text holds a zero byte.
  static Process start(const std::vector<std::string>& arguments,
                       const ProcessOptions& options = {});

  // The number of the process; 0 without one.
  pid_t pid() const noexcept;

  // The program's standard streams, where the options say pipe(); elsewhere not open. The program
  // reads the end of its input after input().close(). What reads output() to the end also waits for
  // processes that the program has started and that have the pipe, too: wait() does not.
  FdStream& input() noexcept { return input_; }
  FdStream& output() noexcept { return output_; }
  FdStream& error() noexcept { return error_; }

  // Waits for its end. It may be called again, with the same result. A program whose output nobody
  // reads does not end once a pipe is full. A cancellation point if it waits. Throws
  // std::system_error (no_child_process) if there is no process, or others have reaped it.
  ExitStatus wait();

  // The same for at most this time; nullopt if it still runs.
  std::optional<ExitStatus> wait_for(AnyDuration time);

  // The same without waiting.
  std::optional<ExitStatus> try_wait();

  // Sends a signal. Returns false if a call here has seen its end, or others have reaped it: its
  // number may be that of another process. Does not wait. Throws std::system_error:
  // invalid_argument, operation_not_permitted; no_child_process if there is no process.
  bool kill(int signal);

  // Ends it: SIGTERM, and SIGKILL if it runs on for longer than `grace`, also for what is left of
  // its own group then. Returns how it has ended. A cancellation point if it waits; if cancelled,
  // SIGTERM was sent. So in a fiber that is cancelled, as main is by a SIGTERM, it throws at once:
  //
  //   weft::shield([&] { database.terminate(5s); });
  ExitStatus terminate(AnyDuration grace);

  // Leaves it alone: afterwards this is no process, and the streams are closed. weft still reaps it
  // when it ends: a fiber does, and after the end of the runtime the next start of a process.
  void detach();

 private:
  class Streams;

  Process(internal::Child child, std::string name);
  internal::Child& child() const;

  std::unique_ptr<internal::Child> child_;  // null without a process
  std::string name_;
  FdStream input_;
  FdStream output_;
  FdStream error_;
};

// What run_process() returns.
struct ProcessResult {
  ExitStatus status;
  std::string output;
  std::string error;
};

// What run_process() throws for RunProcessOptions::check. Its text names the program, how it ended,
// and the last line of its standard error.
class ProcessError : public std::runtime_error {
 public:
  ProcessError(const std::string& text, ProcessResult result)
      : std::runtime_error(text), result_(std::make_shared<ProcessResult>(std::move(result))) {}

  const ProcessResult& result() const noexcept { return *result_; }

 private:
  std::shared_ptr<const ProcessResult> result_;
};

struct RunProcessOptions {
  // What the program reads from its standard input.
  std::string input = {};

  // The most that is kept of its output, and of its error, in bytes: 1 GiB each. A program that
  // writes more is killed.
  std::size_t output_limit = kReadLimit;

  // Throws ProcessError unless it exits with 0.
  bool check = false;

  // The rest, as in {.process = {.error = Stdio::output(), .directory = "src"}}. Where the output
  // or the error is not a pipe, the result's is empty. The program always leads a group of its own.
  // `process.input` may not be set beside `input`; a terminal as input would stop the program.
  ProcessOptions process = {};
};

// Runs a program to its end, and returns how it ended and what it wrote.
//
//   const ProcessResult log = run_process({"git", "log", "-1"}, {.check = true});
//   const std::string sorted = run_process({"sort", "-n"}, {.input = "10\n9\n"}).output;
//   weft::with_timeout(5s, [] { run_process({"make"}); });  // kills make, and what it has started
//
// Writes and reads at the same time, so no full pipe can stop it. A program that does not read its
// input is not an error. Waits until the output ends, which a process that the program has left
// behind may hold open. What was read is lost if this throws, but for ProcessError.
//
// A cancellation point: if cancelled it kills the program's process group. Throws what
// Process::start() does; std::system_error (value_too_large) if the program writes more than the
// limit, which kills the group, too; ProcessError.
ProcessResult run_process(const std::vector<std::string>& arguments,
                          RunProcessOptions options = {});

// The arguments that have /bin/sh run a command line.
//
//   run_process(weft::shell("ls *.log | wc -l"));
//
// The shell takes what it is given for code: a name with a blank, a quote or a $( ) in it does what
// it says. Never put text into the line that comes from elsewhere; pass it by the environment, or
// as an argument of a program that is started without a shell.
std::vector<std::string> shell(std::string command);

}  // namespace weft

#endif  // WEFT_IO_PROCESS_H_
