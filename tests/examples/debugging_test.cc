// docs/debugging.md shows what weft prints of each trouble of examples/trouble.cc. The sessions
// there are run again, and what comes out is compared with the page, line by line, but for what
// varies.

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/check.h"
#include "tests/support/program.h"
#include "tests/support/temporary_directory.h"
#include "weft/fiber/core/context.h"

BOOST_AUTO_TEST_SUITE(debugging)

using weft::test::Program;
using weft::test::TemporaryDirectory;

namespace {

using Lines = std::vector<std::string>;

// A block of the page: commands after "$ ", each followed by what is printed.
struct Step {
  bool has(std::string_view text) const { return command.find(text) != command.npos; }

  std::string command;
  Lines output;
};
using Session = std::vector<Step>;

std::vector<Session> read_page() {
  std::ifstream page("docs/debugging.md");
  if (!page) throw std::runtime_error("cannot read docs/debugging.md");
  std::vector<Session> sessions;
  bool inside = false;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("```")) {
      inside = line == "```console";
      if (inside) sessions.emplace_back();
    } else if (inside && line.starts_with("$ ")) {
      sessions.back().push_back({line.substr(2), {}});
    } else if (inside) {
      if (sessions.back().empty()) throw std::runtime_error("no command before " + line);
      sessions.back().back().output.push_back(line);
    }
  }
  return sessions;
}

// ---- What is compared ---------------------------------------------------------------------------

// Replaces what differs from run to run, and from compiler to compiler.
std::string without_what_varies(std::string line) {
  static const std::pair<std::regex, const char*> kVaries[] = {
      {std::regex("\\bpid [0-9]+"), "pid N"},
      {std::regex(", build [0-9a-f]+"), ""},  // not every linker leaves one
      {std::regex("\\bthread [0-9]+"), "thread N"},
      {std::regex("runs on thread N .*"), "runs on thread N"},  // in some function of libc
      {std::regex("\\b0x[0-9a-f]+"), "0xN"},
      {std::regex("[0-9]+\\.[0-9]+ (to [0-9]+\\.[0-9]+ )?s\\b"), "N s"},
      {std::regex("[0-9]+ ms\\b"), "N ms"},
      {std::regex("\\bsystem call [0-9]+"), "system call N"},
      {std::regex("[0-9,]+ bytes\\b"), "N bytes"},
      {std::regex("[0-9,]+ times$"), "N times"},
      {std::regex("^    #[0-9]+ +"), "    #N "},
      {std::regex(" \\(core dumped\\)"), ""},
      {std::regex(" \\[clone [^\\]]*\\]"), ""},
      {std::regex("(\\S)  +"), "$1  "},
  };
  for (const auto& [what, instead] : kVaries) line = std::regex_replace(line, what, instead);
  return line;
}

// Other systems have other frames of libc and of sanitizers, and gdb says other things of a core.
bool is_of_system(const std::string& line) {
  static const std::regex kOfSystem(
      "    #.*(  libc\\.so\\.6\\+|__interceptor_).*"
      "|(\\[|Core was|Program terminated|Using host|(gdb: )?warning:|#0 |[0-9]+\t).*|");
  return std::regex_match(line, kOfSystem);
}

// The reports, each with its indented lines. One that comes again, as that of a stall does after
// twice the time, counts once: how often it comes is up to the machine.
Lines reports_of(const Lines& output) {
  Lines reports;
  for (const std::string& line : output) {
    if (is_of_system(line)) continue;
    if (reports.empty() || !line.starts_with(' ')) reports.emplace_back();
    reports.back() += without_what_varies(line) + '\n';
  }
  reports.erase(std::unique(reports.begin(), reports.end()), reports.end());
  return reports;
}

// ---- How it is run ------------------------------------------------------------------------------

// The folder in which the commands find what they name: `trouble`, and gdb's script.
class Desk {
 public:
  Desk() {
    namespace fs = std::filesystem;
    fs::create_symlink(fs::absolute("examples/trouble"), folder_ / "trouble");
    fs::create_symlink(fs::absolute("fiber"), folder_ / "fiber");
  }

  // What the shell runs. One that ends with & takes the shell's place, so that signals reach it. A
  // sanitizer leaves SIGSEGV to the program.
  std::string line_for(std::string command) const {
    if (command.ends_with(" &")) command = "exec env " + command.substr(0, command.size() - 2);
    return "cd " + folder_.path() +
           " && PATH=.:$PATH && export TSAN_OPTIONS=$TSAN_OPTIONS:handle_segv=0 "
           "UBSAN_OPTIONS=$UBSAN_OPTIONS:handle_segv=0 && exec 2>&1 && " +
           command;
  }

  // Whether the machine has what the command needs.
  bool can_run(const Step& step) const {
    if (!step.has("gdb ")) return true;
    static const bool has_gdb = std::system("gdb -v >/dev/null 2>&1") == 0;
    if (has_gdb && std::filesystem::exists(folder_ / "core")) return true;
    std::fputs("left out: there is no core here, or no gdb\n", stderr);
    return false;
  }

 private:
  TemporaryDirectory folder_;
};

// How the shell says that a signal has ended a program.
constexpr int by_signal(int number) { return 128 + number; }

constexpr std::chrono::seconds kPatience{30};  // gdb reads a lot

// Runs a command and checks what it prints. A `kill` that follows is sent when all is there that
// comes before it, and what it has printed belongs to the same program. Returns how the shell
// ended.
Program::End run(const Desk& desk, const Step& step, const Step* kill) {
  Program program("/bin/sh", {"-c", desk.line_for(step.command)}, kPatience);
  Lines output, expected = step.output;
  if (kill) {
    while (output.size() < expected.size()) output.push_back(program.read_line());
    expected.insert(expected.end(), kill->output.begin(), kill->output.end());
    program.signal(SIGQUIT);
  }
  Program::End end = program.wait();
  std::istringstream rest(end.out);
  for (std::string line; std::getline(rest, line);) output.push_back(line);
  BOOST_TEST(reports_of(output) == reports_of(expected));
  return end;
}

void run_session(const Session& session, int expected_end) {
  const Desk desk;
  bool first = true;
  for (std::size_t i = 0; i < session.size(); ++i) {
    const Step& step = session[i];
    if (!desk.can_run(step)) continue;
    const bool killed = i + 1 < session.size() && session[i + 1].command.starts_with("kill -QUIT");
    BOOST_TEST_CONTEXT(step.command) {
      const Program::End end = run(desk, step, killed ? &session[++i] : nullptr);
      if (std::exchange(first, false)) {
        BOOST_TEST(end.exit_code == expected_end);
      }
    }
  }
}

// Runs the sessions that the page has of a trouble.
void check(const std::string& trouble, int expected_end = 0) {
  int count = 0;
  for (const Session& session : read_page()) {
    if (!session.at(0).has("trouble " + trouble)) continue;
    ++count;
    run_session(session, expected_end);
  }
  BOOST_TEST(count > 0, "docs/debugging.md does not show " << trouble);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_stuck_request_says_what_it_waits_for) { check("stuck"); }

BOOST_AUTO_TEST_CASE(a_deadlock_names_its_cycle) { check("deadlock", 1); }

#if !defined(WEFT_TSAN)  // which lets no handler for signals in where the thread is blocked
BOOST_AUTO_TEST_CASE(a_blocked_thread_names_the_function) { check("blocked"); }
#endif

#if !defined(WEFT_ASAN)  // which has a report of its own
BOOST_AUTO_TEST_CASE(an_overflow_names_the_task) { check("overflow", by_signal(SIGSEGV)); }
#endif

BOOST_AUTO_TEST_CASE(fibers_that_are_left_behind_are_listed_together) { check("leak"); }

BOOST_AUTO_TEST_CASE(a_slow_service_has_its_numbers) { check("slow"); }

BOOST_AUTO_TEST_CASE(a_core_has_the_tasks) { check("core", by_signal(SIGABRT)); }

BOOST_AUTO_TEST_CASE(each_session_is_of_a_trouble) {
  static const std::regex kTrouble("trouble (stuck|deadlock|blocked|overflow|leak|slow|core)\\b");
  for (const Session& session : read_page()) {
    const std::string& command = session.at(0).command;
    BOOST_TEST(std::regex_search(command, kTrouble), command << " is not checked");
  }
}

// README.md shows it as print_tasks() prints it, so that the heading differs.
BOOST_AUTO_TEST_CASE(the_readme_shows_the_tasks_of_the_deadlock) {
  std::ifstream readme("README.md");
  Lines shown;
  for (std::string line; std::getline(readme, line);) {
    const bool begins = line.starts_with("    weft: 3 tasks on 1 scheduler, pid ");
    if (!begins && (shown.empty() || !line.starts_with("    "))) continue;
    shown.push_back(line.substr(4));
    if (shown.back().starts_with("cycle: ")) break;
  }
  const auto sessions = read_page();
  const auto deadlock = std::ranges::find_if(
      sessions, [](const Session& session) { return session.at(0).has("trouble deadlock"); });
  BOOST_TEST_REQUIRE((deadlock != sessions.end() && !shown.empty()));
  Lines expected = deadlock->at(0).output;
  expected.erase(expected.begin());
  expected.pop_back();  // that the program ends by it
  shown.erase(shown.begin());
  BOOST_TEST(reports_of(shown) == reports_of(expected));
}

BOOST_AUTO_TEST_CASE(without_a_trouble_there_is_the_usage) {
  weft::test::check_refused(weft::test::run_program("examples/trouble"),
                            "usage: trouble stuck|deadlock|blocked|overflow|leak|slow|core");
}

BOOST_AUTO_TEST_SUITE_END()
