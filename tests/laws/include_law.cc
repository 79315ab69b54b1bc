// Includes, and forward declarations, point one way: fiber <- sync <- io <- weft.h.

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>
#include <vector>

#include "tests/laws/names.h"
#include "tests/laws/sources.h"
#include "tests/support/check.h"

namespace laws {
namespace {

using Folders = std::vector<std::string_view>;

// Whether a file that may look into `folders` may include `header`, given with its <> or "".
// Systems and Boost have their headers in <>; ours are in "", with their full name. Of Boost there
// is Boost.Context alone.
bool may_include(std::string_view header, const Folders& folders) {
  const auto name = header.substr(std::min<std::size_t>(header.size(), 1));
  if (header.starts_with('<')) {
    for (std::string_view ours : {"weft/", "fiber/", "sync/", "io/"}) {
      if (name.starts_with(ours)) return false;
    }
    if (name.find("uring") != name.npos) return false;
    return !name.starts_with("boost/") || name.starts_with("boost/context/") ||
           name == "boost/version.hpp>";
  }
  for (auto folder : folders) {
    const auto ours = "weft/" + std::string(folder);
    if (name.starts_with(ours + "/") || name == ours + "\"") return true;
  }
  return false;
}

// fiber/time.h has WEFT_FIBER_TIME_H_: no two headers can have the same one.
std::string guard_of(std::string_view header) {
  std::string guard = "WEFT_" + std::string(header) + "_";
  for (char& c : guard) {
    c = std::isalnum(static_cast<unsigned char>(c))
            ? static_cast<char>(std::toupper(static_cast<unsigned char>(c)))
            : '_';
  }
  return guard;
}

// Of the files whose path begins with `where`, which may look into `folders`.
Breaches bad_includes(const Tree& tree, std::string_view where, const Folders& folders) {
  Breaches breaches;
  bool found = false;
  for (const auto& [path, text] : tree) {
    if (!path.starts_with(where)) continue;
    found = true;
    const auto directives = directives_of(text);
    for (const auto& [line, directive] : directives) {
      const auto at = place(path, line);
      if (directive.starts_with("#pragma once")) breaches.push_back(at + "has #pragma once");
      if (!directive.starts_with("#include")) continue;
      const auto header =
          directive.substr(std::min(directive.size(), directive.find_first_of("<\"")));
      if (!may_include(header, folders)) breaches.push_back(at + "may not include " + header);
    }
    const auto guard = guard_of(path);
    if (is_header(path) && !(directives.size() > 2 && directives[0].text == "#ifndef " + guard &&
                             directives[1].text == "#define " + guard)) {
      breaches.push_back(path + ": does not begin with the include guard " + guard);
    }
  }
  if (!found) breaches.push_back(std::string(where) + ": has no sources");
  return breaches;
}

// Declarations, in files of `lower`, of classes that only the folders of `upper` define.
Breaches declared_upwards(const Tree& tree, std::string_view lower, const Folders& upper) {
  std::set<std::string> below;
  std::map<std::string, std::string> above;  // where each is defined
  for (const auto& [path, text] : tree) {
    for (const std::string& name : defined_classes(text)) {
      if (path.starts_with(lower)) below.insert(name);
      for (auto folder : upper) {
        if (path.starts_with(folder)) above.emplace(name, path);
      }
    }
  }
  Breaches breaches;
  for (const auto& [path, text] : tree) {
    if (!path.starts_with(lower)) continue;
    for (const auto& [name, line] : forward_declarations(text)) {
      const auto definition = above.find(name);
      if (definition == above.end() || below.count(name) != 0) continue;
      breaches.push_back(place(path, line) + "declares " + name + ", which " + definition->second +
                         " defines");
    }
  }
  return breaches;
}

// What is for tests is included by nothing else.
Breaches tested_by_users(const Tree& tree) {
  Breaches breaches;
  for (const auto& [path, text] : tree) {
    if (is_for_tests(path)) continue;
    for (const Include& include : includes_of(text)) {
      if (!is_for_tests(include.path)) continue;
      breaches.push_back(place(path, include.line) + "includes " + include.path + " for tests");
    }
  }
  return breaches;
}

BOOST_AUTO_TEST_SUITE(include_law)

BOOST_AUTO_TEST_CASE(fiber_looks_at_fiber) {
  expect_none(bad_includes(library(), "fiber/", {"fiber"}));
}
BOOST_AUTO_TEST_CASE(sync_looks_at_fiber) {
  expect_none(bad_includes(library(), "sync/", {"fiber", "sync"}));
}
BOOST_AUTO_TEST_CASE(io_looks_at_fiber_and_sync) {
  expect_none(bad_includes(library(), "io/", {"fiber", "sync", "io"}));
}
BOOST_AUTO_TEST_CASE(weft_h_looks_at_all) {
  expect_none(bad_includes(library(), "weft.h", {"fiber", "sync", "io", "version.h"}));
}
BOOST_AUTO_TEST_CASE(testing_h_looks_at_what_is_for_tests) {
  expect_none(bad_includes(library(), "testing.h", {"io/testing"}));
}
BOOST_AUTO_TEST_CASE(nothing_else_looks_at_what_is_for_tests) {
  expect_none(tested_by_users(library()));
}
BOOST_AUTO_TEST_CASE(version_h_looks_at_nothing) {
  expect_none(bad_includes(library(), "version.h", {}));
}

BOOST_AUTO_TEST_CASE(fiber_declares_no_class_of_sync_or_io) {
  expect_none(declared_upwards(library(), "fiber/", {"sync/", "io/"}));
}
BOOST_AUTO_TEST_CASE(sync_declares_no_class_of_io) {
  expect_none(declared_upwards(library(), "sync/", {"io/"}));
}

BOOST_AUTO_TEST_CASE(a_breach_is_seen) {
  BOOST_TEST(may_include("<linux/futex.h>", {"fiber"}));
  BOOST_TEST(may_include("<boost/context/fiber.hpp>", {"fiber"}));
  BOOST_TEST(!may_include("<boost/asio.hpp>", {"io"}));
  BOOST_TEST(!may_include("<linux/io_uring.h>", {"io"}));
  BOOST_TEST(may_include("\"weft/fiber/time.h\"", {"fiber"}));
  BOOST_TEST(!may_include("\"weft/sync/mutex.h\"", {"fiber"}));
  BOOST_TEST(!may_include("<weft/fiber/time.h>", {"fiber"}));
  BOOST_TEST(!may_include("\"fiber/time.h\"", {"fiber"}));
  BOOST_TEST(!may_include("\"time.h\"", {"fiber"}));
  BOOST_TEST(!may_include("\"weft/weft.h\"", {"fiber", "sync", "io"}));
  BOOST_TEST(guard_of("fiber/time.h") == "WEFT_FIBER_TIME_H_");
}

BOOST_AUTO_TEST_CASE(a_breach_in_a_file_is_seen) {
  const Tree tree{{"fiber/a.h",
                   "// Comment.\n#pragma once\n// #include \"weft/io/dns.h\"\n"
                   "#include \"weft/sync/b.h\"  // why\n"},
                  {"fiber/b.h", "#ifndef WEFT_FIBER_B_H_\n#define WEFT_FIBER_B_H_\n#endif\n"}};
  const Breaches breaches = bad_includes(tree, "fiber/", {"fiber"});
  BOOST_TEST(breaches.size() == 3u);
  BOOST_TEST(has(breaches, "fiber/a.h:2: has #pragma once"));
  BOOST_TEST(has(breaches, "fiber/a.h:4: may not include \"weft/sync/b.h\""));
  BOOST_TEST(has(breaches, "fiber/a.h: does not begin with the include guard WEFT_FIBER_A_H_"));
  BOOST_TEST(has(bad_includes(tree, "sync/", {}), "sync/: has no sources"));

  const std::string for_tests = "#include \"weft/io/testing/a.h\"\n";
  const Breaches used = tested_by_users({{"testing.h", for_tests}, {"io/a.h", for_tests}});
  BOOST_TEST(used.size() == 1u);
  BOOST_TEST(has(used, "io/a.h:1: includes io/testing/a.h for tests"));
}

BOOST_AUTO_TEST_CASE(a_declaration_upwards_is_seen) {
  const Tree tree{
      {"fiber/a.h",
       "namespace weft {\nclass Pool;\nstruct Own;\n"
       "template <class Pool> class Own { friend struct Route; };\n}\n"},
      {"sync/pool.h", "namespace weft {\nclass [[nodiscard]] Pool final : Base {};\n}\n"},
      {"io/route.h", "namespace weft::internal {\nstruct Route {};\nstruct Own {};\n}\n"},
      {"sync/a.h", "namespace weft {\nnamespace internal {\nstruct Route;\n}\n}\n"}};
  const Breaches of_fiber = declared_upwards(tree, "fiber/", {"sync/", "io/"});
  BOOST_TEST(of_fiber.size() == 2u);
  BOOST_TEST(has(of_fiber, "fiber/a.h:2: declares Pool, which sync/pool.h defines"));
  BOOST_TEST(has(of_fiber, "fiber/a.h:4: declares Route, which io/route.h defines"));
  BOOST_TEST(declared_upwards(tree, "sync/", {"io/"}).size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace laws
