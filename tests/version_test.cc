// version.h says what MODULE.bazel says.

#include "weft/version.h"

#include <fstream>
#include <iterator>
#include <string>

#include "tests/support/check.h"

BOOST_AUTO_TEST_SUITE(version)

BOOST_AUTO_TEST_CASE(the_macro_is_the_number_of_the_module) {
  std::ifstream in("MODULE.bazel");
  BOOST_REQUIRE(in);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  // The first version in it is that of the module itself.
  const auto begin = text.find("version = \"") + 11;
  BOOST_TEST(text.substr(begin, text.find('"', begin) - begin) == WEFT_VERSION);
}

BOOST_AUTO_TEST_CASE(its_parts_are_those_of_the_text) {
  BOOST_TEST(std::to_string(WEFT_VERSION_MAJOR) + "." + std::to_string(WEFT_VERSION_MINOR) + "." +
                 std::to_string(WEFT_VERSION_PATCH) ==
             WEFT_VERSION);
}

BOOST_AUTO_TEST_SUITE_END()
