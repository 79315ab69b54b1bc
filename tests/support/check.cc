#include "tests/support/check.h"

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <ostream>
#include <sstream>
#include <string>
#include <string_view>

namespace weft::test {

namespace {

namespace ut = boost::unit_test;

void assert_that(bool holds, bool required, const std::string& text, const char* file, int line) {
  namespace tt = boost::test_tools::tt_detail;
  set_checkpoint(file, line);
  tt::report_assertion(holds, ut::lazy_ostream::instance() << text, file,
                       static_cast<std::size_t>(line), required ? tt::REQUIRE : tt::CHECK,
                       tt::CHECK_MSG, 0);
}

// Whether the shard of Bazel's that this process is takes the next test case.
bool is_ours() {
  static int next = 0;
  const char* const all = std::getenv("TEST_TOTAL_SHARDS");
  const char* const own = std::getenv("TEST_SHARD_INDEX");
  if (const char* const seen = std::getenv("TEST_SHARD_STATUS_FILE")) std::ofstream file(seen);
  const int number = next++;
  return !all || !own || number % std::atoi(all) == std::atoi(own);
}

ut::decorator::collector_t& no_decorators() { return ut::decorator::collector_t::instance(); }

}  // namespace

Suite::Suite() { ut::ut_detail::auto_test_unit_registrar(1); }

Suite::Suite(const char* name, const char* file, int line) {
  ut::ut_detail::auto_test_unit_registrar(name, file, static_cast<std::size_t>(line),
                                          no_decorators());
}

Case::Case(const char* name, const char* file, int line, void (*body)()) {
  const auto run = [=] {
    set_checkpoint(file, line);
    body();
  };
  ut::test_case* const test = ut::make_test_case(run, name, file, static_cast<std::size_t>(line));
  if (!is_ours()) test->add_precondition([](ut::test_unit_id) { return false; });
  ut::ut_detail::auto_test_unit_registrar(test, no_decorators());
}

Text::Text() : out_(std::make_unique<std::ostringstream>()) {}
Text::~Text() = default;

Text& Text::operator<<(const char* text) {
  *out_ << text;
  return *this;
}

std::string Text::string() const { return static_cast<std::ostringstream&>(*out_).str(); }

Context::Context(const Text& text)
    : id_(ut::framework::add_context(ut::lazy_ostream::instance() << text.string(), true)) {}
Context::~Context() { ut::framework::clear_context(id_); }

Checked failed(Printable left, const char* op, Printable right) {
  std::ostringstream out;
  left.print(out, left.value);
  out << op;
  right.print(out, right.value);
  return {false, new std::string(std::move(out).str())};
}

void report(Checked result, bool required, const char* expression, const char* file, int line,
            const Text* message) {
  const std::unique_ptr<std::string> operands(result.operands);
  std::string text;
  if (!result.holds) {
    text = std::string("check ") + expression + " has failed";
    if (operands) text += " [" + *operands + "]";
    if (message) text += ". " + message->string();
  }
  assert_that(result.holds, required, text, file, line);
}

void fail(const Text& why, const char* file, int line) {
  assert_that(false, false, why.string(), file, line);
}

void set_checkpoint(const char* file, int line) {
  ut::unit_test_log.set_checkpoint(file, static_cast<std::size_t>(line));
}

void log(const Text& text) { BOOST_TEST_MESSAGE(text.string()); }

}  // namespace weft::test
