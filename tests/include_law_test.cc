// The law of includes: fiber <- sync <- io <- weft.h. Reads the sources themselves.

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/check.h"

namespace {

using Folders = std::vector<std::string_view>;

struct Directive {
  int line;
  std::string text;  // without blanks at either end, and without a comment
};

std::vector<Directive> directives_of(const std::filesystem::path& file) {
  std::vector<Directive> found;
  std::ifstream in(file);
  BOOST_REQUIRE_MESSAGE(in, "cannot read " << file);
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    const auto begin = line.find_first_not_of(" \t");
    if (begin == std::string::npos || line[begin] != '#') continue;
    auto text = line.substr(begin, line.find("//", begin) - begin);
    text.erase(text.find_last_not_of(" \t") + 1);
    found.push_back({number, text});
  }
  return found;
}

// Whether a file that may look into `folders` may include `header`, given with its <> or "".
// Systems and Boost have their headers in <>; ours are in "", with their full name. Of Boost there
// is Boost.Context alone.
bool may_include(std::string_view header, const Folders& folders) {
  const auto name = header.substr(1);
  if (header.starts_with('<')) {
    for (std::string_view ours : {"weft/", "fiber/", "sync/", "io/"}) {
      if (name.starts_with(ours)) return false;
    }
    if (name.find("uring") != name.npos) return false;
    return !name.starts_with("boost/") || name.starts_with("boost/context/");
  }
  for (auto folder : folders) {
    const auto ours = "weft/" + std::string(folder);
    if (name.starts_with(ours + "/") || name == ours + "\"") return true;
  }
  return false;
}

// fiber/time.h has WEFT_FIBER_TIME_H_: no two headers can have the same one.
std::string guard_of(const std::filesystem::path& header) {
  std::string guard = "WEFT_" + header.string() + "_";
  for (char& c : guard) {
    c = std::isalnum(static_cast<unsigned char>(c))
            ? static_cast<char>(std::toupper(static_cast<unsigned char>(c)))
            : '_';
  }
  return guard;
}

void check_file(const std::filesystem::path& file, const Folders& folders) {
  const auto directives = directives_of(file);
  for (const auto& [line, text] : directives) {
    const auto at = file.string() + ":" + std::to_string(line) + ": ";
    BOOST_TEST(!text.starts_with("#pragma once"), at << "has #pragma once");
    if (!text.starts_with("#include")) continue;
    const auto header = text.substr(std::min(text.size(), text.find_first_of("<\"")));
    BOOST_TEST(may_include(header, folders), at << "may not include " << header);
  }
  if (file.extension() == ".h") {
    const auto guard = guard_of(file);
    BOOST_TEST((directives.size() > 2 && directives[0].text == "#ifndef " + guard &&
                directives[1].text == "#define " + guard),
               file.string() << ": does not begin with the include guard " << guard);
  }
}

void check_folder(std::string_view folder, const Folders& folders) {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const auto extension = entry.path().extension();
    if (extension != ".h" && extension != ".cc") continue;
    check_file(entry.path(), folders);
    ++files;
  }
  BOOST_TEST(files > 0, folder << " has no sources");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(include_law)

BOOST_AUTO_TEST_CASE(fiber_looks_at_fiber) { check_folder("fiber", {"fiber"}); }
BOOST_AUTO_TEST_CASE(sync_looks_at_fiber) {
  if (std::filesystem::exists("sync")) check_folder("sync", {"fiber", "sync"});
}
BOOST_AUTO_TEST_CASE(io_looks_at_fiber_and_sync) { check_folder("io", {"fiber", "sync", "io"}); }
BOOST_AUTO_TEST_CASE(weft_h_looks_at_all) {
  check_file("weft.h", {"fiber", "sync", "io", "version.h"});
}
BOOST_AUTO_TEST_CASE(version_h_looks_at_nothing) { check_file("version.h", {}); }

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

BOOST_AUTO_TEST_SUITE_END()
