// A pattern is a header of at most 100 lines, that examples/README.md lists.

#include <filesystem>
#include <string>

#include "tests/laws/sources.h"
#include "tests/support/check.h"

namespace laws {
namespace {

constexpr std::size_t kMostLines = 100;
const std::string kFolder = "examples/patterns";

Tree patterns() {
  Tree tree;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    const std::string path = entry.path().string();
    if (is_header(path)) tree[path] = read_file(path);
  }
  return tree;
}

Breaches odd_patterns(const Tree& tree, std::string_view readme) {
  Breaches breaches;
  for (const auto& [path, text] : tree) {
    const std::size_t lines = lines_of(text).size();
    if (lines > kMostLines) breaches.push_back(path + " has " + std::to_string(lines) + " lines");
    const std::string row = "| `" + std::filesystem::path(path).stem().string() + "` |";
    if (readme.find(row) == readme.npos) breaches.push_back(path + " is not in the README");
  }
  if (tree.empty()) breaches.push_back("there are no patterns");
  return breaches;
}

BOOST_AUTO_TEST_SUITE(patterns)

BOOST_AUTO_TEST_CASE(they_are_short_and_listed) {
  expect_none(odd_patterns(laws::patterns(), read_file("examples/README.md")));
}

BOOST_AUTO_TEST_CASE(a_breach_is_seen) {
  const std::string full(kMostLines, '\n');
  const Breaches breaches =
      odd_patterns({{"p/a.h", full}, {"p/b.h", full + "\n"}}, "| `b` | what it is |\n");
  BOOST_TEST(breaches.size() == 2u);
  BOOST_TEST(has(breaches, "p/a.h is not in the README"));
  BOOST_TEST(has(breaches, "p/b.h has 101 lines"));
  BOOST_TEST(has(odd_patterns({}, ""), "there are no patterns"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace laws
