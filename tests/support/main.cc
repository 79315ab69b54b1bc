#define BOOST_TEST_MODULE weft
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <string>

namespace {

// Boost.Test reads its options from these variables, before main's arguments.
const bool asked_by_bazel = [] {
  if (const char* report = std::getenv("XML_OUTPUT_FILE")) {
    const auto logger = std::string("HRF,error:JUNIT,error,") + report;
    setenv("BOOST_TEST_LOGGER", logger.c_str(), 0);
  }
  if (const char* filter = std::getenv("TESTBRIDGE_TEST_ONLY")) {
    setenv("BOOST_TEST_RUN_FILTERS", filter, 0);
  }
  return true;
}();

}  // namespace
