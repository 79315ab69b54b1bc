// Each public header shows how to use what it declares, in at least three lines.

#include <algorithm>
#include <string>

#include "tests/laws/sources.h"
#include "tests/support/check.h"

namespace laws {
namespace {

constexpr int kLines = 3;

// The most lines in a row that are a comment with an indented text.
int longest_example(std::string_view text) {
  int longest = 0;
  int now = 0;
  for (const std::string& line : lines_of(text)) {
    now = trimmed(line).starts_with("//   ") ? now + 1 : 0;
    longest = std::max(longest, now);
  }
  return longest;
}

Breaches headers_without(const Tree& tree) {
  Breaches breaches;
  for (const auto& [path, text] : tree) {
    const int lines = longest_example(text);
    if (is_public(path) && lines < kLines) {
      breaches.push_back(path + ": its longest example has " + std::to_string(lines) +
                         " lines of at least 3");
    }
  }
  return breaches;
}

BOOST_AUTO_TEST_SUITE(header_examples)

BOOST_AUTO_TEST_CASE(each_public_header_has_one) { expect_none(headers_without(library())); }

BOOST_AUTO_TEST_CASE(a_header_without_is_seen) {
  const Tree tree{{"fiber/good.h", "// Text:\n//\n//   a\n//   b\n//     c\n"},
                  {"fiber/bad.h", "//   a\n//   b\n//\n//   c\n  //   d\n// e\n"},
                  {"fiber/bad.cc", ""},
                  {"fiber/core/bad.h", ""}};
  const Breaches breaches = headers_without(tree);
  BOOST_TEST(breaches.size() == 1u);
  BOOST_TEST(has(breaches, "fiber/bad.h: its longest example has 2 lines"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace laws
