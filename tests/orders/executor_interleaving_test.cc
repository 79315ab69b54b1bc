// A job that its caller may have to leave, in every order of its end, its withdrawal, and a cancel.

#include <memory>
#include <stop_token>
#include <utility>

#include "tests/orders/explored_check.h"
#include "tests/orders/explored_scheduler.h"
#include "tests/support/check.h"
#include "weft/sync/executor.h"
#include "weft/sync/thread_pool.h"

BOOST_AUTO_TEST_SUITE(executor_interleaving)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;

namespace {

// Counts those that are left of it.
class Counted {
 public:
  explicit Counted(int& left) : left_(&left) { ++left; }
  Counted(Counted&& other) noexcept : left_(std::exchange(other.left_, nullptr)) {}
  ~Counted() {
    if (left_) --*left_;
  }

 private:
  int* left_;
};

// Runs a job on a pool of one thread, which the explorer runs, while it is cancelled.
struct State {
  explicit State(bool its_abandon) : abandon(its_abandon) {}

  bool abandon;
  bool ran = false, returned = false, wrong = false;
  int left = 0;
  ThreadPool pool{ThreadPoolOptions{.spin = {}}};
  ExploredFiber fiber{[this] {
    auto job = [this, counted = Counted(left)](const std::stop_token& stop) {
      wrong |= !stop.stop_possible();
      ran = true;
      return Counted(left);
    };
    {
      const Counted result = run_in_executor(pool, std::move(job), {.abandon = abandon});
      wrong |= !ran;
    }
    returned = true;
  }};

  void run() {
    fiber.run();
    pool.close();
  }
  bool holds() const { return !wrong && left == 0 && (ran || !returned); }
};

void check_job(bool abandon, int preemptions) {
  check(
      [abandon] {
        auto state = std::make_shared<State>(abandon);
        return Scenario{.threads = {[state] { state->run(); }, [state] { state->fiber.cancel(); }},
                        .holds = [state] { return state->holds(); }};
      },
      preemptions);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_job_that_may_be_abandoned_ends_once_and_leaves_nothing) {
  check_job(true, 2);
}

BOOST_AUTO_TEST_CASE(a_job_that_may_not_be_abandoned_ends_before_its_caller) {
  check_job(false, 2);
}

BOOST_AUTO_TEST_SUITE_END()
