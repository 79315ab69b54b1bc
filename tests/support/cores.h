#ifndef WEFT_TESTS_SUPPORT_CORES_H_
#define WEFT_TESTS_SUPPORT_CORES_H_

#include <cstddef>
#include <semaphore>
#include <utility>

#include "tests/support/fixture.h"

// For WEFT_CORES_TEST_CASE and WEFT_REAL_TIME_CORES_TEST_CASE. What fails in a fiber of another
// scheduler is counted, and told by the first one: Boost.Test is for one thread.
namespace weft::test {

// Starts f on the i-th scheduler, and lets everybody run until all wait: so the next one to be
// started comes later.
template <class F>
auto spawn_in_turn(std::size_t i, F&& f) {
  auto task = spawn(std::forward<F>(f), on(i));
  run_until_blocked();
  return task;
}

// Keeps the thread of the i-th scheduler from running anything while this lives: what is done to
// its fibers meanwhile they find done. The virtual clock stands still. Not for one's own thread.
class Stopped {
 public:
  explicit Stopped(std::size_t i)
      : task_(spawn(
            [this] {
              begun_.release();
              end_.acquire();
            },
            on(i))) {
    begun_.acquire();
  }
  ~Stopped() { end_.release(); }
  Stopped(const Stopped&) = delete;
  Stopped& operator=(const Stopped&) = delete;

 private:
  std::binary_semaphore begun_{0}, end_{0};
  const Task<void> task_;
};

// How its task ended.
enum class End { kResult, kCancelled };

inline End end_of(Task<void>& task) {
  try {
    task.get();
    return End::kResult;
  } catch (const TaskCancelled&) {
    return End::kCancelled;
  }
}

// Calls give() while a fiber of the third scheduler cancels a waiter of the second; from round to
// round one comes first for sure, or the other, or they race. Returns how the waiter ended.
template <class Give>
End give_while_cancelled(int round, Task<void>& waiter, Give give) {
  const bool give_first = round % 4 == 0;
  if (give_first) give();
  auto canceller = spawn([&] { waiter.cancel(); }, on(2));
  if (round % 4 == 1) run_until_blocked();
  if (round % 4 == 2) canceller.wait();
  if (!give_first) give();
  canceller.get();
  return end_of(waiter);
}

}  // namespace weft::test

// The same on the machine's time.
#define WEFT_REAL_TIME_CORES_TEST_CASE(name)                                                     \
  static void name##_body();                                                                     \
  BOOST_AUTO_TEST_CASE(name) { ::weft::test::run_real_time_case(&name##_body, {.threads = 3}); } \
  static void name##_body()

#endif  // WEFT_TESTS_SUPPORT_CORES_H_
