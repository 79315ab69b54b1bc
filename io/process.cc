#include "weft/io/process.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "weft/fiber/task_group.h"
#include "weft/fiber/this_fiber.h"
#include "weft/io/core/child.h"
#include "weft/io/core/error.h"
#include "weft/io/core/launch.h"
#include "weft/io/core/socket.h"

namespace weft {
namespace {

using internal::Fd;

constexpr std::string_view kStreamNames[] = {"input", "output", "error"};
constexpr std::string_view kPath = "PATH=";
constexpr std::string_view kStandardPath = "/usr/local/bin:/usr/bin:/bin";

std::string_view name_of(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

// This process's environment, changed as the options say; and a null. Refers to both.
std::vector<const char*> environment_of(const ProcessOptions& options) {
  std::vector<const char*> variables;
  for (char** each = options.clear_environment ? nullptr : environ; each && *each; ++each) {
    variables.push_back(*each);
  }
  for (const std::string& change : options.environment) {
    const std::string_view name = name_of(change);
    std::erase_if(variables, [&](const char* variable) { return name_of(variable) == name; });
    if (name.size() < change.size()) variables.push_back(change.c_str());
  }
  variables.push_back(nullptr);
  return variables;
}

std::string_view path_of(const std::vector<const char*>& environment) {
  for (const char* variable : environment) {
    if (variable && std::string_view(variable).starts_with(kPath))
      return std::string_view(variable).substr(kPath.size());
  }
  return kStandardPath;
}

// What a program's name may stand for.
std::vector<std::string> files_of(const std::string& program, std::string_view path) {
  if (program.find('/') != std::string::npos || program.empty()) return {program};
  std::vector<std::string> files;
  for (bool more = true; more;) {
    const std::size_t end = std::min(path.find(':'), path.size());
    more = end < path.size();
    std::string folder(path.substr(0, end));
    files.push_back((folder.empty() ? "." : folder) + "/" + program);
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return files;
}

void check_text(const std::string& text) {
  if (text.find('\0') == std::string::npos) return;
  internal::throw_invalid_argument("Process::start: a zero byte in ", text.c_str());
}

std::string read_to_end(FdStream& stream, std::size_t limit, const std::string& program) {
  constexpr std::size_t kChunk = 64 * 1024;  // what a pipe holds
  std::string text;
  if (!stream.is_open()) return text;
  const auto chunk = std::make_unique_for_overwrite<char[]>(kChunk);
  while (const std::size_t count = stream.read_some(std::span(chunk.get(), kChunk))) {
    text.append(chunk.get(), count);
    if (text.size() > limit) {
      internal::fail(EOVERFLOW, {"run_process ", program, ": it has written more than ",
                                 internal::in_bytes(limit)});
    }
  }
  return text;
}

// A program that has seen enough does not read the rest.
void feed(FdStream& stream, std::string_view text) {
  try {
    stream.write_all(text);
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::broken_pipe) throw;
  }
  stream.close();
}

std::string_view last_line(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  return text.substr(text.rfind('\n') + 1);
}

}  // namespace

// ---- Stdio --------------------------------------------------------------------------------------

Stdio Stdio::stream(StreamSocket&& stream) {
  const int fd = stream.native_handle();
  const int flags = internal::checked(fcntl(fd, F_GETFL), {"Stdio::stream"});
  internal::checked(fcntl(fd, F_SETFL, flags & ~O_NONBLOCK), {"Stdio::stream"});
  Stdio result = descriptor(fd);
  result.stream_ = std::make_shared<const internal::Fd>(fd);
  stream.release();
  return result;
}

// ---- Process ------------------------------------------------------------------------------------

// The descriptors of a process's standard streams, and this side's ends of pipes.
class Process::Streams {
 public:
  Streams(const std::string& program, const ProcessOptions& options) : program_(program) {
    const Stdio* const each[] = {&options.input, &options.output, &options.error};
    for (int number = 0; number < 3; ++number) theirs_.push_back(open(number, *each[number]));
    theirs_.insert(theirs_.end(), options.descriptors.begin(), options.descriptors.end());
  }

  const std::vector<int>& theirs() const noexcept { return theirs_; }

  // Empty unless it is a pipe.
  FdStream take(int number, const std::string& name) {
    Fd& end = ours_[number];
    if (end.get() < 0) return {};
    // A short read may have left something: the program may make it a pipe of packets (O_DIRECT).
    return {std::move(end), std::string(kStreamNames[number]) + " of " + name, false};
  }

 private:
  int open(int number, const Stdio& stdio) {
    using Kind = Stdio::Kind;
    switch (stdio.kind_) {
      case Kind::kPipe:
        return open_pipe(number);
      case Kind::kFile:
        return open_file(number, stdio.path_, O_TRUNC);
      case Kind::kAppend:
        return open_file(number, stdio.path_, O_APPEND);
      case Kind::kDescriptor:
        return stdio.fd_;
      case Kind::kOutput:
        if (number == 2) return theirs_[1];
        internal::throw_invalid_argument("Process::start: Stdio::output() is for the error stream");
      case Kind::kDefault:
      case Kind::kInherit:
        break;
    }
    return number;
  }

  // Only this side's end is non-blocking.
  int open_pipe(int number) {
    int ends[2];
    internal::checked(pipe2(ends, O_CLOEXEC), {"start ", program_, ": pipe"});
    const int ours = number == 0 ? 1 : 0;
    ours_[number] = Fd(ends[ours]);
    opened_[number] = Fd(ends[1 - ours]);
    internal::checked(fcntl(ends[ours], F_SETFL, O_NONBLOCK), {"start ", program_, ": pipe"});
    return ends[1 - ours];
  }

  int open_file(int number, const std::string& path, int flags) {
    check_text(path);
    flags = number == 0 ? O_RDONLY : O_WRONLY | O_CREAT | flags;
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
    opened_[number] = Fd(internal::checked(fd, {"start ", program_, ": open ", path}));
    return fd;
  }

  const std::string& program_;
  std::vector<int> theirs_;
  Fd opened_[3];  // of theirs, those that are open only for the start
  Fd ours_[3];
};

Process::Process() noexcept = default;
Process::Process(Process&&) noexcept = default;
Process::~Process() { child_.reset(); }  // first: to the program its input does not end

Process& Process::operator=(Process&& other) noexcept = default;

Process::Process(internal::Child child, std::string name)
    : child_(std::make_unique<internal::Child>(std::move(child))), name_(std::move(name)) {}

Process Process::start(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  if (arguments.empty()) internal::throw_invalid_argument("Process::start: no arguments");
  for (const std::string& argument : arguments) check_text(argument);
  for (const std::string& variable : options.environment) check_text(variable);
  check_text(options.directory);
  internal::reap_detached();
  internal::fill_standard_descriptors();
  const std::string& program = arguments.front();
  Streams streams(program, options);
  internal::Launch launch{.environment = environment_of(options),
                          .own_group = options.own_group,
                          .descriptors = streams.theirs()};
  for (const std::string& argument : arguments) launch.arguments.push_back(argument.c_str());
  launch.arguments.push_back(nullptr);
  launch.files = files_of(program, path_of(launch.environment));
  if (!options.directory.empty()) launch.directory = options.directory.c_str();
  internal::Child child = internal::launch(launch);
  std::string name = program + " (process " + internal::decimal(child.pid()) + ")";
  Process process(std::move(child), std::move(name));
  process.input_ = streams.take(0, process.name_);
  process.output_ = streams.take(1, process.name_);
  process.error_ = streams.take(2, process.name_);
  return process;
}

pid_t Process::pid() const noexcept { return child_ ? child_->pid() : 0; }

ExitStatus Process::wait() { return *child().wait_until(kForever, "Process::wait"); }

std::optional<ExitStatus> Process::wait_for(AnyDuration time) {
  return child().wait_until(internal::deadline_within(time), "Process::wait_for");
}

std::optional<ExitStatus> Process::try_wait() { return child().try_wait(); }

bool Process::kill(int signal) { return child().kill(signal); }

ExitStatus Process::terminate(AnyDuration grace) {
  kill(SIGTERM);
  child().wait_for_end(internal::deadline_within(grace), "Process::terminate");
  kill(SIGKILL);
  return wait();
}

void Process::detach() {
  Process gone = std::move(*this);
  if (gone.child_) gone.child_->detach();
}

internal::Child& Process::child() const {
  if (!child_) internal::fail(ECHILD, {"a Process without a process"});
  return *child_;
}

// ---- run_process --------------------------------------------------------------------------------

ProcessResult run_process(const std::vector<std::string>& arguments, RunProcessOptions options) {
  ProcessOptions& how = options.process;
  how.own_group = true;
  if (!how.input.is_default() && !options.input.empty())
    internal::throw_invalid_argument("run_process: two inputs, a text and process.input");
  if (how.input.is_default()) how.input = options.input.empty() ? Stdio::null() : Stdio::pipe();
  if (how.output.is_default()) how.output = Stdio::pipe();
  if (how.error.is_default()) how.error = Stdio::pipe();
  Process process = Process::start(arguments, how);
  const std::string& program = arguments.front();
  ProcessResult result;
  with_task_group([&](TaskGroup& group) {
    if (process.input().is_open()) {
      group.spawn([&] { feed(process.input(), options.input); }, {.name = "run_process: input"});
    }
    if (process.error().is_open()) {
      group.spawn(
          [&] { result.error = read_to_end(process.error(), options.output_limit, program); },
          {.name = "run_process: error"});
    }
    result.output = read_to_end(process.output(), options.output_limit, program);
    group.join();
  });
  result.status = process.wait();
  if (options.check && !result.status.ok()) {
    std::string text = program + " " + result.status.to_string();
    if (!result.error.empty()) text.append(": ").append(last_line(result.error));
    throw ProcessError(text, std::move(result));
  }
  return result;
}

std::vector<std::string> shell(std::string command) {
  return {"/bin/sh", "-c", std::move(command)};
}

}  // namespace weft
