// Options of a run that hold on all of its schedulers.

#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <set>
#include <string>

#include "tests/support/failure.h"
#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(run_options)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// Collects what the handler of all schedulers gets.
class Collected {
 public:
  auto handler() {
    return [this](std::exception_ptr exception) {
      const std::lock_guard lock(mutex_);
      try {
        std::rethrow_exception(exception);
      } catch (const std::exception& error) {
        said_.insert(error.what());
      }
    };
  }
  const std::multiset<std::string>& said() const { return said_; }

 private:
  std::mutex mutex_;
  std::multiset<std::string> said_;
};

void fail_detached(std::string words, SpawnOptions options = {}) {
  spawn([words] { throw Failure(words); }, options).detach();
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_exception_handler_is_that_of_all_schedulers_from_the_beginning) {
  Collected collected;
  run(
      [] {
        fail_detached("here");
        fail_detached("second", on(1));
        fail_detached("third", on(2));
        sleep_for(1s);
      },
      {.threads = 3, .virtual_time = true, .exception_handler = collected.handler()});
  BOOST_TEST((collected.said() == std::multiset<std::string>{"here", "second", "third"}));
}

BOOST_AUTO_TEST_CASE(a_scheduler_may_replace_it_and_null_is_the_default) {
  Collected collected;
  Collected own;
  run(
      [&] {
        Scheduler::current().set_exception_handler(own.handler());
        fail_detached("here");
        fail_detached("second", on(1));
        sleep_for(1s);
      },
      {.threads = 2, .virtual_time = true, .exception_handler = collected.handler()});
  BOOST_TEST((own.said() == std::multiset<std::string>{"here"}));
  BOOST_TEST((collected.said() == std::multiset<std::string>{"second"}));
  run([] {}, {.exception_handler = nullptr});
}

BOOST_AUTO_TEST_CASE(it_gets_what_cleanups_throw_at_the_end) {
  Collected collected;
  run(
      [&] {
        spawn(failing_cleanup("cleanup"), on(1)).detach();
        sleep_for(1s);
      },
      {.threads = 2, .virtual_time = true, .exception_handler = collected.handler()});
  BOOST_TEST((collected.said() == std::multiset<std::string>{"cleanup"}));
}

BOOST_AUTO_TEST_CASE(a_negative_spin_is_none) {
  for (const auto spin : {Duration(-1), Duration::min()}) {
    BOOST_TEST(run([] { return run_in_executor([] { return 7; }); }, {.spin = spin}) == 7);
  }
}

BOOST_AUTO_TEST_SUITE_END()
