// docs/architecture.md walks through functions that there are.

#include <regex>
#include <string>

#include "tests/laws/sources.h"
#include "tests/support/check.h"

namespace laws {
namespace {

// A step is "- `file: function` what it does there".
Breaches lost_steps(const Tree& tree, std::string_view document) {
  static const std::regex kStep(R"(- `([^ :]+): ([A-Za-z_:~]+)` \S.*)");
  Breaches breaches;
  int number = 0;
  int steps = 0;
  for (const std::string& line : lines_of(document)) {
    ++number;
    if (!line.starts_with("- ")) continue;
    const std::string at = place("docs/architecture.md", number);
    std::smatch step;
    if (!std::regex_match(line, step, kStep)) {
      breaches.push_back(at + "is not \"- `file: function` what it does there\"");
      continue;
    }
    ++steps;
    const auto file = tree.find(step[1]);
    if (file == tree.end()) {
      breaches.push_back(at + "there is no " + step[1].str());
      continue;
    }
    const std::regex function("\\b" + step[2].str() + "\\(");
    if (!std::regex_search(parts_of(file->second).code, function)) {
      breaches.push_back(at + step[1].str() + " has no " + step[2].str() + "()");
    }
  }
  if (steps == 0) breaches.push_back("docs/architecture.md has no steps");
  return breaches;
}

BOOST_AUTO_TEST_SUITE(architecture)

BOOST_AUTO_TEST_CASE(each_step_is_there) {
  expect_none(lost_steps(library(), read_file("docs/architecture.md")));
}

BOOST_AUTO_TEST_CASE(a_breach_is_seen) {
  const Tree tree{{"fiber/a.cc", "void A::f() {}\n// void g();\n"}};
  BOOST_TEST(lost_steps(tree, "- `fiber/a.cc: A::f` what\n- `fiber/a.cc: f` what\n").empty());
  const Breaches breaches =
      lost_steps(tree, "- `fiber/a.cc: g` what\n- `fiber/b.cc: f` what\n- `fiber/a.cc` what\n");
  BOOST_TEST(has(breaches, "docs/architecture.md:1: fiber/a.cc has no g()"));
  BOOST_TEST(has(breaches, "docs/architecture.md:2: there is no fiber/b.cc"));
  BOOST_TEST(has(breaches, "docs/architecture.md:3: is not"));
  BOOST_TEST(has(lost_steps(tree, "- no step\n"), "docs/architecture.md has no steps"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace laws
