// What tests throw, and what the exception handler gets.
#ifndef WEFT_TESTS_SUPPORT_FAILURE_H_
#define WEFT_TESTS_SUPPORT_FAILURE_H_

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include "tests/support/fixture.h"

namespace weft::test {

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// For BOOST_CHECK_EXCEPTION: whether the exception has these words.
inline auto says(std::string what) {
  return [what = std::move(what)](const std::exception& error) { return error.what() == what; };
}

// A task that fails with these words in its cleanup, when it is cancelled.
inline auto failing_cleanup(std::string words) {
  return when_cancelled([words = std::move(words)] { throw Failure(words); });
}

// Collects what reaches the exception handler of this scheduler.
class Unhandled {
 public:
  Unhandled() {
    Scheduler::current().set_exception_handler([this](std::exception_ptr exception) {
      try {
        std::rethrow_exception(exception);
      } catch (const std::exception& error) {
        said += error.what();
      } catch (...) {
        said += '?';
      }
    });
  }
  ~Unhandled() { Scheduler::current().set_exception_handler(nullptr); }
  Unhandled(const Unhandled&) = delete;
  Unhandled& operator=(const Unhandled&) = delete;

  std::string said;
};

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_FAILURE_H_
