// A test of another workspace: no framework, virtual time, a fault; and one of weft's patterns.
// Run it here: bazel test //:fetch_test

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <system_error>

#include "weft/examples/patterns/retry.h"
#include "weft/testing.h"
#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

std::string fetch(weft::Duration latency) {
  weft::sleep_for(latency);
  return "word";
}

bool a_slow_word_is_given_up() {
  return weft::testing::run_test([] {
    try {
      weft::with_timeout(1h, [] { fetch(2h); });
      return false;
    } catch (const weft::TimeoutError&) {
      return true;
    }
  });
}

bool a_failed_call_is_an_error() {
  return weft::testing::run_test([] {
    const auto fault = weft::testing::fail_next("socket", EMFILE);
    try {
      weft::TcpListener("127.0.0.1:0");
      return false;
    } catch (const std::system_error& error) {
      return error.code() == std::errc::too_many_files_open && fault.failed() == 1;
    }
  });
}

bool what_fails_is_tried_again() {
  return weft::testing::run_test([] {
    int calls = 0;
    const std::string word = patterns::retry([&] {
      if (++calls < 3) throw std::runtime_error("no answer");
      return fetch(1s);
    });
    return word == "word" && calls == 3;
  });
}

}  // namespace

int main() {
  const bool passed =
      a_slow_word_is_given_up() && a_failed_call_is_an_error() && what_fails_is_tried_again();
  return passed ? EXIT_SUCCESS : EXIT_FAILURE;
}
