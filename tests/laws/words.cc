// The subject of a comment is a thing: it is never "who" or "whoever". What stands in backquotes is
// a name.

#include <regex>
#include <string>

#include "tests/laws/sources.h"
#include "tests/support/check.h"

namespace laws {
namespace {

Breaches people(const Tree& tree) {
  static const std::regex kPerson(R"(\b[Ww]ho(ever|m)?\b(?!`))");
  Breaches breaches;
  for (const auto& [path, text] : tree) {
    int number = 0;
    for (const std::string& line : lines_of(parts_of(text).comments)) {
      ++number;
      if (std::regex_search(line, kPerson)) {
        breaches.push_back(place(path, number) + std::string(trimmed(line)));
      }
    }
  }
  return breaches;
}

BOOST_AUTO_TEST_SUITE(words)

BOOST_AUTO_TEST_CASE(comments_are_about_things) { expect_none(people(library())); }

BOOST_AUTO_TEST_CASE(a_breach_is_seen) {
  const Tree tree{
      {"fiber/a.h",
       "// Whoever waits.\nint who;  // the whole\nint b;  // for one who waits\n// `who`\n"},
      {"fiber/a.cc", "// For whom?\n"}};
  const Breaches breaches = people(tree);
  BOOST_TEST(breaches.size() == 3u);
  BOOST_TEST(has(breaches, "fiber/a.h:1: // Whoever waits."));
  BOOST_TEST(has(breaches, "fiber/a.h:3: // for one who waits"));
  BOOST_TEST(has(breaches, "fiber/a.cc:1: // For whom?"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace laws
