// The life of a process: its start, its end, and every way to let go of it.

#include "weft/io/process.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/children.h"
#include "tests/support/error_names.h"
#include "tests/support/fixture.h"
#include "tests/support/temporary_directory.h"

BOOST_AUTO_TEST_SUITE(process)

using namespace std::chrono_literals;
using namespace weft;
using namespace weft::test;

namespace {

const std::vector<std::string> kSleeper = {"sleep", "1000"};

// One that is there, and ignores SIGTERM.
Process start_stubborn(ProcessOptions options = {}) {
  options.output = Stdio::pipe();
  Process process = Process::start(shell("trap '' TERM; echo; exec sleep 1000"), options);
  BufferedReader(process.output()).read_line();
  return process;
}

// What a signal does to this process while this lives.
class Disposition {
 public:
  Disposition(int signal, sighandler_t action)
      : signal_(signal), before_(::signal(signal, action)) {}
  ~Disposition() { ::signal(signal_, before_); }
  Disposition(const Disposition&) = delete;
  Disposition& operator=(const Disposition&) = delete;

 private:
  const int signal_;
  const sighandler_t before_;
};

// Other fibers come to their first wait.
void let_wait() {
  for (int i = 0; i < 3; ++i) yield();
}

bool lacks_process(const std::system_error& error) {
  return error.code() == std::errc::no_child_process;
}

}  // namespace

// ---- Its end ------------------------------------------------------------------------------------

WEFT_PROCESS_TEST_CASE(it_ends_with_its_code) {
  BOOST_TEST(Process::start({"true"}).wait().ok());
  for (const int code : {1, 3, 127, 255}) {
    const ExitStatus status = Process::start(shell("exit " + std::to_string(code))).wait();
    BOOST_TEST(status.code() == code);
    BOOST_TEST(status.signal() == 0);
  }
}

WEFT_PROCESS_TEST_CASE(each_signal_that_ends_it_is_its_end) {
  const rlimit no_core{};
  setrlimit(RLIMIT_CORE, &no_core);
#if defined(WEFT_VALGRIND)
  constexpr int kMost = 63;  // the last one is valgrind's own
#else
  constexpr int kMost = 64;
#endif
  for (int signal = 1; signal <= kMost; ++signal) {
    const bool is_libc = signal > 31 && signal < SIGRTMIN;
    const bool is_harmless = signal == SIGCHLD || signal == SIGCONT || signal == SIGURG ||
                             signal == SIGWINCH || signal == SIGSTOP || signal == SIGTSTP ||
                             signal == SIGTTIN || signal == SIGTTOU;
    if (is_libc || is_harmless) continue;
    Process sleeper = Process::start(kSleeper);
    BOOST_TEST(sleeper.kill(signal));
    BOOST_TEST(sleeper.wait().signal() == signal);
  }
}

WEFT_PROCESS_TEST_CASE(a_process_that_stops_has_not_ended) {
  Process sleeper = Process::start(kSleeper);
  sleeper.kill(SIGSTOP);
  BOOST_TEST(!sleeper.wait_for(5ms));
  sleeper.kill(SIGCONT);
  BOOST_TEST(!sleeper.wait_for(5ms));
  sleeper.kill(SIGSTOP);
  BOOST_TEST(eventually([&] { return state_of(sleeper.pid()) == "T"; }));
  BOOST_TEST(sleeper.terminate(5ms).signal() == SIGKILL);  // SIGTERM would have to wait
}

WEFT_PROCESS_TEST_CASE(its_end_can_be_waited_for_again) {
  Process process = Process::start(shell("exit 7"));
  BOOST_TEST(process.wait().code() == 7);
  BOOST_TEST(process.wait().code() == 7);
  BOOST_TEST(process.wait_for(0s)->code() == 7);
  BOOST_TEST(process.try_wait()->code() == 7);
  BOOST_TEST(process.terminate(0s).code() == 7);
}

WEFT_PROCESS_TEST_CASE(several_fibers_wait_for_it) {
  Process process = Process::start({"cat"}, {.input = Stdio::pipe()});
  std::vector<Task<ExitStatus>> waiting;
  for (int i = 0; i < 3; ++i) waiting.push_back(spawn([&] { return process.wait(); }));
  let_wait();
  process.input().close();
  for (auto& task : waiting) BOOST_TEST(task.get().ok());
}

WEFT_PROCESS_TEST_CASE(one_waiter_that_is_cancelled_leaves_the_others_waiting) {
  Process process = Process::start({"cat"}, {.input = Stdio::pipe()});
  auto first = spawn([&] { return process.wait(); });
  auto second = spawn([&] { return process.wait(); });
  let_wait();
  first.cancel();
  BOOST_CHECK_THROW(first.get(), TaskCancelled);
  process.input().close();
  BOOST_TEST(second.get().ok());
}

WEFT_PROCESS_TEST_CASE(a_wait_that_is_too_long_leaves_it_running) {
  Process process = Process::start({"cat"}, {.input = Stdio::pipe()});
  BOOST_TEST(!process.try_wait());
  BOOST_TEST(!process.wait_for(0s));
  BOOST_TEST(!process.wait_for(-1h));
  BOOST_TEST(!process.wait_for(2ms));
  BOOST_CHECK_THROW(with_timeout(2ms, [&] { process.wait(); }), TimeoutError);
  BOOST_TEST(is_alive(process.pid()));
  process.input().close();
  BOOST_TEST(process.wait_for(1h)->ok());
}

WEFT_PROCESS_TEST_CASE(a_wait_that_is_cancelled_leaves_it_running) {
  Process process = Process::start({"cat"}, {.input = Stdio::pipe()});
  auto waiting = spawn([&] { process.wait(); });
  let_wait();
  waiting.cancel();
  BOOST_CHECK_THROW(waiting.get(), TaskCancelled);
  BOOST_TEST(is_alive(process.pid()));
  process.input().close();
  BOOST_TEST(process.wait().ok());
}

WEFT_PROCESS_TEST_CASE(an_end_and_a_cancellation_at_once_lose_no_status) {
  for (int i = 0; i < 50; ++i) {
    Process process = Process::start({"cat"}, {.input = Stdio::pipe()});
    auto waiting = spawn([&] { return process.wait(); });
    let_wait();
    process.input().close();
    while (i % 2 && is_alive(process.pid())) std::this_thread::yield();  // its event is there
    waiting.cancel();
    try {
      BOOST_TEST(waiting.get().ok());
    } catch (const TaskCancelled&) {
    }
    BOOST_TEST(process.wait().ok());
  }
}

WEFT_PROCESS_TEST_CASE(a_wait_does_not_wait_for_what_it_has_started) {
  Process process = Process::start(shell("sleep 1000 & echo $!"), {.output = Stdio::pipe()});
  BufferedReader reader(process.output());
  const pid_t grandchild = std::stoi(*reader.read_line());
  BOOST_TEST(process.wait().ok());
  BOOST_TEST(is_alive(grandchild));
  auto rest = spawn([&] { return reader.read_all(); });
  let_wait();
  BOOST_TEST(!rest.done());  // the end of the output is another matter
  ::kill(grandchild, SIGKILL);
  BOOST_TEST(rest.get().empty());
}

WEFT_PROCESS_TEST_CASE(what_it_wrote_can_be_read_after_its_end) {
  Process process = Process::start({"echo", "last words"}, {.output = Stdio::pipe()});
  BOOST_TEST(process.wait().ok());
  BOOST_TEST(BufferedReader(process.output()).read_all() == "last words\n");
}

WEFT_PROCESS_TEST_CASE(one_that_closes_its_streams_goes_on) {
  Process process =
      Process::start(shell("exec >&- 2>&- <&-; sleep 0.02; exit 5"),
                     {.input = Stdio::pipe(), .output = Stdio::pipe(), .error = Stdio::pipe()});
  BOOST_TEST(BufferedReader(process.output()).read_all().empty());
  BOOST_TEST(BufferedReader(process.error()).read_all().empty());
  BOOST_TEST(!process.try_wait());
  BOOST_CHECK_EXCEPTION(process.input().write_all("text"), std::system_error,
                        is(std::errc::broken_pipe, "input of /bin/sh"));
  BOOST_TEST(process.wait().code() == 5);
}

// A program may make its end of a pipe one of packets, each of which a read takes alone.
WEFT_PROCESS_TEST_CASE(packets_are_read_without_a_further_one) {
  const TemporaryDirectory folder;
  const std::string file = folder / "written";
  Process process = Process::start(
      shell("read go; printf ab | dd oflag=direct bs=1 2>/dev/null; >" + file + "; read end"),
      {.input = Stdio::pipe(), .output = Stdio::pipe()});
  char both[2];
  BOOST_CHECK_THROW(with_timeout(1ms, [&] { process.output().read_some(both); }), TimeoutError);
  process.input().write_all("go\n");
  BOOST_TEST(eventually([&] { return access(file.c_str(), F_OK) == 0; }));
  with_timeout(20s, [&] { process.output().read_exactly(both); });
  BOOST_TEST(std::string_view(both, 2) == "ab");
  process.input().close();
  process.wait();
}

// ---- Signals ------------------------------------------------------------------------------------

WEFT_PROCESS_TEST_CASE(a_signal_is_sent_until_its_end_was_seen) {
  Process process = Process::start({"true"});
  BOOST_TEST(eventually([&] { return !is_alive(process.pid()); }));
  BOOST_TEST(process.kill(SIGTERM));  // to a zombie
  BOOST_TEST(process.wait().ok());
  BOOST_TEST(!process.kill(SIGTERM));
  BOOST_TEST(!process.kill(0));
}

WEFT_PROCESS_TEST_CASE(no_signal_is_an_error) {
  Process sleeper = Process::start(kSleeper);
  BOOST_CHECK_EXCEPTION(sleeper.kill(1000), std::system_error,
                        is(std::errc::invalid_argument, std::to_string(sleeper.pid())));
  BOOST_TEST(sleeper.kill(0));
  BOOST_TEST(is_alive(sleeper.pid()));
}

WEFT_PROCESS_TEST_CASE(terminate_asks_first) {
  Process process = Process::start(shell("trap 'exit 9' TERM; echo; read line"),
                                   {.input = Stdio::pipe(), .output = Stdio::pipe()});
  BufferedReader(process.output()).read_line();
  BOOST_TEST(process.terminate(1h).code() == 9);
}

WEFT_PROCESS_TEST_CASE(terminate_kills_what_does_not_listen) {
  Process stubborn = start_stubborn();
  BOOST_TEST(stubborn.terminate(5ms).signal() == SIGKILL);
}

WEFT_PROCESS_TEST_CASE(terminate_that_is_cancelled_has_asked) {
  Process sleeper = Process::start(kSleeper);
  const auto cancelled_before = [&] {
    BOOST_TEST(throws_cancelled([] { yield(); }));
    sleeper.terminate(1h);
  };
  auto task = spawn(cancelled_before, {.eager = true});
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(sleeper.wait().signal() == SIGTERM);
}

WEFT_PROCESS_TEST_CASE(a_group_of_its_own_gets_its_signals) {
  Process process = Process::start(shell("sleep 1000 & echo $!; wait"),
                                   {.output = Stdio::pipe(), .own_group = true});
  const pid_t grandchild = std::stoi(*BufferedReader(process.output()).read_line());
  BOOST_TEST(getpgid(process.pid()) == process.pid());
  BOOST_TEST(getpgid(grandchild) == process.pid());
  process.kill(SIGTERM);
  BOOST_TEST(process.wait().signal() == SIGTERM);
  BOOST_TEST(eventually([&] { return !is_alive(grandchild); }));
}

WEFT_PROCESS_TEST_CASE(without_one_it_is_in_this_group) {
  Process process = Process::start(shell("sleep 1000 & echo $!; wait"), {.output = Stdio::pipe()});
  const pid_t grandchild = std::stoi(*BufferedReader(process.output()).read_line());
  BOOST_TEST(getpgid(process.pid()) == getpgrp());
  process.kill(SIGKILL);
  BOOST_TEST(process.wait().signal() == SIGKILL);
  BOOST_TEST(is_alive(grandchild));
  ::kill(grandchild, SIGKILL);
}

WEFT_PROCESS_TEST_CASE(one_that_leaves_its_group_is_reached) {
  const std::vector<std::string> leaver = {
      "perl", "-e", "setpgrp(0, getpgrp(getppid())); $| = 1; print qq(\\n); sleep 1000"};
  for (const bool killed : {true, false}) {
    Process process = Process::start(leaver, {.output = Stdio::pipe(), .own_group = true});
    BufferedReader(process.output()).read_line();
    BOOST_TEST(getpgid(process.pid()) == getpgrp());
    if (!killed) continue;  // it is destroyed
    BOOST_TEST(process.kill(SIGTERM));
    BOOST_TEST(process.wait().signal() == SIGTERM);
  }
}

WEFT_PROCESS_TEST_CASE(one_that_leaves_others_in_its_group_is_reached) {
  Process process = Process::start(
      {"perl", "-e",
       "$p = fork; if (!$p) { sleep 1000 } setpgrp(0, getpgrp(getppid())); $| = 1; print qq($p\\n);"
       "sleep 1000"},
      {.output = Stdio::pipe(), .own_group = true});
  const pid_t grandchild = std::stoi(*BufferedReader(process.output()).read_line());
  process = Process();
  BOOST_TEST(eventually([&] { return !is_alive(grandchild); }));
}

// ---- SIGCHLD ------------------------------------------------------------------------------------

namespace {

std::atomic<int> handled{0};

// True if the kernel knows how a process ended that others have reaped (Linux 6.15).
bool ends_or_is_lost(Process& process, int code) {
  try {
    return process.wait().code() == code;
  } catch (const std::system_error& error) {
    BOOST_TEST(lacks_process(error));
    BOOST_TEST(!process.kill(SIGKILL));
    BOOST_CHECK_EXCEPTION(process.wait(), std::system_error, lacks_process);
    return false;
  }
}

}  // namespace

WEFT_PROCESS_TEST_CASE(a_handler_of_the_program_is_called) {
  handled = 0;
  const Disposition handler(SIGCHLD, [](int) { ++handled; });
  BOOST_TEST(Process::start(shell("exit 3")).wait().code() == 3);
  BOOST_TEST(run_process(shell("exit 4")).status.code() == 4);
  BOOST_TEST(handled == 2);
}

WEFT_PROCESS_TEST_CASE(sigchld_may_be_ignored) {
  const Disposition ignored(SIGCHLD, SIG_IGN);
  int known = 0;
  constexpr int kMany = 200;  // some see the kernel in the midst of it
  for (int i = 0; i < kMany; ++i) {
    Process process = Process::start(shell("exit 6"));
    known += ends_or_is_lost(process, 6);
  }
  BOOST_TEST((known == 0 || known == kMany), known);
  { Process sleeper = Process::start(kSleeper); }
  { Process ended = Process::start({"true"}); }
  BOOST_CHECK_EXCEPTION(Process::start({"/nope"}), std::system_error,
                        is(std::errc::no_such_file_or_directory, "/nope"));
}

WEFT_PROCESS_TEST_CASE(others_may_reap_it) {
  Process process = Process::start({"cat"}, {.input = Stdio::pipe()});
  auto waiting = spawn([&] { return ends_or_is_lost(process, 0); });
  let_wait();
  std::thread reaper([] { waitpid(-1, nullptr, 0); });
  process.input().close();
  waiting.get();
  reaper.join();
}

WEFT_PROCESS_TEST_CASE(what_others_have_reaped_gets_no_signal) {
  Process process = Process::start({"true"});
  waitpid(process.pid(), nullptr, 0);
  BOOST_TEST(!process.kill(SIGKILL));
}

#if !defined(WEFT_VALGRIND)  // which leaves a descriptor behind at a fork
WEFT_PROCESS_TEST_CASE(other_children_are_not_reaped) {
  const pid_t other = fork();
  if (other == 0) _exit(11);
  for (int i = 0; i < 3; ++i) BOOST_TEST(run_process({"true"}).status.ok());
  { Process sleeper = Process::start(kSleeper); }
  int status = 0;
  BOOST_TEST(waitpid(other, &status, 0) == other);
  BOOST_TEST(WEXITSTATUS(status) == 11);
}
#endif

// ---- Letting go ---------------------------------------------------------------------------------

WEFT_PROCESS_TEST_CASE(destroying_it_kills_and_reaps_it) {
  { Process running = Process::start(kSleeper); }
  BOOST_TEST(!has_child());
  { Process group = Process::start(kSleeper, {.own_group = true}); }
  BOOST_TEST(!has_child());
  { Process stubborn = start_stubborn(); }
  BOOST_TEST(!has_child());
  {
    Process stopped = Process::start(kSleeper);
    stopped.kill(SIGSTOP);
  }
  BOOST_TEST(!has_child());
  {
    Process ended = Process::start({"true"});
    BOOST_TEST(eventually([&] { return !is_alive(ended.pid()); }));
  }
  BOOST_TEST(!has_child());
  {
    Process waited = Process::start({"true"});
    waited.wait();
  }
}

// It would take what it has read for the whole.
WEFT_PROCESS_TEST_CASE(it_is_killed_before_its_input_ends) {
  bool was_open = true;
  int looks = 0;
  for (int i = 0; i < 1000 && looks < 10; ++i) {
    std::optional<Process> process = Process::start({"cat"}, {.input = Stdio::pipe()});
    const int input = process->input().native_handle();
    bool destroyed = false;
    auto other = spawn([&] {
      if (destroyed) return;  // the kernel was faster than the wait
      ++looks;
      was_open = was_open && fcntl(input, F_GETFD) >= 0;
    });
    process.reset();
    destroyed = true;
    other.get();
  }
  BOOST_TEST(looks > 0);
  BOOST_TEST(was_open);
}

WEFT_PROCESS_TEST_CASE(a_cancelled_fiber_kills_and_reaps_it) {
  auto owner = spawn([] {
    Process sleeper = Process::start(kSleeper);
    Process stubborn = start_stubborn();
    sleep_for(1h);
  });
  BOOST_TEST(eventually([] { return has_child(); }));
  owner.cancel();
  BOOST_CHECK_THROW(owner.get(), TaskCancelled);
  BOOST_TEST(!has_child());
}

WEFT_PROCESS_TEST_CASE(an_exception_that_passes_kills_and_reaps_it) {
  const auto fails = [] {
    Process sleeper = Process::start(kSleeper);
    throw std::runtime_error("passes");
  };
  BOOST_CHECK_THROW(fails(), std::runtime_error);
  BOOST_TEST(!has_child());
}

WEFT_PROCESS_TEST_CASE(a_fiber_may_be_cancelled_while_it_destroys_it) {
  Process sleeper = Process::start(kSleeper);
  auto task = spawn([&] { Process gone = std::move(sleeper); }, {.eager = true});
  task.cancel();
  try {
    task.get();
  } catch (const TaskCancelled&) {
  }
  BOOST_TEST(!has_child());
}

WEFT_PROCESS_TEST_CASE(another_one_may_take_its_place) {
  Process process = Process::start(kSleeper);
  const pid_t first = process.pid();
  process = Process::start({"cat"}, {.input = Stdio::pipe()});
  BOOST_TEST(!is_alive(first));
  process.input().close();
  BOOST_TEST(process.wait().ok());
  Process& itself = process;
  process = std::move(itself);
  BOOST_TEST(process.wait().ok());
}

WEFT_PROCESS_TEST_CASE(what_was_moved_from_is_no_process) {
  Process process = Process::start(kSleeper);
  const Process taken = std::move(process);
  BOOST_TEST(taken.pid() > 0);
  BOOST_TEST(process.pid() == 0);
  BOOST_CHECK_EXCEPTION(process.wait(), std::system_error, lacks_process);
  BOOST_CHECK_EXCEPTION(process.wait_for(1s), std::system_error, lacks_process);
  BOOST_CHECK_EXCEPTION(process.try_wait(), std::system_error, lacks_process);
  BOOST_CHECK_EXCEPTION(process.terminate(1s), std::system_error, lacks_process);
  BOOST_CHECK_EXCEPTION(process.kill(SIGTERM), std::system_error, lacks_process);
  BOOST_TEST(!process.output().is_open());
  process.detach();
}

BOOST_AUTO_TEST_CASE(it_lives_without_fibers) {
  Process waiting = Process::start({"cat"}, {.input = Stdio::pipe()});
  BOOST_CHECK_THROW(waiting.wait(), std::logic_error);
  Process ended = Process::start(shell("exit 2"));
  while (!ended.try_wait()) std::this_thread::yield();
  BOOST_TEST(ended.wait().code() == 2);  // it need not wait
  waiting = Process();
  BOOST_TEST(!has_child());
  BOOST_CHECK_THROW(run_process(kSleeper), std::logic_error);
  BOOST_TEST(!has_child());
}

BOOST_AUTO_TEST_CASE(it_may_outlive_the_run_that_started_it) {
  Process first, second;
  run([&] {
    first = Process::start({"cat"}, {.input = Stdio::pipe(), .output = Stdio::pipe()});
    second = Process::start(kSleeper);
    BOOST_TEST(!first.wait_for(0s));
    first.input().write_all("hello");
    char text[5];
    first.output().read_exactly(text);
  });
  run([&] {
    first.input().close();
    BOOST_TEST(BufferedReader(first.output()).read_all().empty());
    BOOST_TEST(first.wait().ok());
  });
  second = Process();
  BOOST_TEST(!has_child());
}

BOOST_AUTO_TEST_CASE(a_forked_child_leaves_it_alone) {
  Process sleeper = Process::start(kSleeper);
  const auto in_child = [&] {
    const bool refused = !sleeper.kill(SIGKILL);
    Process gone = std::move(sleeper);
    return refused ? 0 : 1;
  };
  BOOST_TEST(run_in_child(in_child).exit_code == 0);
  BOOST_TEST(!sleeper.try_wait());
  BOOST_TEST(is_alive(sleeper.pid()));
}

// ---- detach() -----------------------------------------------------------------------------------

WEFT_PROCESS_TEST_CASE(a_detached_one_runs_on_and_is_reaped) {
  const TemporaryDirectory folder;
  const std::string file = folder / "file";
  Process process =
      Process::start(shell("sleep 0.02; echo done >$FILE"), {.environment = {"FILE=" + file}});
  process.detach();
  BOOST_TEST(process.pid() == 0);
  BOOST_TEST(eventually([] { return !has_child(); }));
  BOOST_TEST(text_of(file) == "done\n");
  BOOST_TEST(eventually([] { return all_tasks().size() == 1; }));
}

WEFT_PROCESS_TEST_CASE(what_has_ended_may_be_detached) {
  Process ended = Process::start({"true"});
  ended.wait();
  ended.detach();
  Process unseen = Process::start({"true"});
  BOOST_TEST(eventually([&] { return !is_alive(unseen.pid()); }));
  unseen.detach();
  BOOST_TEST(eventually([] { return !has_child(); }));
  BOOST_TEST(eventually([] { return all_tasks().size() == 1; }));
}

BOOST_AUTO_TEST_CASE(a_detached_one_that_outlives_the_run_is_reaped_by_a_later_start) {
  pid_t pid = 0;
  run([&] {
    Process process = Process::start(kSleeper);
    pid = process.pid();
    process.detach();
  });
  BOOST_TEST(is_alive(pid));
  ::kill(pid, SIGKILL);
  while (is_alive(pid)) std::this_thread::yield();
  BOOST_TEST(has_child());
  Process::start({"true"});
  BOOST_TEST(!has_child());
}

BOOST_AUTO_TEST_CASE(it_may_be_detached_at_the_end_of_the_run) {
  Process process;
  pid_t pid = 0;
  run([&] {
    spawn(when_cancelled([&] { process.detach(); })).detach();
    process = Process::start(kSleeper);
    pid = process.pid();
    yield();
  });
  BOOST_TEST(process.pid() == 0);
  BOOST_TEST(is_alive(pid));
  ::kill(pid, SIGKILL);
  while (is_alive(pid)) std::this_thread::yield();
  Process::start({"true"});
  BOOST_TEST(!has_child());
}

BOOST_AUTO_TEST_CASE(it_may_be_detached_without_fibers) {
  Process process = Process::start({"true"});
  const pid_t pid = process.pid();
  process.detach();
  while (is_alive(pid)) std::this_thread::yield();
  Process::start({"true"});
  BOOST_TEST(!has_child());
}

// ---- Time, schedulers, threads ------------------------------------------------------------------

WEFT_TEST_CASE(a_virtual_clock_gives_it_a_while) {
  const TimePoint start = now();
  BOOST_TEST(Process::start({"true"}).wait_for(1h)->ok());
  BOOST_TEST((now() == start));
  Process sleeper = Process::start(kSleeper);
  BOOST_TEST(!sleeper.wait_for(1h));
  BOOST_TEST((now() == start + 1h));
  BOOST_TEST(run_process({"cat"}, {.input = "text"}).output == "text");
}

BOOST_AUTO_TEST_CASE(fibers_of_two_schedulers_have_processes) {
  const auto body = [] {
    const auto work = [] {
      std::string all;
      for (int i = 0; i < 20; ++i) all += run_process({"cat"}, {.input = "x"}).output;
      return all;
    };
    auto there = spawn(work, on(1));
    BOOST_TEST(work() == std::string(20, 'x'));
    BOOST_TEST(there.get() == std::string(20, 'x'));
  };
  run_real_time_case(body, {.threads = 2});
  BOOST_TEST(!has_child());
}

BOOST_AUTO_TEST_CASE(it_may_be_handed_over_to_another_scheduler) {
  const auto body = [] {
    Process process = Process::start({"cat"}, {.input = Stdio::pipe(), .output = Stdio::pipe()});
    BOOST_TEST(!process.wait_for(1ms));
    process.input().write_all("here ");
    char text[5];
    process.output().read_exactly(text);
    spawn(
        [taken = std::move(process)]() mutable {
          BOOST_TEST(!taken.wait_for(1ms));
          taken.input().write_all("there");
          taken.input().close();
          BOOST_TEST(BufferedReader(taken.output()).read_all() == "there");
          BOOST_TEST(taken.wait().ok());
        },
        on(1))
        .get();
  };
  run_real_time_case(body, {.threads = 2});
  BOOST_TEST(!has_child());
}

WEFT_PROCESS_TEST_CASE(a_thread_of_the_executor_may_start_it) {
  Process process = run_in_executor([] {
    return Process::start({"grep", "SigBlk", "/proc/self/status"}, {.output = Stdio::pipe()});
  });
  BOOST_TEST(BufferedReader(process.output()).read_all() == "SigBlk:\t0000000000000000\n");
  BOOST_TEST(process.wait().ok());
}

// ---- Many ---------------------------------------------------------------------------------------

WEFT_PROCESS_TEST_CASE(a_thousand_one_after_another_leave_nothing) {
  const auto before = open_descriptors();
  for (int i = 0; i < 1000; ++i) {
    Process process = Process::start({"/bin/true"});
    if (i % 4) BOOST_TEST(process.wait().ok());
  }
  BOOST_TEST(open_descriptors() == before);
}

WEFT_PROCESS_TEST_CASE(two_hundred_at_once_leave_nothing) {
  const auto before = open_descriptors();
  {
    TaskGroup group;
    for (int i = 0; i < 200; ++i) {
      group.spawn([i] {
        const std::string text = std::to_string(i);
        BOOST_TEST(run_process({"cat"}, {.input = text}).output == text);
      });
    }
    group.join();
  }
  BOOST_TEST(open_descriptors() == before);
}

WEFT_REAL_TIME_TEST_CASE(terminate_kills_what_is_left_of_the_group) {
  // The one that is left ignores SIGTERM, and keeps the pipe.
  Process shell = Process::start(
      weft::shell("trap 'exit 3' TERM; (trap '' TERM; echo ready; exec sleep 100) & wait"),
      {.output = Stdio::pipe(), .own_group = true});
  BufferedReader reader(shell.output());
  BOOST_TEST(reader.read_line().value() == "ready");
  BOOST_TEST(shell.terminate(10s).code() == 3);
  BOOST_TEST(reader.at_end());
}

BOOST_AUTO_TEST_SUITE_END()
