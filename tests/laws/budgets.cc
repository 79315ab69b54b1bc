// Folders have the lines that bench/line_budgets.txt grants them, and not many fewer.

#include <map>
#include <sstream>
#include <string>

#include "tests/laws/sources.h"
#include "tests/support/check.h"

namespace laws {
namespace {

// As bench/size does: neither blank ones nor those that are only a comment.
long lines_of_code(std::string_view text) {
  long count = 0;
  for (const std::string& line : lines_of(text)) {
    const std::string_view code = trimmed(line);
    count += !code.empty() && !code.starts_with("//");
  }
  return count;
}

Breaches wrong_budgets(const Tree& tree, std::string_view budgets) {
  std::map<std::string, long> lines;
  long total = 0;
  for (const auto& [path, text] : tree) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) continue;
    const long count = lines_of_code(text);
    lines[path.substr(0, slash)] += count;
    total += count;
  }
  lines["total"] = total;
  Breaches breaches;
  std::string last;
  for (const std::string& entry : list_in(budgets)) {
    std::istringstream in(entry);
    std::string folder;
    long budget = 0;
    in >> folder >> budget;
    last = folder;
    const auto found = lines.extract(folder);
    const long has = found ? found.mapped() : 0;
    const std::string what =
        folder + ": " + std::to_string(has) + " lines, a budget of " + std::to_string(budget);
    if (has > budget) breaches.push_back(what + ": find something to delete");
    if (100 * has < 97 * budget) breaches.push_back(what + ": lower the budget");
  }
  if (last != "total") breaches.push_back("the last budget is not that of the total");
  for (const auto& [folder, has] : lines) {
    breaches.push_back(folder + ": " + std::to_string(has) + " lines, and no budget");
  }
  return breaches;
}

BOOST_AUTO_TEST_SUITE(budgets)

BOOST_AUTO_TEST_CASE(folders_keep_to_theirs) {
  expect_none(wrong_budgets(library(), read_file("bench/line_budgets.txt")));
}

BOOST_AUTO_TEST_CASE(a_breach_is_seen) {
  const Tree tree{{"weft.h", "not counted\n"},
                  {"fiber/a.h", "// Comment.\n\n  // Another.\nint a;  // of a\n  \nint b;\n"},
                  {"fiber/a.cc", "int c;\n"},
                  {"fiber/core/a.h", "int d;\n"},
                  {"sync/a.h", "int e;\n"}};
  BOOST_TEST(wrong_budgets(tree, "# Comment.\nfiber 3\nfiber/core 1\nsync 1\ntotal 5\n").empty());
  const Breaches breaches = wrong_budgets(tree, "fiber 2\nfiber/core 2\ntotal 5\nio 1\n");
  BOOST_TEST(breaches.size() == 5u);
  BOOST_TEST(has(breaches, "fiber: 3 lines, a budget of 2: find something to delete"));
  BOOST_TEST(has(breaches, "fiber/core: 1 lines, a budget of 2: lower the budget"));
  BOOST_TEST(has(breaches, "io: 0 lines, a budget of 1: lower the budget"));
  BOOST_TEST(has(breaches, "sync: 1 lines, and no budget"));
  BOOST_TEST(has(breaches, "the last budget is not that of the total"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace laws
