#include <signal.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>

#include "tests/support/children.h"
#include "tests/support/error_names.h"
#include "tests/support/fixture.h"
#include "tests/support/temporary_directory.h"
#include "weft/io/process.h"

BOOST_AUTO_TEST_SUITE(run_process)

using namespace std::chrono_literals;
using namespace weft;
using namespace weft::test;
using weft::run_process;

namespace {

constexpr std::size_t kMuch = 10'000'000;

std::string digits(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('0' + i * 7 % 11 % 10);
  return text;
}

// A program that has started another one and waits for it; `file` gets that one's number.
struct Family {
  pid_t grandchild() const {
    BOOST_TEST(eventually([&] { return text_of(file).ends_with('\n'); }));
    return std::stoi(text_of(file));
  }

  const TemporaryDirectory folder = {};
  const std::string file = folder / "number";
  const std::vector<std::string> arguments =
      shell("sleep 1000 & echo $! >" + file + "; echo some output; wait");
};

}  // namespace

// ---- What it returns ----------------------------------------------------------------------------

WEFT_PROCESS_TEST_CASE(it_returns_how_it_ended_and_what_it_wrote) {
  const ProcessResult result =
      run_process(shell("cat; echo trouble >&2; exit 4"), {.input = "hello"});
  BOOST_TEST(result.output == "hello");
  BOOST_TEST(result.error == "trouble\n");
  BOOST_TEST(result.status.code() == 4);
  BOOST_TEST(run_process(shell("kill -9 $$")).status.signal() == SIGKILL);
}

WEFT_PROCESS_TEST_CASE(without_a_text_its_input_is_empty) {
  BOOST_TEST(run_process({"cat"}).output.empty());
}

WEFT_PROCESS_TEST_CASE(much_goes_both_ways_at_once) {
  const std::string much = digits(kMuch);
  const ProcessResult result = run_process(shell("tee /dev/stderr"), {.input = much});
  BOOST_TEST((result.output == much));
  BOOST_TEST((result.error == much));
}

WEFT_PROCESS_TEST_CASE(zero_bytes_pass) {
  const std::string text("a\0b\n\0", 5);
  BOOST_TEST((run_process({"cat"}, {.input = text}).output == text));
}

WEFT_PROCESS_TEST_CASE(its_streams_may_go_elsewhere) {
  const TemporaryDirectory folder;
  const std::string file = folder / "file";
  ProcessResult result =
      run_process(shell("echo output; echo error >&2"), {.process = {.output = Stdio::file(file)}});
  BOOST_TEST(result.output.empty());
  BOOST_TEST(result.error == "error\n");
  BOOST_TEST(text_of(file) == "output\n");
  result =
      run_process(shell("echo output; echo error >&2"), {.process = {.error = Stdio::output()}});
  BOOST_TEST(result.output == "output\nerror\n");
  BOOST_TEST(result.error.empty());
  result = run_process({"cat"}, {.process = {.input = Stdio::file(file)}});
  BOOST_TEST(result.output == "output\n");
  result = run_process({"cat"}, {.process = {.input = Stdio::pipe()}});
  BOOST_TEST(result.output.empty());
}

WEFT_PROCESS_TEST_CASE(two_inputs_are_refused) {
  BOOST_CHECK_THROW(
      run_process({"cat"}, {.input = "text", .process = {.input = Stdio::file("/dev/null")}}),
      std::invalid_argument);
}

WEFT_PROCESS_TEST_CASE(a_shell_takes_its_line_as_code) {
  BOOST_TEST((shell("a b") == std::vector<std::string>{"/bin/sh", "-c", "a b"}));
  BOOST_TEST(run_process(shell("printf %s \"$TEXT\""), {.process = {.environment = {"TEXT=$(x)"}}})
                 .output == "$(x)");
}

// ---- Input that is not read ---------------------------------------------------------------------

WEFT_PROCESS_TEST_CASE(a_program_need_not_read_its_input) {
  const std::string much = digits(kMuch);
  BOOST_TEST(run_process({"true"}, {.input = much}).status.ok());
  const ProcessResult result = run_process({"head", "-c", "3"}, {.input = much});
  BOOST_TEST(result.output == much.substr(0, 3));
  BOOST_TEST(result.status.ok());
  for (int i = 0; i < 50; ++i) {  // it ends before or while it is fed
    BOOST_TEST(run_process({"true"}, {.input = "text"}).status.ok());
  }
}

WEFT_PROCESS_TEST_CASE(a_program_may_close_its_input_early) {
  const std::string much = digits(1'000'000);
  const ProcessResult result =
      run_process(shell("exec <&-; echo going on; exit 3"), {.input = much});
  BOOST_TEST(result.output == "going on\n");
  BOOST_TEST(result.status.code() == 3);
}

WEFT_PROCESS_TEST_CASE(a_program_that_closes_its_output_is_waited_for) {
  const ProcessResult result = run_process(shell("exec >&- 2>&-; sleep 0.02; exit 5"));
  BOOST_TEST(result.status.code() == 5);
}

// ---- Its end ------------------------------------------------------------------------------------

WEFT_PROCESS_TEST_CASE(a_check_fails_with_all_that_is_known) {
  const auto fail = [](const std::string& line) { run_process(shell(line), {.check = true}); };
  fail("exit 0");
  try {
    fail("echo output; echo first >&2; echo last words >&2; echo >&2; exit 6");
    BOOST_ERROR("it does not throw");
  } catch (const ProcessError& error) {
    BOOST_TEST(error.what() == "/bin/sh exited with 6: last words");
    BOOST_TEST(error.result().status.code() == 6);
    BOOST_TEST(error.result().output == "output\n");
    BOOST_TEST(error.result().error == "first\nlast words\n\n");
  }
  const auto says = [](const char* text) {
    return [text](const ProcessError& error) { return error.what() == std::string(text); };
  };
  BOOST_CHECK_EXCEPTION(fail("exit 1"), ProcessError, says("/bin/sh exited with 1"));
  BOOST_CHECK_EXCEPTION(fail("kill $$"), ProcessError, says("/bin/sh was killed by SIGTERM"));
  BOOST_CHECK_EXCEPTION(fail("printf '\\n\\n' >&2; exit 1"), ProcessError,
                        says("/bin/sh exited with 1: "));
}

WEFT_PROCESS_TEST_CASE(too_much_output_kills_it) {
  const auto run_limited = [](const char* line, std::size_t limit) {
    return run_process(shell(line), {.output_limit = limit});
  };
  const auto is_too_much = is(std::errc::value_too_large, "run_process /bin/sh", "5 bytes");
  BOOST_TEST(run_limited("printf 12345", 5).output == "12345");
  BOOST_TEST(run_limited("printf 12345 >&2", 5).error == "12345");
  BOOST_CHECK_EXCEPTION(run_limited("printf 123456", 5), std::system_error, is_too_much);
  BOOST_CHECK_EXCEPTION(run_limited("printf 123456 >&2", 5), std::system_error, is_too_much);
  BOOST_CHECK_EXCEPTION(run_limited("yes", 5), std::system_error, is_too_much);
  BOOST_CHECK_EXCEPTION(run_limited("yes >&2 & wait", 5), std::system_error, is_too_much);
  BOOST_TEST(run_limited("exit 2", 0).status.code() == 2);
  BOOST_CHECK_THROW(run_limited("echo", 0), std::system_error);
}

WEFT_PROCESS_TEST_CASE(a_cancellation_kills_its_group) {
  const Family family;
  auto running = spawn([&] { run_process(family.arguments); });
  const pid_t grandchild = family.grandchild();
  BOOST_TEST(is_alive(grandchild));
  running.cancel();
  BOOST_CHECK_THROW(running.get(), TaskCancelled);
  BOOST_TEST(!has_child());
  BOOST_TEST(eventually([&] { return !is_alive(grandchild); }));
}

WEFT_PROCESS_TEST_CASE(a_timeout_kills_its_group) {
  const Family family;
  BOOST_CHECK_THROW(with_timeout(50ms, [&] { run_process(family.arguments); }), TimeoutError);
  BOOST_TEST(!has_child());
  BOOST_TEST(eventually([&] { return !is_alive(family.grandchild()); }));
}

WEFT_PROCESS_TEST_CASE(a_cancellation_reaches_what_a_dead_program_has_left) {
  const TemporaryDirectory folder;
  const std::string file = folder / "number";
  auto running = spawn([&] { run_process(shell("sleep 1000 & echo $! >" + file)); });
  BOOST_TEST(eventually([&] { return text_of(file).ends_with('\n'); }));
  sleep_for(5ms);  // the program itself has ended; its output has not
  BOOST_TEST(!running.done());
  running.cancel();
  BOOST_CHECK_THROW(running.get(), TaskCancelled);
  BOOST_TEST(eventually([&] { return !is_alive(std::stoi(text_of(file))); }));
}

WEFT_PROCESS_TEST_CASE(a_cancellation_at_any_time_leaves_nothing) {
  const std::string text = digits(100'000);
  for (int i = 0; i < 60; ++i) {
    auto running = spawn([&] { return run_process({"cat"}, {.input = text}).output; });
    sleep_for(i * 50us);
    running.cancel();
    try {
      BOOST_TEST((running.get() == text));
    } catch (const TaskCancelled&) {
    }
    BOOST_TEST(!has_child());
  }
}

WEFT_PROCESS_TEST_CASE(a_program_that_is_not_there_leaves_nothing) {
  BOOST_CHECK_EXCEPTION(run_process({"/nope"}, {.input = "text"}), std::system_error,
                        is(std::errc::no_such_file_or_directory, "start /nope"));
}

WEFT_PROCESS_TEST_CASE(some_run_at_once) {
  const std::string text = digits(200'000);
  TaskGroup group;
  for (int i = 0; i < 20; ++i) {
    group.spawn([&] { BOOST_TEST((run_process({"cat"}, {.input = text}).output == text)); });
  }
  group.join();
}

BOOST_AUTO_TEST_SUITE_END()
