// The rooms of fiber/core/ lie on the floors that fiber/README.md names, and include nothing from a
// higher one.

#include <map>
#include <regex>
#include <string>

#include "tests/laws/sources.h"
#include "tests/support/check.h"

namespace laws {
namespace {

const std::string kFolder = "fiber/core/";

std::string name_of(const std::string& path) {
  return path.substr(kFolder.size(), path.rfind('.') - kFolder.size());
}

// The floor of each room, from the rows "| 2 | `parker`, `inbox.h` | ..."; a row without a number
// goes on with the floor of the row above.
std::map<std::string, int> floors_in(std::string_view readme) {
  static const std::regex kRow(R"(\| (\d*) ?\| (`.*`) \|.*)");
  static const std::regex kRoom(R"(`([a-z_]+)(\.h|\.cc)?`)");
  std::map<std::string, int> floors;
  int floor = 0;
  for (const std::string& line : lines_of(readme)) {
    std::smatch row;
    if (!std::regex_match(line, row, kRow)) continue;
    if (row[1].length() > 0) floor = std::stoi(row[1]);
    const std::string rooms = row[2];
    for (std::sregex_iterator room(rooms.begin(), rooms.end(), kRoom), end; room != end; ++room) {
      floors[(*room)[1]] = floor;
    }
  }
  return floors;
}

Breaches arrows_up(const Tree& tree, std::string_view readme) {
  const std::map<std::string, int> floors = floors_in(readme);
  std::set<std::string> gone;
  for (const auto& [room, floor] : floors) gone.insert(room);
  Breaches breaches;
  for (const auto& [path, text] : tree) {
    if (!path.starts_with(kFolder)) continue;
    gone.erase(name_of(path));
    const auto own = floors.find(name_of(path));
    if (own == floors.end()) {
      breaches.push_back(path + " is on no floor of fiber/README.md");
      continue;
    }
    for (const Include& include : includes_of(text)) {
      if (!include.path.starts_with(kFolder)) continue;
      const auto its = floors.find(name_of(include.path));
      if (its != floors.end() && its->second > own->second) {
        breaches.push_back(place(path, include.line) + "floor " + std::to_string(own->second) +
                           " includes " + include.path + " of floor " +
                           std::to_string(its->second));
      }
    }
  }
  for (const std::string& room : gone) {
    breaches.push_back("fiber/README.md names " + room + ", which is not there");
  }
  return breaches;
}

BOOST_AUTO_TEST_SUITE(floors)

BOOST_AUTO_TEST_CASE(no_room_includes_one_of_a_higher_floor) {
  expect_none(arrows_up(library(), read_file("fiber/README.md")));
}

BOOST_AUTO_TEST_CASE(a_breach_is_seen) {
  const std::string readme =
      "| floor | rooms | what |\n|---|---|---|\n| 1 | `low`, `word.h` | x |\n| | `list.h` | x |\n"
      "| 2 | `high` | x |\n";
  const std::string up = "#include \"weft/fiber/core/high.h\"\n";
  const std::string down = "#include \"weft/fiber/core/low.h\"\n";
  const Tree kept{{"fiber/core/low.h", ""},
                  {"fiber/core/word.h", down},
                  {"fiber/core/list.h", down},
                  {"fiber/core/high.h", down},
                  {"fiber/task.cc", up}};
  BOOST_TEST(arrows_up(kept, readme).empty());
  Tree broken = kept;
  broken["fiber/core/low.cc"] = "\n" + up;
  broken["fiber/core/new.h"] = "";
  broken.erase("fiber/core/word.h");
  const Breaches breaches = arrows_up(broken, readme);
  BOOST_TEST(breaches.size() == 3);
  BOOST_TEST(has(breaches, "fiber/core/low.cc:2: floor 1 includes fiber/core/high.h of floor 2"));
  BOOST_TEST(has(breaches, "fiber/core/new.h is on no floor"));
  BOOST_TEST(has(breaches, "fiber/README.md names word"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace laws
