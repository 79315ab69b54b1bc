// No file of the library makes the names of weft::internal visible in another namespace.

#include <string>

#include "tests/laws/names.h"
#include "tests/laws/sources.h"
#include "tests/support/check.h"

namespace laws {
namespace {

Breaches open_doors(const Tree& tree) {
  Breaches breaches;
  for (const auto& [path, text] : tree) {
    for (const auto& [line, name] : using_directives(text)) {
      if (name.ends_with("internal")) breaches.push_back(place(path, line) + "uses all of " + name);
    }
  }
  return breaches;
}

BOOST_AUTO_TEST_SUITE(closed_doors)

BOOST_AUTO_TEST_CASE(no_file_uses_all_of_internal) { expect_none(open_doors(library())); }

BOOST_AUTO_TEST_CASE(a_breach_is_seen) {
  const Tree tree{{"fiber/a.h",
                   "namespace weft {\n// using namespace internal;\nusing namespace internal;\n"
                   "using namespace std::chrono;\nusing internal::a;\n}\n"}};
  const Breaches breaches = open_doors(tree);
  BOOST_TEST(breaches.size() == 1u);
  BOOST_TEST(has(breaches, "fiber/a.h:3: uses all of internal"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace laws
