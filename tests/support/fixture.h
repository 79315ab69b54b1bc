// What every test of weft stands on.
#ifndef WEFT_TESTS_SUPPORT_FIXTURE_H_
#define WEFT_TESTS_SUPPORT_FIXTURE_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <utility>

#include "tests/support/check.h"
#include "weft/io/testing/run_test.h"
#include "weft/weft.h"

namespace weft::test {

// Waits until something holds; false if that takes longer than any machine is slow.
template <class Condition>
bool eventually(Condition condition) {
  const TimePoint end = Clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (Clock::now() > end) return false;
    sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

using testing::run_until_blocked;

// A task that waits until it is cancelled, and then calls f().
template <class F>
auto when_cancelled(F f) {
  return [f = std::move(f)] {
    try {
      sleep_for(std::chrono::hours(24));
    } catch (const Cancelled&) {
      f();
    }
  };
}

// Whether the wait in f is ended by a cancellation.
template <class F>
bool throws_cancelled(F f) {
  try {
    f();
    return false;
  } catch (const Cancelled&) {
    return true;
  }
}

// Counts when it is destroyed.
template <class Count>
class CountAtEnd {
 public:
  explicit CountAtEnd(Count& count) : count_(count) {}
  ~CountAtEnd() { ++count_; }
  CountAtEnd(const CountAtEnd&) = delete;
  CountAtEnd& operator=(const CountAtEnd&) = delete;

 private:
  Count& count_;
};

std::ptrdiff_t open_descriptors();

// Fibers of all schedulers that have not ended.
std::size_t count_fibers();

// Places a fiber on the i-th scheduler.
inline SpawnOptions on(std::size_t i) { return {.on = Runtime::current().schedulers()[i]}; }

// Runs the body as a fiber on virtual time; no other fiber and no descriptor may be left.
void run_case(const std::function<void()>& body, const RunOptions& options = {});

// The same on the machine's time, for what waits for the kernel or for other processes.
void run_real_time_case(const std::function<void()>& body, const RunOptions& options = {});

// The same, under several orders of the ready fibers. A failure names its seed.
void run_shuffled(const std::function<void()>& body);

}  // namespace weft::test

// A test case whose body is a fiber on virtual time. Its name states a fact.
#define WEFT_TEST_CASE(name)                                           \
  static void name##_body();                                           \
  BOOST_AUTO_TEST_CASE(name) { ::weft::test::run_case(&name##_body); } \
  static void name##_body()

// The same on three schedulers, with their threads, that share the virtual clock. The body is a
// fiber of the first; on(i) places others. Only what waits for another scheduler has an order.
#define WEFT_CORES_TEST_CASE(name)                                                     \
  static void name##_body();                                                           \
  BOOST_AUTO_TEST_CASE(name) { ::weft::test::run_case(&name##_body, {.threads = 3}); } \
  static void name##_body()

// The same for a fact that holds in whatever order ready fibers run.
#define WEFT_SHUFFLED_TEST_CASE(name)                                      \
  static void name##_body();                                               \
  BOOST_AUTO_TEST_CASE(name) { ::weft::test::run_shuffled(&name##_body); } \
  static void name##_body()

// The same, and once more in the order in which fibers became ready, as without a seed.
#define WEFT_ANY_ORDER_TEST_CASE(name)        \
  static void name##_body();                  \
  BOOST_AUTO_TEST_CASE(name) {                \
    ::weft::test::run_case(&name##_body);     \
    ::weft::test::run_shuffled(&name##_body); \
  }                                           \
  static void name##_body()

// A test case whose body is a fiber on the machine's time.
#define WEFT_REAL_TIME_TEST_CASE(name)                                           \
  static void name##_body();                                                     \
  BOOST_AUTO_TEST_CASE(name) { ::weft::test::run_real_time_case(&name##_body); } \
  static void name##_body()

#endif  // WEFT_TESTS_SUPPORT_FIXTURE_H_
