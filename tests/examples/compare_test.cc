// The comparison of bench/, with contestants that print what they are told to, and with our own.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/support/check.h"
#include "tests/support/program.h"
#include "tests/support/temporary_directory.h"
#include "weft/fiber/core/context.h"

BOOST_AUTO_TEST_SUITE(compare)

using weft::test::check_lines;
using weft::test::run_program;
using weft::test::TemporaryDirectory;

namespace {

constexpr const char* kHead =
    "                         median  spread               times weft's  runs";

// Programs that stand in for contestants.
class Field {
 public:
  // One that does this for any workload.
  void enter(const std::string& name, const std::string& shell_command) {
    const std::string path = directory_ / name;
    std::ofstream(path) << "#!/bin/sh\n"
                        << "[ $1 = version ] && echo the version of " << name << " && exit\n"
                        << shell_command << "\n";
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    arguments_.insert(arguments_.end(), {"--contestant", name, path});
  }

  // What compare prints, less the line about the machine.
  std::string compare(std::vector<std::string> options) {
    options.insert(options.end(), arguments_.begin(), arguments_.end());
    const auto end = run_program("bench/compare/compare", options);
    BOOST_TEST(end.exit_code == 0);
    BOOST_TEST(end.err == "");
    return end.out.substr(end.out.find('\n') + 1);
  }

  std::string file(const char* name) const { return directory_ / name; }

 private:
  TemporaryDirectory directory_;
  std::vector<std::string> arguments_;
};

std::string content(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

BOOST_AUTO_TEST_CASE(each_has_its_median_and_its_ratio_to_the_first) {
  Field field;
  field.enter("weft", "echo 10");
  field.enter("slow", "echo 25");
  check_lines(field.compare({"--quick", "queue128", "--remark", "a remark"}),
              {"the version of weft", "the version of slow", "a remark", "",
               "queue128: a queue of capacity 128 between two fibers; ns per item", kHead,
               "  weft                     10.0  10.0 .. 10.0                 1.00     3",
               "  slow                     25.0  25.0 .. 25.0                 2.50     3"});
}

BOOST_AUTO_TEST_CASE(who_has_none_or_fails_is_named_with_the_reason) {
  Field field;
  field.enter("weft", "echo 10");
  field.enter("none", "exit 3");
  field.enter("broken", "echo first >&2; echo 'no memory' >&2; exit 1");
  check_lines(
      field.compare({"--quick", "spawn"}),
      {"the version of weft", "the version of none", "the version of broken", "", "spawn: *", kHead,
       "  weft *10.0*", "  none               has none", "  broken             failed: no memory"});
}

BOOST_AUTO_TEST_CASE(who_has_no_server_is_left_out_of_echo) {
  Field field;
  field.enter("weft", "exit 3");
  field.enter("dead", "echo sorry; exit 1");
  field.enter("deaf", "echo 1; exec sleep 30");
  check_lines(field.compare({"--quick", "echo 100 "}), {"*", "*", "*"});  // no such table
  const std::string out = field.compare({"--quick", "echo 100"});
  BOOST_TEST(out.find("  weft               has none\n  dead               failed: sorry\n"
                      "  deaf               failed: cannot connect to the server\n") !=
             std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_file_of_results_has_a_line_for_each_figure) {
  Field field;
  field.enter("weft", "echo 10");
  field.enter("none", "exit 3");
  const std::string file = field.file("results");
  field.compare({"--quick", "executor", "--results", file});
  check_lines(content(file),
              {"# *", "# the version of weft", "# the version of none",
               "executor\tan empty function on a thread of another core\tus per round trip\tless\t"
               "weft\t0.01\t0.01\t0.01\t1\t3",
               "executor\tan empty function on a thread of another core\tus per round trip\tless\t"
               "none\thas none"});
}

BOOST_AUTO_TEST_CASE(what_makes_no_sense_is_answered_by_the_usage) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{}, {"--slow"}, {"--contestant", "weft"}, {"--results"}}) {
    const auto end = run_program("bench/compare/compare", arguments);
    BOOST_TEST(end.exit_code == 2);
    BOOST_TEST(end.err.starts_with("usage: compare"));
  }
}

namespace {

void check_workload(const char* contestant, const char* name) {
  const std::string times = std::string(name) == "skynet" ? "1" : "200";
  // Some compute for seconds: more of them, where others do that too.
  const auto end = run_program(std::string("bench/contestants/") + contestant, {name, times}, {},
                               std::chrono::minutes(1));
  BOOST_TEST_CONTEXT(contestant << " " << name) {
    BOOST_TEST(end.exit_code == 0);
    BOOST_TEST(end.err == "");
    BOOST_TEST(std::strtod(end.out.c_str(), nullptr) != 0);
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(our_own_contestants_do_every_workload) {
  const char* const workloads[] = {
    "switch",
    "spawn",
    "skynet",
    "queue1",
    "queue128",
    "mutex",
    "mutex2",
    "mutex100",
    "timers",
    "parked",
    "executor",
    "queries",
    "process",
    "processes",
    "pipe_out",
    "pool_job",
#if !defined(WEFT_TSAN) && !defined(WEFT_ASAN)  // 100,000 wait: too many for the former, and slow
    "timeout",
#endif
  };
  // Of these raw has none.
  const char* const of_weft[] = {
      "pop",        "select_ready", "select_biased", "pop_wait",     "select_wait", "mpsc",
      "mpsc_cores", "broadcast",    "ticker",        "ticker_apart", "ticker_late",
  };
  const char* const contestants[] = {
    "weft",
#if !defined(WEFT_TSAN) && !defined(WEFT_ASAN)  // which raw does not tell of its stacks
    "raw",
#endif
  };
  for (const char* name : workloads) {
    for (const char* contestant : contestants) check_workload(contestant, name);
  }
  for (const char* name : of_weft) check_workload("weft", name);
}

BOOST_AUTO_TEST_CASE(our_own_contestants_serve_echo) {
  const auto end =
      run_program("bench/compare/compare",
                  {"--quick", "echo 100", "--contestant", "weft", "bench/contestants/weft",
                   "--contestant", "raw", "bench/contestants/raw"});
  BOOST_TEST(end.exit_code == 0);
  BOOST_TEST(end.out.find("echo 100 p99") != std::string::npos);
  BOOST_TEST(end.out.find("failed") == std::string::npos, end.out);
}

BOOST_AUTO_TEST_SUITE_END()
