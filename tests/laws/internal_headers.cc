// A program that includes a public header gets few internal ones with it, and never more than
// today.

#include <set>
#include <string>

#include "tests/laws/sources.h"
#include "tests/support/check.h"

namespace laws {
namespace {

Breaches differences(const Tree& tree, std::string_view list) {
  std::set<std::string> listed;
  for (const std::string& path : list_in(list)) listed.insert(path);
  std::set<std::string> reached;
  for (const std::string& path : reachable_from_public(tree)) {
    if (is_core(path)) reached.insert(path);
  }
  Breaches breaches;
  for (const std::string& path : reached) {
    if (listed.count(path) == 0) {
      breaches.push_back(path + ": public headers may not include it, nor what includes it");
    }
  }
  for (const std::string& path : listed) {
    if (reached.count(path) == 0) {
      breaches.push_back(path + ": no public header needs it: take it off the list");
    }
  }
  return breaches;
}

BOOST_AUTO_TEST_SUITE(internal_headers)

BOOST_AUTO_TEST_CASE(public_headers_reach_those_of_the_list) {
  expect_none(differences(library(), read_file("tests/laws/internal_headers.txt")));
}

BOOST_AUTO_TEST_CASE(a_difference_is_seen) {
  const Tree tree{{"fiber/a.h", "#include \"weft/fiber/core/a.h\"\n"},
                  {"fiber/a.cc", "#include \"weft/fiber/core/c.h\"\n"},
                  {"fiber/core/a.h", "#include \"weft/fiber/core/b.h\"\n"},
                  {"fiber/core/b.h", ""},
                  {"fiber/core/c.h", ""}};
  const Breaches breaches = differences(tree, "# Comment.\nfiber/core/a.h\nfiber/core/c.h\n");
  BOOST_TEST(breaches.size() == 2u);
  BOOST_TEST(has(breaches, "fiber/core/b.h: public headers may not include it"));
  BOOST_TEST(has(breaches, "fiber/core/c.h: no public header needs it: take it off the list"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace laws
