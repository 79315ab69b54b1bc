// fiber/gdb/weft.py in gdb: what it shows of a program that is stuck.

#include <fnmatch.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/check.h"
#include "tests/support/program.h"
#include "tests/support/temporary_directory.h"

BOOST_AUTO_TEST_SUITE(gdb)

using weft::test::Program;
using weft::test::run_program;
using weft::test::TemporaryDirectory;

namespace {

// Sanitizers make programs that end by a signal leave no core.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kLeavesCores = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kLeavesCores = false;
#else
constexpr bool kLeavesCores = true;
#endif
#else
constexpr bool kLeavesCores = true;
#endif

constexpr std::chrono::seconds kPatience{60};  // gdb reads a lot, above all of sanitizers
const std::string kStuck = std::filesystem::absolute("tests/gdb/stuck");

using Strings = std::vector<std::string>;

bool leave_out(const char* why) {
  std::fprintf(stderr, "left out: %s\n", why);
  return true;
}

bool no_gdb() {
  static const bool there = std::system("gdb --version >/dev/null 2>&1") == 0;
  return !there && leave_out("gdb is not installed");
}

// What gdb says to these commands, its errors included.
std::string gdb(const Strings& commands, const Strings& target = {}) {
  Strings arguments{"-c",  "exec gdb \"$0\" \"$@\" 2>&1", "-batch", "-nx",
                    "-ex", "source fiber/gdb/weft.py"};
  for (const std::string& command : commands) {
    arguments.insert(arguments.end(), {"-ex", command});
  }
  arguments.insert(arguments.end(), target.begin(), target.end());
  return run_program("sh", std::move(arguments), {}, kPatience).out;
}

bool has_line(const std::string& output, const std::string& pattern) {
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    if (fnmatch(pattern.c_str(), line.c_str(), 0) == 0) return true;
  }
  return false;
}

void check_has(const std::string& output, const Strings& patterns) {
  for (const std::string& pattern : patterns) {
    BOOST_TEST(has_line(output, pattern), "no line is " << pattern << " in:\n" << output);
  }
}

// From the first occurrence of `mark` on.
std::string after(const std::string& output, const std::string& mark) {
  const std::size_t place = output.find(mark);
  return place == std::string::npos ? "" : output.substr(place);
}

std::size_t count(const std::string& output, const std::string& text) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = output.find(text, at)) != std::string::npos; ++at) ++found;
  return found;
}

// The list that is expected of `stuck`.
const Strings kTasks{
    "scheduler 0 on thread 1",
    "*[0-9]  main             runs on thread 1      *",
    "*[0-9]  transfer a to b  waits in Mutex::lock  bank::transfer*",
    "*[0-9]  transfer b to a  waits in Mutex::lock  bank::transfer*",
    "*[0-9]  orders           waits in Queue::pop   bank::next_order*",
    "*[0-9]                   is ready",
    "scheduler 1 on thread [0-9]*",
    "*[0-9]  visitor          waits in sleep_for    bank::rest*",
};

// The program and a copy without debug information, one after the other.
template <class F>
void with_and_without_debug_information(F f) {
  const TemporaryDirectory directory;
  const std::string copy = directory / "stripped";
  BOOST_TEST_REQUIRE(run_program("strip", {"-g", kStuck, "-o", copy}).exit_code == 0);
  f(kStuck);
  f(copy);
}

// A process that is stuck, for gdb to attach to. Ends with an exit code of 0, as it would have.
class Stuck {
 public:
  explicit Stuck(const std::string& path = kStuck) : path_(path), program_(path, {}, kPatience) {
    BOOST_TEST(program_.read_line() == "stuck");
  }
  ~Stuck() {
    program_.close_input();
    BOOST_TEST(program_.wait().exit_code == 0);
  }

  // A machine may forbid to attach to a process, but not to start one.
  std::string look(const Strings& commands) const {
    std::string said = gdb(commands, {"-p", std::to_string(program_.pid())});
    if (said.find("Operation not permitted") == std::string::npos) return said;
    Strings all{"set breakpoint pending on", "tbreak poll", "run </dev/null"};
    all.insert(all.end(), commands.begin(), commands.end());
    return gdb(all, {path_});
  }

 private:
  const std::string path_;
  Program program_;
};

// The number of a task, which is the same in each process.
std::string id_of(const std::string& name) {
  static const std::string tasks = Stuck().look({"weft tasks"});
  std::istringstream lines(tasks);
  for (std::string line; std::getline(lines, line);) {
    if (line.find("  " + name + "  ") != std::string::npos) {
      return std::to_string(std::stoul(line));
    }
  }
  BOOST_ERROR("no task \"" + name + "\" in:\n" + tasks);
  return "0";
}

// The core of a program that was stuck; empty if this machine keeps none.
std::string core_of(const std::string& program, const TemporaryDirectory& directory,
                    const std::string& preparation = ":") {
  const std::string script =
      "cd \"$0\" && ulimit -c unlimited; " + preparation + "; exec \"$1\" abort";
  run_program("sh", {"-c", script, directory.path(), program});
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    if (entry.path().filename().string().starts_with("core")) return entry.path();
  }
  leave_out("there is no core; see /proc/sys/kernel/core_pattern, and ulimit -Hc");
  return {};
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_core_tells_where_its_tasks_wait) {
  if (!kLeavesCores || no_gdb()) return;
  with_and_without_debug_information([](const std::string& program) {
    const TemporaryDirectory directory;
    const std::string core = core_of(program, directory);
    if (core.empty()) return;
    const std::string said = gdb({"weft tasks", "weft apply all bt"}, {program, core});
    check_has(said, kTasks);
    check_has(said, {"task * \"transfer a to b\" waits in Mutex::lock", "#* bank::transfer*"});
    // Both in the list, and in a backtrace.
    BOOST_TEST(count(said, "bank::transfer") == 4, said);
    check_has(after(said, "\"main\" runs on"), {"#* bank::hold_up*"});
  });
}

BOOST_AUTO_TEST_CASE(a_live_process_tells_where_its_tasks_wait) {
  if (no_gdb()) return;
  with_and_without_debug_information([](const std::string& program) {
    const Stuck stuck(program);
    const std::string said = stuck.look({"weft tasks", "weft apply all bt"});
    check_has(said, kTasks);
    BOOST_TEST(count(said, "bank::transfer") == 4, said);
    check_has(after(said, "\"main\" runs on"), {"#* bank::hold_up*"});
    // The fiber that is to run a call is no task yet.
    BOOST_TEST(count(said, "is ready\n") == 2, said);
  });
}

BOOST_AUTO_TEST_CASE(a_backtrace_has_the_frames_of_its_task_only) {
  if (no_gdb()) return;
  const Stuck stuck;
  const std::string id = id_of("orders");
  const std::string said = stuck.look(
      {"echo its\\n", "weft bt " + id, "echo two\\n", "weft bt " + id + " 2", "echo own\\n", "bt"});
  const std::string its = said.substr(0, said.find("\ntwo\n"));
  check_has(after(its, "\nits\n"), {"#* bank::next_order*", "#* make_fcontext *"});
  BOOST_TEST(!has_line(after(its, "\nits\n"), "#0 *"), said);
  BOOST_TEST(!has_line(after(its, "\nits\n"), "*0x0000000000000000*"), said);
  const std::string two = after(said.substr(0, said.find("\nown\n")), "\ntwo\n");
  BOOST_TEST(count(two, "\n#") == 2, said);
  // The thread's own backtrace is what it was.
  check_has(after(said, "\nown\n"), {"#0 *", "#* bank::hold_up*"});
  BOOST_TEST(!has_line(after(said, "\nown\n"), "*next_order*"), said);
}

BOOST_AUTO_TEST_CASE(commands_of_gdb_act_on_the_task_that_is_selected) {
  if (no_gdb()) return;
  const Stuck stuck;
  const std::string id = id_of("transfer b to a");
  const std::string said =
      stuck.look({"weft select " + id, "frame apply all info locals", "echo up\\n", "up",
                  "info frame", "echo bt\\n", "bt", "echo off\\n", "weft select off", "bt"});
  check_has(said, {"task " + id + " \"transfer b to a\" waits in Mutex::lock", "kept = 44"});
  check_has(after(said, "\nup\n"), {"Stack level *"});
  check_has(after(said, "\nbt\n"), {"#* bank::transfer *amount=*22*"});
  check_has(after(said, "\noff\n"), {"#0 *", "#* bank::hold_up*"});
  BOOST_TEST(!has_line(after(said, "\noff\n"), "*bank::transfer*"), said);
}

BOOST_AUTO_TEST_CASE(other_threads_are_shown_as_ever) {
  if (no_gdb()) return;
  const Stuck stuck;
  const std::string id = id_of("orders");
  const std::string said =
      stuck.look({"weft select " + id, "thread 2", "echo other\\n", "bt", "echo tasks\\n",
                  "weft tasks", "thread", "echo again\\n", "thread 1", "bt"});
  check_has(after(said, "\nother\n"), {"#0 *"});
  BOOST_TEST(!has_line(said.substr(0, said.find("\ntasks\n")), "#*bank::next_order*"), said);
  check_has(after(said, "\ntasks\n"), {"*Current thread is 2 *"});
  check_has(after(said, "\nagain\n"), {"#* bank::next_order*"});
}

BOOST_AUTO_TEST_CASE(a_running_task_is_selected_with_its_thread) {
  if (no_gdb()) return;
  const Stuck stuck;
  const std::string id = id_of("main");
  const std::string said = stuck.look({"thread 2", "weft select " + id, "thread", "bt"});
  check_has(said, {"task " + id + " \"main\" runs on thread 1", "*Current thread is 1 *", "#0 *",
                   "#* bank::hold_up*"});
}

BOOST_AUTO_TEST_CASE(a_task_stays_selected_until_the_program_runs) {
  if (no_gdb()) return;
  const Stuck stuck;
  // The thread comes back to the same place.
  const std::string said =
      stuck.look({"break bank::tick", "continue", "weft select " + id_of("orders"),
                  "echo before\\n", "bt", "echo ran\\n", "continue", "bt"});
  check_has(after(said, "\nbefore\n"), {"#* bank::next_order*"});
  check_has(after(said, "\nran\n"), {"#0 *", "#* bank::hold_up*"});
  BOOST_TEST(!has_line(after(said, "\nran\n"), "#*bank::next_order*"), said);
}

BOOST_AUTO_TEST_CASE(a_function_inlined_where_the_thread_is_belongs_to_the_thread) {
  if (no_gdb()) return;
  const Stuck stuck;
  const std::string said = stuck.look({"tbreak bank::tick", "continue", "bt 1", "echo task\\n",
                                       "weft select " + id_of("orders"), "bt"});
  check_has(said, {"#0 *bank::tick*"});
  check_has(after(said, "\ntask\n"), {"#* bank::next_order*"});
  BOOST_TEST(!has_line(after(said, "\ntask\n"), "#*bank::hold_up*"), said);
}

BOOST_AUTO_TEST_CASE(what_is_wrong_is_said) {
  if (no_gdb()) return;
  check_has(gdb({"weft tasks"}), {"weft: this program has no weft*"});
  const Stuck stuck;
  check_has(stuck.look({"weft bt 4711", "weft select main", "weft bt", "weft select",
                        "weft apply all", "weft tasks 1", "set var *(unsigned*)&weft_layout = 99",
                        "weft apply all bt", "set var *(unsigned*)&weft_layout = 1"}),
            {"weft: there is no task 4711; *", "weft: a task is named by its number*: main",
             "Usage: weft bt *", "Usage: weft select *", "Usage: weft apply all *",
             "Usage: weft tasks", "weft: the program's weft has layout 99, *"});
}

BOOST_AUTO_TEST_CASE(a_core_without_stacks_says_so) {
  if (!kLeavesCores || no_gdb()) return;
  const TemporaryDirectory directory;
  const std::string core = core_of(kStuck, directory, "echo 0 >/proc/self/coredump_filter");
  if (core.empty()) return;
  check_has(gdb({"weft tasks"}, {kStuck, core}), {"weft: *core*`help weft`*"});
}

// gdb leaves the stacks out where markers guard them.
BOOST_AUTO_TEST_CASE(a_core_by_gdb_has_the_tasks_or_says_what_is_missing) {
  if (!kLeavesCores || no_gdb()) return;
  const TemporaryDirectory directory;
  Stuck().look({"generate-core-file " + (directory / "core")});
  const std::string said = gdb({"weft tasks"}, {kStuck, directory / "core"});
  if (said.find("weft: the stacks of the tasks are missing") == std::string::npos) {
    check_has(said, kTasks);
  }
}

BOOST_AUTO_TEST_CASE(each_command_has_its_help) {
  if (no_gdb()) return;
  check_has(gdb({"help weft", "help weft tasks", "help weft bt", "help weft select",
                 "help weft apply all"}),
            {"The tasks of a program that uses weft.", "Usage: weft tasks", "Usage: weft bt *",
             "Usage: weft select ID", "Usage: weft apply all COMMAND"});
}

BOOST_AUTO_TEST_SUITE_END()
