#include "weft/io/process.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "tests/support/error_names.h"
#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(process)

using namespace weft;
using namespace weft::test;

namespace {

// Whether this process has a child left.
bool has_child() {
  siginfo_t info{};
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

}  // namespace

WEFT_REAL_TIME_TEST_CASE(it_ends_with_its_code) {
  BOOST_TEST(Process::start({"true"}).wait().ok());
  const ExitStatus status = Process::start({"sh", "-c", "exit 3"}).wait();
  BOOST_TEST(status.code() == 3);
  BOOST_TEST(status.to_string() == "exited with 3");
  BOOST_TEST(!has_child());
}

WEFT_REAL_TIME_TEST_CASE(its_streams_are_pipes) {
  Process sort = Process::start({"sort", "-n"}, {.input = Stdio::pipe(), .output = Stdio::pipe()});
  sort.input().write_all("10\n9\n");
  sort.input().close();
  BOOST_TEST(BufferedReader(sort.output()).read_all() == "9\n10\n");
  BOOST_TEST(sort.wait().ok());
}

WEFT_REAL_TIME_TEST_CASE(destroying_it_kills_and_reaps_it) {
  { Process sleeper = Process::start({"sleep", "100"}); }
  BOOST_TEST(!has_child());
}

WEFT_REAL_TIME_TEST_CASE(run_process_returns_what_it_wrote) {
  const ProcessResult result =
      run_process(shell("cat; echo trouble >&2; exit 4"), {.input = "hello"});
  BOOST_TEST(result.output == "hello");
  BOOST_TEST(result.error == "trouble\n");
  BOOST_TEST(result.status.code() == 4);
}

WEFT_REAL_TIME_TEST_CASE(a_failure_to_start_names_the_program_and_the_step) {
  const auto failure = [](const std::vector<std::string>& arguments, ProcessOptions options = {}) {
    try {
      Process::start(arguments, options);
      return std::string("none");
    } catch (const std::system_error& error) {
      return std::string(error.what());
    }
  };
  BOOST_TEST(failure({"/nope/x"}) == "weft: start /nope/x: No such file or directory");
  BOOST_TEST(failure({"nope-x"}) == "weft: start nope-x: No such file or directory");
  BOOST_TEST(failure({"true"}, {.directory = "/nope"}) ==
             "weft: start true: enter /nope: No such file or directory");
}

BOOST_AUTO_TEST_SUITE_END()
