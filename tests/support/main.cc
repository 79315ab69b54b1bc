#define BOOST_TEST_MODULE weft
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <memory>
#include <string>

#include "tests/support/check.h"

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

namespace weft::test {

void report(Checked result, bool required, const char* expression, const char* file, int line,
            const std::string* message) {
  namespace tt = boost::test_tools::tt_detail;
  const std::unique_ptr<std::string> operands(result.operands);
  std::string text;
  if (!result.holds) {
    text = std::string("check ") + expression + " has failed";
    if (operands) text += " [" + *operands + "]";
    if (message) text += ". " + *message;
  }
  boost::unit_test::unit_test_log.set_checkpoint(file, static_cast<std::size_t>(line));
  tt::report_assertion(result.holds, boost::unit_test::lazy_ostream::instance() << text, file,
                       static_cast<std::size_t>(line), required ? tt::REQUIRE : tt::CHECK,
                       tt::CHECK_MSG, 0);
}

}  // namespace weft::test
