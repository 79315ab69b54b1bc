// What a program gets from this process, and what it does not get.

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/children.h"
#include "tests/support/error_names.h"
#include "tests/support/fixture.h"
#include "tests/support/pipe.h"
#include "tests/support/temporary_directory.h"
#include "weft/io/process.h"

BOOST_AUTO_TEST_SUITE(process_options)

using namespace std::chrono_literals;
using namespace weft;
using namespace weft::test;

namespace {

// What a command line prints.
std::string output_of(const std::string& line, ProcessOptions options = {}) {
  options.output = Stdio::pipe();
  Process process = Process::start(shell(line), options);
  const std::string output = BufferedReader(process.output()).read_all();
  BOOST_TEST(process.wait().ok());
  return output;
}

// Starts a program that ends with 0.
void succeed(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  BOOST_TEST(Process::start(arguments, options).wait().ok());
}

// A file with this text and these rights.
std::string file_in(const TemporaryDirectory& folder, const char* name, std::string_view text,
                    mode_t rights = 0755) {
  const std::string path = folder / name;
  std::ofstream(path) << text;
  chmod(path.c_str(), rights);
  return path;
}

// An environment variable of this process while this lives.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* const name_;
};

// What `f` throws says.
template <class F>
std::string message_of(F f) {
  try {
    f();
    return "nothing";
  } catch (const std::system_error& error) {
    return error.what();
  }
}

// A set of signals in /proc/self/status, the first of which is bit 0.
std::uint64_t set_in(const std::string& status, const std::string& name) {
  return std::stoull(status.substr(status.find(name + ":") + name.size() + 1), nullptr, 16);
}

// That of a program.
std::uint64_t set_of_program(const std::string& name) {
  Process cat = Process::start({"cat", "/proc/self/status"}, {.output = Stdio::pipe()});
  return set_in(BufferedReader(cat.output()).read_all(), name);
}

constexpr std::uint64_t bit_of(int signal) { return std::uint64_t{1} << (signal - 1); }

}  // namespace

// ---- Standard streams ---------------------------------------------------------------------------

WEFT_PROCESS_TEST_CASE(streams_are_files) {
  const TemporaryDirectory folder;
  const std::string in = file_in(folder, "in", "text\n"), out = folder / "out",
                    err = folder / "err";
  const auto copy = [&](Stdio output) {
    succeed(shell("cat; echo trouble >&2"),
            {.input = Stdio::file(in), .output = std::move(output), .error = Stdio::append(err)});
  };
  copy(Stdio::file(out));
  BOOST_TEST(text_of(out) == "text\n");
  copy(Stdio::append(out));
  BOOST_TEST(text_of(out) == "text\ntext\n");
  copy(Stdio::file(out));
  BOOST_TEST(text_of(out) == "text\n");
  BOOST_TEST(text_of(err) == "trouble\ntrouble\ntrouble\n");
}

WEFT_PROCESS_TEST_CASE(null_is_empty_and_takes_everything) {
  succeed(shell("test -z \"$(cat)\" && echo text && echo text >&2"),
          {.input = Stdio::null(), .output = Stdio::null(), .error = Stdio::null()});
}

WEFT_PROCESS_TEST_CASE(a_stream_may_be_any_descriptor_and_stays_open_here) {
  const BarePipe in, out;
  in.put("text\n");
  succeed(shell("read line; echo got $line; echo and >&2"),
          {.input = Stdio::descriptor(in.in()),
           .output = Stdio::descriptor(out.out()),
           .error = Stdio::descriptor(out.out())});
  BOOST_TEST(out.take() == "got text\nand\n");
  BOOST_TEST(fcntl(in.in(), F_GETFD) == FD_CLOEXEC);
  BOOST_TEST(fcntl(out.out(), F_GETFD) == FD_CLOEXEC);
}

WEFT_PROCESS_TEST_CASE(standard_streams_may_change_places) {
  const BarePipe out, err;
  const Fd output(dup(1)), error(dup(2));
  dup2(out.out(), 1);
  dup2(err.out(), 2);
  Process process = Process::start(shell("echo output; echo error >&2"),
                                   {.output = Stdio::descriptor(2), .error = Stdio::descriptor(1)});
  dup2(output.get(), 1);
  dup2(error.get(), 2);
  BOOST_TEST(process.wait().ok());
  BOOST_TEST(out.take() == "error\n");
  BOOST_TEST(err.take() == "output\n");
}

WEFT_PROCESS_TEST_CASE(inherited_streams_are_this_processs) {
  const BarePipe out;
  const Fd output(dup(1));
  dup2(out.out(), 1);
  Process first = Process::start({"echo", "first"});
  Process second = Process::start({"echo", "second"}, {.output = Stdio::inherit()});
  dup2(output.get(), 1);
  BOOST_TEST(first.wait().ok());
  BOOST_TEST(second.wait().ok());
  BOOST_TEST(out.take().size() == std::string_view("first\nsecond\n").size());
}

WEFT_PROCESS_TEST_CASE(errors_may_go_where_output_goes) {
  Process process = Process::start(shell("echo output; echo error >&2"),
                                   {.output = Stdio::pipe(), .error = Stdio::output()});
  BOOST_TEST(!process.error().is_open());
  BOOST_TEST(BufferedReader(process.output()).read_all() == "output\nerror\n");
  BOOST_TEST(process.wait().ok());
  const TemporaryDirectory folder;
  succeed(shell("echo output; echo error >&2"),
          {.output = Stdio::file(folder / "both"), .error = Stdio::output()});
  BOOST_TEST(text_of(folder / "both") == "output\nerror\n");
  BOOST_CHECK_THROW(Process::start({"true"}, {.input = Stdio::output()}), std::invalid_argument);
  BOOST_CHECK_THROW(Process::start({"true"}, {.output = Stdio::output()}), std::invalid_argument);
}

WEFT_PROCESS_TEST_CASE(streams_that_are_no_pipes_are_not_open) {
  Process process = Process::start({"true"}, {.output = Stdio::null()});
  for (FdStream* const stream : {&process.input(), &process.output(), &process.error()})
    BOOST_TEST(!stream->is_open());
  process.wait();
  BOOST_TEST(Stdio().is_default());
  BOOST_TEST(!Stdio::inherit().is_default());
}

WEFT_PROCESS_TEST_CASE(the_programs_ends_of_pipes_block) {
  const char* const flags = "grep flags: /proc/self/fdinfo/0 /proc/self/fdinfo/1";
  Process process = Process::start(shell(flags), {.input = Stdio::pipe(), .output = Stdio::pipe()});
  BOOST_TEST(BufferedReader(process.output()).read_all() ==
             "/proc/self/fdinfo/0:flags:\t00\n/proc/self/fdinfo/1:flags:\t01\n");
  BOOST_TEST(process.wait().ok());
}

// Pipes would get the numbers of standard streams, which the program would inherit.
BOOST_AUTO_TEST_CASE(standard_descriptors_that_are_closed_are_no_pipes) {
  const Fd saved[] = {Fd(fcntl(0, F_DUPFD_CLOEXEC, 100)), Fd(fcntl(1, F_DUPFD_CLOEXEC, 100)),
                      Fd(fcntl(2, F_DUPFD_CLOEXEC, 100))};
  std::string output, list;
  run([&] {
    for (const int fd : {0, 1, 2}) close(fd);
    list = output_of("readlink /proc/self/fd/0; readlink /proc/self/fd/2");
    for (const int fd : {0, 1, 2}) close(fd);
    output = run_process(shell("cat; cat >&2"), {.input = "text"}).output;
  });
  for (const int fd : {0, 1, 2}) dup2(saved[fd].get(), fd);
  BOOST_TEST(list == "/dev/null\n/dev/null\n");
  BOOST_TEST(output == "text");
}

// ---- Environment and directory ------------------------------------------------------------------

WEFT_PROCESS_TEST_CASE(variables_are_added_changed_and_taken_away) {
  const Variable first("FORGED_FIRST", "1"), second("FORGED_SECOND", "2");
  const char* const print = "env | grep ^FORGED_ | sort";
  BOOST_TEST(output_of(print) == "FORGED_FIRST=1\nFORGED_SECOND=2\n");
  BOOST_TEST(
      output_of(print, {.environment = {"FORGED_THIRD=a=b", "FORGED_FIRST", "FORGED_SECOND="}}) ==
      "FORGED_SECOND=\nFORGED_THIRD=a=b\n");
  BOOST_TEST(
      output_of(print, {.environment = {"FORGED_FIRS", "FORGED_FIRST_=x", "FORGED_NOT_THERE"}}) ==
      "FORGED_FIRST=1\nFORGED_FIRST_=x\nFORGED_SECOND=2\n");
}

WEFT_PROCESS_TEST_CASE(the_last_change_of_a_variable_counts) {
  const char* const print = "env | grep ^FORGED_ | sort";
  BOOST_TEST(output_of(print, {.environment = {"FORGED_A=1", "FORGED_A=2", "FORGED_B=1", "FORGED_B",
                                               "FORGED_C", "FORGED_C=3"}}) ==
             "FORGED_A=2\nFORGED_C=3\n");
}

WEFT_PROCESS_TEST_CASE(an_environment_may_begin_empty) {
  Process process = Process::start(
      {"env"}, {.output = Stdio::pipe(), .environment = {"A=1", "B=2"}, .clear_environment = true});
  BOOST_TEST(BufferedReader(process.output()).read_all() == "A=1\nB=2\n");
  BOOST_TEST(process.wait().ok());
}

WEFT_PROCESS_TEST_CASE(a_program_is_looked_for_in_its_own_path) {
  const TemporaryDirectory folder;
  file_in(folder, "weft-tool", "#!/bin/sh\nexit 12\n");
  const std::string path = "PATH=/nope::" + folder.path() + ":/usr/bin:/bin";
  BOOST_TEST(Process::start({"weft-tool"}, {.environment = {path}}).wait().code() == 12);
  BOOST_CHECK_THROW(Process::start({"weft-tool"}), std::system_error);
  BOOST_CHECK_THROW(Process::start({"true"}, {.environment = {"PATH=/nope"}}), std::system_error);
  succeed({"true"}, {.environment = {"PATH"}});  // a standard one
}

WEFT_PROCESS_TEST_CASE(what_may_not_be_executed_is_passed_over_in_the_path) {
  const TemporaryDirectory first, second;
  file_in(first, "weft-tool", "#!/bin/sh\nexit 1\n", 0644);
  const std::string path = "PATH=" + first.path() + ":" + second.path();
  BOOST_CHECK_EXCEPTION(Process::start({"weft-tool"}, {.environment = {path}}), std::system_error,
                        is(std::errc::permission_denied, "start weft-tool"));
  file_in(second, "weft-tool", "#!/bin/sh\nexit 2\n");
  BOOST_TEST(Process::start({"weft-tool"}, {.environment = {path}}).wait().code() == 2);
}

WEFT_PROCESS_TEST_CASE(it_starts_in_its_directory) {
  const TemporaryDirectory folder;
  file_in(folder, "weft-tool", "#!/bin/sh\nexit 12\n");
  BOOST_TEST(output_of("pwd -P", {.directory = folder.path()}) ==
             std::filesystem::canonical(folder.path()).string() + "\n");
  BOOST_TEST(Process::start({"./weft-tool"}, {.directory = folder.path()}).wait().code() == 12);
  // An empty part of the PATH is the directory.
  const auto here = std::filesystem::current_path();
  BOOST_TEST(Process::start({"weft-tool"}, {.environment = {"PATH="}, .directory = folder.path()})
                 .wait()
                 .code() == 12);
  BOOST_TEST((std::filesystem::current_path() == here));
}

// ---- Descriptors --------------------------------------------------------------------------------

namespace {

constexpr const char* kList = "cd /proc/self/fd && echo *";  // and that of the folder itself

}  // namespace

WEFT_PROCESS_TEST_CASE(no_descriptor_leaks) {
  BOOST_TEST(output_of(kList) == "0 1 2 3\n");
  const Fd file(open("/dev/null", O_RDONLY)), high(fcntl(file.get(), F_DUPFD, 900));
  const Fd epoll(epoll_create1(0));
  auto [here, there] = UnixStream::pair();
  const TcpListener listener("127.0.0.1:0");
  fcntl(here.native_handle(), F_SETFD, 0);
  const BarePipe pipe;
  fcntl(pipe.in(), F_SETFD, 0);
  Process other = Process::start({"cat"}, {.input = Stdio::pipe(), .output = Stdio::pipe()});
  BOOST_TEST(output_of(kList) == "0 1 2 3\n");
  BOOST_TEST(fcntl(file.get(), F_GETFD) == 0);  // here they stay as they are
  other.input().close();
  BOOST_TEST(other.wait().ok());
}

WEFT_PROCESS_TEST_CASE(a_pipe_ends_though_others_were_started_meanwhile) {
  Process first = Process::start({"cat"}, {.input = Stdio::pipe(), .output = Stdio::pipe()});
  Process second = Process::start({"sleep", "1000"}, {.input = Stdio::pipe()});
  first.input().close();
  BOOST_TEST(BufferedReader(first.output()).read_all().empty());
  BOOST_TEST(first.wait().ok());
}

namespace {

// What the program reads from its descriptors 3, 4 and so on, if these are pipes with their own
// names in them.
std::string read_by(std::vector<int> descriptors) {
  std::string line = "for i in";
  for (std::size_t i = 0; i < descriptors.size(); ++i) line += " " + std::to_string(3 + i);
  line += "; do readlink /proc/self/fd/$i; done";
  return output_of(line, {.descriptors = std::move(descriptors)});
}

std::string name_of(int fd) {
  return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd)).string() + "\n";
}

// Puts two pipes at 3 and 4 while this lives.
class AtThreeAndFour {
 public:
  AtThreeAndFour() {
    dup3(pipe_.in(), 3, O_CLOEXEC);
    dup3(pipe_.out(), 4, O_CLOEXEC);
  }
  ~AtThreeAndFour() {
    restore(three_, 3);
    restore(four_, 4);
  }
  AtThreeAndFour(const AtThreeAndFour&) = delete;
  AtThreeAndFour& operator=(const AtThreeAndFour&) = delete;

 private:
  static void restore(const Fd& saved, int number) {
    if (saved.get() >= 0) {
      dup3(saved.get(), number, O_CLOEXEC);
    } else {
      close(number);
    }
  }

  const Fd three_{fcntl(3, F_DUPFD_CLOEXEC, 100)}, four_{fcntl(4, F_DUPFD_CLOEXEC, 100)};
  const BarePipe low_, pipe_;  // the first may itself be 3 and 4
};

}  // namespace

WEFT_PROCESS_TEST_CASE(descriptors_are_passed_from_three_on) {
  const BarePipe first, second;
  const std::string a = name_of(first.in()), b = name_of(second.in());
  BOOST_TEST(a != b);
  BOOST_TEST(read_by({first.in()}) == a);
  BOOST_TEST(read_by({first.in(), second.in()}) == a + b);
  BOOST_TEST(read_by({second.in(), first.in(), second.in()}) == b + a + b);
  BOOST_TEST(output_of(kList, {.descriptors = {first.in(), second.in()}}) == "0 1 2 3 4 5\n");
  BOOST_TEST(fcntl(first.in(), F_GETFD) == FD_CLOEXEC);
}

BOOST_AUTO_TEST_CASE(descriptors_may_have_the_numbers_of_others) {
  const AtThreeAndFour both;  // before the runtime has descriptors
  run([] {
    const std::string pipe = name_of(3);
    const Fd file(open("/dev/zero", O_RDONLY | O_CLOEXEC));
    const std::string zero = "/dev/zero\n", standard = name_of(0);
    dup3(file.get(), 4, O_CLOEXEC);
    BOOST_TEST(read_by({3, 4}) == pipe + zero);  // as they are
    BOOST_TEST(read_by({4, 3}) == zero + pipe);  // crosswise
    BOOST_TEST(read_by({4, 4}) == zero + zero);
    BOOST_TEST(read_by({3, 3}) == pipe + pipe);
    BOOST_TEST(read_by({4, 3, 4, 3}) == zero + pipe + zero + pipe);
    BOOST_TEST(read_by({0, 3}) == standard + pipe);
    BOOST_TEST(read_by({file.get(), 3, 0, 4}) == zero + pipe + standard + zero);
    // A standard stream comes from where another descriptor goes.
    Process process = Process::start(
        shell("readlink /proc/self/fd/0; readlink /proc/self/fd/3"),
        {.input = Stdio::descriptor(3), .output = Stdio::pipe(), .descriptors = {4}});
    BOOST_TEST(BufferedReader(process.output()).read_all() == pipe + zero);
    BOOST_TEST(process.wait().ok());
  });
  BOOST_TEST(!has_child());
}

#if !defined(WEFT_VALGRIND)  // which ends where a clone finds no descriptor
WEFT_PROCESS_TEST_CASE(the_limit_of_descriptors_is_an_error) {
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const Fd next(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const auto free = static_cast<rlim_t>(next.get());
  constexpr rlim_t kEnough = 30;
  for (rlim_t more = 0; more <= kEnough; ++more) {
    rlimit tight = before;
    tight.rlim_cur = free + more;
    setrlimit(RLIMIT_NOFILE, &tight);
    std::string message = "none";
    std::error_code code;
    try {
      Process process = Process::start(
          {"true"},
          {.input = Stdio::pipe(), .output = Stdio::pipe(), .descriptors = {1, 2, 0, 1, 2}});
      setrlimit(RLIMIT_NOFILE, &before);
      BOOST_TEST(process.wait().ok());
    } catch (const std::system_error& error) {
      setrlimit(RLIMIT_NOFILE, &before);
      code = error.code();
      message = error.what();
    }
    BOOST_TEST_CONTEXT(more << ": " << message) {
      BOOST_TEST((!code || message.starts_with("weft: start true: ")));
      BOOST_TEST((more < kEnough || !code));
      if (more == 0) BOOST_TEST((code == std::errc::too_many_files_open));
      BOOST_TEST(!has_child());
    }
  }
}
#endif

// ---- Signals ------------------------------------------------------------------------------------

WEFT_PROCESS_TEST_CASE(no_signal_is_blocked_or_handled) {
  sigset_t some, before;
  sigemptyset(&some);
  for (const int signal : {SIGUSR1, SIGTERM, SIGPIPE, SIGCHLD, SIGRTMIN}) sigaddset(&some, signal);
  pthread_sigmask(SIG_BLOCK, &some, &before);
  const auto handler = signal(SIGUSR2, [](int) {});
  BOOST_TEST(set_of_program("SigBlk") == 0u);
  BOOST_TEST(set_of_program("SigCgt") == 0u);
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, &before, &after);
  BOOST_TEST(sigismember(&after, SIGUSR1) == 1);  // here it is as it was
  BOOST_TEST(sigismember(&after, SIGUSR2) == 0);
  BOOST_TEST((signal(SIGUSR2, handler) != SIG_DFL));
}

WEFT_PROCESS_TEST_CASE(signals_stay_ignored_but_for_sigpipe) {
  const std::uint64_t before = set_in(text_of("/proc/self/status"), "SigIgn");
  const auto pipe = signal(SIGPIPE, SIG_IGN), usr1 = signal(SIGUSR1, SIG_IGN);
  BOOST_TEST(set_of_program("SigIgn") == ((before & ~bit_of(SIGPIPE)) | bit_of(SIGUSR1)));
  signal(SIGPIPE, pipe);
  signal(SIGUSR1, usr1);
  BOOST_TEST(set_of_program("SigIgn") == (before & ~bit_of(SIGPIPE)));
}

WEFT_PROCESS_TEST_CASE(signals_of_a_set_are_free_in_the_program) {
  SignalSet signals({SIGUSR1});
  Process process = Process::start(shell("kill -USR1 $$; exit 3"));
  BOOST_TEST(process.wait().signal() == SIGUSR1);
}

// ---- Bad input ----------------------------------------------------------------------------------

WEFT_PROCESS_TEST_CASE(a_failure_to_start_names_the_program_and_the_step) {
  const TemporaryDirectory folder;
  const std::string path = folder.path();
  const std::string no_rights = file_in(folder, "no-rights", "#!/bin/sh\n", 0644);
  const std::string bad = file_in(folder, "bad", "#!/nope/sh\n");
  const std::string bare = file_in(folder, "bare", "exit 3\n");
  const std::string empty = file_in(folder, "empty", "");
  const auto message = [](std::vector<std::string> arguments, ProcessOptions options = {}) {
    return message_of([&] { Process::start(arguments, options); });
  };
  BOOST_TEST(message({"/nope/x"}) == "weft: start /nope/x: No such file or directory");
  BOOST_TEST(message({"nope-x"}) == "weft: start nope-x: No such file or directory");
  BOOST_TEST(message({""}) == "weft: start : No such file or directory");
  BOOST_TEST(message({no_rights}) == "weft: start " + no_rights + ": Permission denied");
  BOOST_TEST(message({path}) == "weft: start " + path + ": Permission denied");
  BOOST_TEST(message({bare}) == "weft: start " + bare + ": Exec format error");
  BOOST_TEST(message({empty}) == "weft: start " + empty + ": Exec format error");
  BOOST_TEST(message({no_rights + "/x"}) == "weft: start " + no_rights + "/x: Not a directory");
  BOOST_TEST(message({std::string(5000, 'x')}).ends_with(": File name too long"));
  const std::string interpreter = " is there, but not its interpreter: No such file or directory";
  BOOST_TEST(message({bad}) == "weft: start " + bad + ": " + bad + interpreter);
  BOOST_TEST(message({"./bad"}, {.directory = path}) == "weft: start ./bad: ./bad" + interpreter);
  BOOST_TEST(message({"bad"}, {.environment = {"PATH=/nope:" + path}}) ==
             "weft: start bad: " + bad + interpreter);
  BOOST_TEST(message({"true", std::string(1 << 20, 'x')}) ==
             "weft: start true: Argument list too long");
  BOOST_TEST(message({"true"}, {.environment = {"A=" + std::string(1 << 20, 'x')}}) ==
             "weft: start true: Argument list too long");
  BOOST_TEST(message({"true"}, {.directory = "/nope"}) ==
             "weft: start true: enter /nope: No such file or directory");
  BOOST_TEST(message({"true"}, {.directory = bare}) ==
             "weft: start true: enter " + bare + ": Not a directory");
  BOOST_TEST(message({"true"}, {.input = Stdio::file("/nope/in")}) ==
             "weft: start true: open /nope/in: No such file or directory");
  BOOST_TEST(message({"true"}, {.output = Stdio::file(path)}) ==
             "weft: start true: open " + path + ": Is a directory");
  for (const int fd : {-1, 1000, 1 << 21}) {
    BOOST_TEST(message({"true"}, {.output = Stdio::descriptor(fd)}) ==
               "weft: start true: pass descriptors on: Bad file descriptor");
    BOOST_TEST(message({"true"}, {.descriptors = {0, fd}}) ==
               "weft: start true: pass descriptors on: Bad file descriptor");
  }
  BOOST_TEST(!has_child());
}

WEFT_PROCESS_TEST_CASE(a_failure_to_start_does_not_let_others_run) {
  bool ran = false;
  auto other = spawn([&] { ran = true; });
  BOOST_CHECK_THROW(Process::start({"/nope"}), std::system_error);
  BOOST_TEST(!ran);
  BOOST_TEST(!has_child());
}

WEFT_PROCESS_TEST_CASE(zero_bytes_and_no_arguments_are_refused) {
  using namespace std::string_literals;
  BOOST_CHECK_THROW(Process::start({}), std::invalid_argument);
  BOOST_CHECK_THROW(run_process({}), std::invalid_argument);
  BOOST_CHECK_THROW(Process::start({"tr\0ue"s}), std::invalid_argument);
  BOOST_CHECK_THROW(Process::start({"true", "a\0"s}), std::invalid_argument);
  BOOST_CHECK_THROW(Process::start({"true"}, {.environment = {"A=\0B"s}}), std::invalid_argument);
  BOOST_CHECK_THROW(Process::start({"true"}, {.directory = "/\0nope"s}), std::invalid_argument);
  BOOST_CHECK_THROW(Process::start({"true"}, {.input = Stdio::file("/dev/null\0"s)}),
                    std::invalid_argument);
}

WEFT_REAL_TIME_TEST_CASE(the_output_of_one_is_the_input_of_another) {
  Process list = Process::start(shell("echo b; sleep 0.01; echo a"), {.output = Stdio::pipe()});
  Process sort = Process::start(
      {"sort"}, {.input = Stdio::stream(std::move(list.output())), .output = Stdio::pipe()});
  BOOST_TEST(!list.output().is_open());
  BOOST_TEST(BufferedReader(sort.output()).read_all() == "a\nb\n");
  BOOST_TEST(list.wait().ok());
  BOOST_TEST(sort.wait().ok());
}

WEFT_REAL_TIME_TEST_CASE(a_stream_that_is_not_open_is_no_input) {
  BOOST_CHECK_THROW(Stdio::stream(FdStream()), std::system_error);
}

BOOST_AUTO_TEST_SUITE_END()
