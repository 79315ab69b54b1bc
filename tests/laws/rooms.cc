// The rooms of the library, X.h and X.cc of a folder counted as one, lie in floors: each includes
// only what lies below it.

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/laws/sources.h"
#include "tests/support/check.h"

namespace laws {
namespace {

std::string room_of(const std::string& path) { return path.substr(0, path.rfind('.')); }

struct Plan {
  std::set<std::string> rooms;
  std::map<std::string, std::set<std::string>> below;        // the rooms that one includes
  std::vector<std::pair<std::string, std::string>> by_file;  // a file, and what it includes
};

Plan plan_of(const Tree& tree) {
  Plan plan;
  for (const auto& [path, text] : tree) {
    const std::string room = room_of(path);
    plan.rooms.insert(room);
    for (const Include& include : includes_of(text)) {
      if (room_of(include.path) == room) continue;
      plan.below[room].insert(room_of(include.path));
      plan.by_file.emplace_back(path, include.path);
    }
  }
  return plan;
}

// All rooms that can be reached from one.
std::set<std::string> reachable(const Plan& plan, const std::string& from) {
  std::set<std::string> reached;
  std::vector<std::string> to_visit{from};
  while (!to_visit.empty()) {
    const std::string room = to_visit.back();
    to_visit.pop_back();
    const auto below = plan.below.find(room);
    if (below == plan.below.end()) continue;
    for (const std::string& next : below->second) {
      if (reached.insert(next).second) to_visit.push_back(next);
    }
  }
  return reached;
}

// A breach for each set of rooms that all reach each other, then one for each include within it.
Breaches circles(const Tree& tree) {
  const Plan plan = plan_of(tree);
  std::map<std::string, std::set<std::string>> reached;
  for (const std::string& room : plan.rooms) reached[room] = reachable(plan, room);
  Breaches breaches;
  std::set<std::string> reported;
  for (const std::string& room : plan.rooms) {
    if (reported.count(room) != 0) continue;
    std::set<std::string> circle;
    for (const std::string& other : reached[room]) {
      if (reached[other].count(room) != 0) circle.insert(other);
    }
    if (circle.empty()) continue;
    reported.insert(circle.begin(), circle.end());
    breaches.push_back("a circle of " + std::to_string(circle.size()) +
                       " rooms: " + joined(circle));
    for (const auto& [from, to] : plan.by_file) {
      if (circle.count(room_of(from)) != 0 && circle.count(room_of(to)) != 0) {
        breaches.push_back("  " + from + " -> " + to);
      }
    }
  }
  return breaches;
}

BOOST_AUTO_TEST_SUITE(rooms)

BOOST_AUTO_TEST_CASE(no_rooms_lie_in_a_circle) { expect_none(circles(library())); }

BOOST_AUTO_TEST_CASE(a_circle_is_seen) {
  const Tree tree{
      {"fiber/a.h", "#include \"weft/fiber/core/a.h\"\n"},
      {"fiber/core/a.h", ""},
      {"fiber/core/a.cc", "#include \"weft/fiber/core/a.h\"\n#include \"weft/fiber/b.h\"\n"},
      {"fiber/b.h", "#include \"weft/fiber/a.h\"\n#include \"weft/fiber/c.h\"\n"},
      {"fiber/c.h", "// #include \"weft/fiber/b.h\"\n"}};
  const Breaches expected{"a circle of 3 rooms: fiber/a, fiber/b, fiber/core/a",
                          "  fiber/a.h -> fiber/core/a.h", "  fiber/b.h -> fiber/a.h",
                          "  fiber/core/a.cc -> fiber/b.h"};
  const Breaches found = circles(tree);
  BOOST_TEST(found == expected);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace laws
