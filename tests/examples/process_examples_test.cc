// The examples commands, process_pool and all_cores, run as a reader would, on real time.

#include <csignal>
#include <string>

#include "tests/support/check.h"
#include "tests/support/program.h"

BOOST_AUTO_TEST_SUITE(process_examples)

using weft::test::check_lines;
using weft::test::check_refused;
using weft::test::Program;
using weft::test::run_program;

namespace {

std::string last_line(const std::string& text) {
  const std::size_t end = text.size() - 1;
  return text.substr(text.rfind('\n', end - 1) + 1, end - text.rfind('\n', end - 1) - 1);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_CASE(commands_prints_what_each_says_and_kills_the_one_that_hangs) {
  const auto end = run_program("examples/commands", {"--seconds", "1"});
  BOOST_TEST(end.exit_code == 1);
  BOOST_TEST(has(end.out, "[7] 7 begins\n") && has(end.out, "[7] 7 ends\n"), end.out);
  BOOST_TEST(has(end.out, "[23] exited with 2\n"), end.out);
  BOOST_TEST(has(end.out, "[24] was killed: it took longer than 1 s\n"), end.out);
  BOOST_TEST(last_line(end.out) == "24 of 24 done, 0 running, 2 failed");
  BOOST_TEST(!end.left_a_process);
}

BOOST_AUTO_TEST_CASE(commands_reads_lines_and_runs_one_at_a_time) {
  const auto end = run_program("examples/commands", {"--at-once", "1", "-"},
                               "echo one\necho two; false\n\necho \"it's three\"\n");
  BOOST_TEST(
      end.out ==
      "[1] one\n[2] two\n[2] exited with 1\n[3] it's three\n3 of 3 done, 0 running, 1 failed\n");
}

BOOST_AUTO_TEST_CASE(commands_kills_what_runs_when_it_is_interrupted) {
  Program commands("examples/commands", {"--seconds", "100", "-"});
  commands.write("echo begun; sleep 1000 & sleep 1000\n");
  commands.close_input();
  BOOST_TEST(commands.read_line() == "[1] begun");
  const auto end = commands.stop(SIGINT);
  BOOST_TEST(end.exit_code == 130);
  BOOST_TEST(!end.left_a_process);
}

BOOST_AUTO_TEST_CASE(commands_says_how_it_is_used) {
  const std::string usage = "commands: usage: commands *";
  check_refused(run_program("examples/commands", {"what"}), usage);
  check_refused(run_program("examples/commands", {"--at-once", "0"}), usage);
}

BOOST_AUTO_TEST_CASE(process_pool_says_how_each_job_ended) {
  const auto end = run_program("examples/process_pool", {"--quick"});
  BOOST_TEST(end.exit_code == 0);
  check_lines(end.out, {
                           "one job:",
                           "  worker-1 works for 3 s",
                           "  it returned 103 after *?.? s",
                           "",
                           "a map over 1, 3 and 5:",
                           "  worker-[123] works for [135] s",
                           "  worker-[123] works for [135] s",
                           "  worker-[123] works for [135] s",
                           "  it returned 101 103 105, after *?.? s in all",
                           "",
                           "it throws:         std::out_of_range: there is no 7",
                           "it crashes:        weft: worker-[123] (process *",
                           "it never ends:     weft: the time is over",
                           "and goes on:       0, from worker-[1-5]",
                       });
}

BOOST_AUTO_TEST_CASE(all_cores_computes_the_same_in_four_processes) {
  const auto end = run_program("examples/all_cores", {"--quick"});
  BOOST_TEST(end.exit_code == 0);
  const std::string process = "  process *[0-9]  *[0-9]";
  check_lines(end.out, {"One process at a time:", process, process, process, process,
                        "  one * in *?.?? s", "", "Four at a time:", process, process, process,
                        process, "  together * in *?.?? s", "", "The sums are the same."});
}

BOOST_AUTO_TEST_SUITE_END()
