// The example tail, run as a reader would, on real time.

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ios>
#include <string>
#include <string_view>

#include "tests/support/check.h"
#include "tests/support/program.h"

BOOST_AUTO_TEST_SUITE(tail_example)

using weft::test::check_lines;
using weft::test::check_refused;
using weft::test::Program;
using weft::test::run_program;

namespace {

// A folder that is gone with this object.
struct Folder {
  Folder() {
    const char* parent = std::getenv("TEST_TMPDIR");
    std::string name = std::string(parent ? parent : "/tmp") + "/tail-XXXXXX";
    BOOST_REQUIRE(mkdtemp(name.data()));
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }

  // The path of a file that has this content, or has got it appended.
  std::string file(const char* name, std::string_view content,
                   std::ios::openmode mode = std::ios::trunc) const {
    std::ofstream(path / name, std::ios::out | mode) << content;
    return path / name;
  }

  std::filesystem::path path;
};

}  // namespace

BOOST_AUTO_TEST_CASE(tail_prints_the_last_lines) {
  const Folder folder;
  std::string many;
  for (int i = 0; i < 30'000; ++i) many += "line " + std::to_string(i) + "\n";
  const auto last = [&](const char* lines, std::string_view content) {
    const auto tail = run_program("examples/tail", {"-n", lines, folder.file("file", content)});
    BOOST_TEST(tail.exit_code == 0);
    BOOST_TEST(tail.err == "");
    return tail.out;
  };
  BOOST_TEST(last("2", "a\nb\nc\n") == "b\nc\n");
  BOOST_TEST(last("2", "a\nb\nc") == "b\nc");
  BOOST_TEST(last("3", "\n\n\n\n") == "\n\n\n");
  BOOST_TEST(last("9", "a\nb\n") == "a\nb\n");
  BOOST_TEST(last("0", "a\nb\n") == "");
  BOOST_TEST(last("5", "") == "");
  BOOST_TEST(last("1", many) == "line 29999\n");
  const std::string most = last("29999", many);
  BOOST_TEST((most == many.substr(many.find('\n') + 1)), "this many lines are cut wrong");
}

BOOST_AUTO_TEST_CASE(tail_names_the_files_where_there_are_several) {
  const Folder folder;
  const std::string a = folder.file("a", "1\n2\n");
  const std::string b = folder.file("b", "3\n4\n");
  BOOST_TEST(run_program("examples/tail", {"-n", "1", a, b}).out ==
             "==> " + a + " <==\n2\n\n==> " + b + " <==\n4\n");
}

BOOST_AUTO_TEST_CASE(tail_follows_what_is_appended_until_a_signal) {
  const Folder folder;
  const std::string path = folder.file("file", "1\n2\n3\n");
  Program tail("examples/tail", {"-n", "2", "-f", path});
  for (const char* line : {"2", "3"}) BOOST_TEST(tail.read_line() == line);
  folder.file("file", "4\n5", std::ios::app);
  BOOST_TEST(tail.read_line() == "4");
  folder.file("file", "\n", std::ios::app);
  BOOST_TEST(tail.read_line() == "5");

  folder.file("file", "6\n");  // is shorter
  BOOST_TEST(tail.read_line() == "6");

  std::filesystem::rename(path, path + ".old");
  folder.file("file", "7\n8\n");
  for (const char* line : {"7", "8"}) BOOST_TEST(tail.read_line() == line);

  const auto end = tail.stop();
  BOOST_TEST(end.exit_code == 0);
  BOOST_TEST(end.out == "");
  check_lines(end.err, {"tail: * was truncated", "tail: * is a new file"});
}

BOOST_AUTO_TEST_CASE(tail_reads_standard_input_to_its_end) {
  BOOST_TEST(run_program("examples/tail", {"-n", "2"}, "a\nb\nc").out == "b\nc");
  std::string many;
  for (int i = 0; i < 30'000; ++i) many += "line " + std::to_string(i) + "\n";
  BOOST_TEST(run_program("examples/tail", {"-n", "1", "-"}, many).out == "line 29999\n");
}

BOOST_AUTO_TEST_CASE(tail_that_waits_for_standard_input_ends_at_a_signal) {
  const Folder folder;
  const std::string path = folder.file("file", "1\n");
  Program tail("examples/tail", {path, "-"});
  tail.await_text("1\n");
  BOOST_TEST(tail.stop(SIGINT).exit_code == 0);
}

BOOST_AUTO_TEST_CASE(tail_says_what_it_cannot_read) {
  check_refused(run_program("examples/tail", {"/there/is/none"}),
                "weft: open /there/is/none: No such file or directory");
  check_refused(run_program("examples/tail", {"-n", "many"}),
                "usage: tail [[]-n LINES] [[]-f] [[]FILE...]");
}

BOOST_AUTO_TEST_SUITE_END()
