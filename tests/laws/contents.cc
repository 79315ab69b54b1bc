// weft.h and testing.h are tables of contents: each include stands below a comment with the names
// that it gives.

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "tests/laws/names.h"
#include "tests/laws/sources.h"
#include "tests/support/check.h"

namespace laws {
namespace {

// The names of the comment right above a line, which begins at the first of these lines.
std::multiset<std::string> names_above(const std::vector<std::string>& lines, int line) {
  auto begin = static_cast<std::size_t>(line - 1);
  while (begin > 0 && lines[begin - 1].starts_with("//")) --begin;
  std::string all;
  for (; begin + 1 < static_cast<std::size_t>(line); ++begin) all += lines[begin].substr(2) + " ";
  std::multiset<std::string> names;
  for (std::size_t at = 0; at < all.size();) {
    const std::size_t end = std::min(all.find(',', at), all.size());
    const std::string name(trimmed(std::string_view(all).substr(at, end - at)));
    if (!name.empty()) names.insert(name);
    at = end + 1;
  }
  return names;
}

// The names that a header gives, as they stand in testing.h if it is one for tests.
std::set<std::string> names_given(const std::string& path, const std::string& text) {
  constexpr std::string_view kTesting = "testing::";
  std::set<std::string> names;
  for (const std::string& name : names_given_by(text)) {
    const bool in_testing = is_for_tests(path) && name.starts_with(kTesting);
    names.insert(in_testing ? name.substr(kTesting.size()) : name);
  }
  return names;
}

Breaches differences(const Tree& tree, const std::string& contents = "weft.h") {
  const std::string& table = tree.at(contents);
  const auto lines = lines_of(table);
  Breaches breaches;
  std::set<std::string> included{contents};
  for (const Include& include : includes_of(table)) {
    included.insert(include.path);
    const auto header = tree.find(include.path);
    if (header == tree.end()) continue;
    const auto given = names_given(include.path, header->second);
    const auto named = names_above(lines, include.line);
    const auto at = place(contents, include.line) + include.path;
    for (const std::string& name : given) {
      if (named.count(name) == 0) breaches.push_back(at + " gives " + name + ": add it");
    }
    for (const std::string& name : std::set<std::string>(named.begin(), named.end())) {
      if (given.count(name) == 0) breaches.push_back(at + " does not give " + name + ": remove it");
      if (named.count(name) > 1) breaches.push_back(at + ": " + name + " stands there twice");
    }
  }
  for (const auto& [path, text] : tree) {
    if (is_public(path) && is_for_tests(path) == is_for_tests(contents) &&
        included.count(path) == 0) {
      breaches.push_back(contents + " lacks " + path);
    }
  }
  return breaches;
}

BOOST_AUTO_TEST_SUITE(contents)

BOOST_AUTO_TEST_CASE(weft_h_names_what_each_header_gives) { expect_none(differences(library())); }
BOOST_AUTO_TEST_CASE(testing_h_names_what_each_header_for_tests_gives) {
  expect_none(differences(library(), "testing.h"));
}

BOOST_AUTO_TEST_CASE(a_difference_is_seen) {
  const Tree tree{{"weft.h",
                   "// Heading.\n\n// A, B,\n// C\n#include \"weft/fiber/a.h\"\n"
                   "// D, D\n#include \"weft/fiber/d.h\"\n"},
                  {"fiber/a.h", "namespace weft {\nclass A {};\nvoid C();\nint E = 0;\n}\n"},
                  {"fiber/d.h", "namespace weft {\nclass D {};\n}\n"},
                  {"fiber/e.h", ""}};
  const Breaches breaches = differences(tree);
  BOOST_TEST(breaches.size() == 4u);
  BOOST_TEST(has(breaches, "weft.h:5: fiber/a.h gives E: add it"));
  BOOST_TEST(has(breaches, "weft.h:5: fiber/a.h does not give B: remove it"));
  BOOST_TEST(has(breaches, "weft.h:7: fiber/d.h: D stands there twice"));
  BOOST_TEST(has(breaches, "weft.h lacks fiber/e.h"));

  const Tree tests{{"testing.h", "// f, g\n#include \"weft/io/testing/a.h\"\n"},
                   {"io/testing/a.h", "namespace weft::testing {\nvoid f();\n}\n"},
                   {"io/testing/b.h", ""},
                   {"fiber/a.h", ""}};
  const Breaches for_tests = differences(tests, "testing.h");
  BOOST_TEST(for_tests.size() == 2u);
  BOOST_TEST(has(for_tests, "testing.h:2: io/testing/a.h does not give g: remove it"));
  BOOST_TEST(has(for_tests, "testing.h lacks io/testing/b.h"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace laws
