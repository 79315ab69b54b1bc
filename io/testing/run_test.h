#ifndef WEFT_IO_TESTING_RUN_TEST_H_
#define WEFT_IO_TESTING_RUN_TEST_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <type_traits>

#include "weft/fiber/core/callable.h"
#include "weft/fiber/core/cancel_scope.h"
#include "weft/fiber/time.h"
#include "weft/io/runtime.h"

namespace weft::testing {

struct TestOptions {
  // Runs on the machine's clock: for a test that waits for the kernel or for another process.
  bool real_time = false;
  // Options of the runtime. run_test() sets virtual_time, and on_deadlock if it is kAutomatic;
  // run_shuffled() sets shuffle_seed.
  RunOptions run = {};
};

}  // namespace weft::testing

namespace weft::internal {

// What the functions below do, once the types are gone.
void run_checked(const std::function<void()>& body, const testing::TestOptions& options);
void run_seeds(const std::function<void(std::uint64_t)>& body, unsigned seeds,
               testing::TestOptions& options);

}  // namespace weft::internal

namespace weft::testing {

// Runs f in a fiber on virtual time, and returns its result. For tests: at the end nothing may be
// left behind.
//
//   weft::testing::run_test([] {
//     Cache cache(10s);
//     weft::sleep_for(11s);  // takes no time
//     assert(cache.empty());
//   });
//
// Throws what f throws. If something is left when f has returned, throws std::logic_error, which
// names it: a task, of any scheduler; a handle of a task that has ended, which keeps its stack; or,
// after the end of the runtime, a descriptor that was not there before. That includes a descriptor
// that a library opens once and keeps: use the library once before the test. It also includes what
// a cancelled look-up of a name has open, which goes on in its thread.
//
// If all tasks wait, and nothing is left that could wake one, throws std::logic_error at once, and
// reports the tasks on stderr. On real time that is noticed after a second.
//
// Threads: from a plain thread, as weft::run(). Throws std::invalid_argument if f is null. Costs a
// runtime and two readings of /proc/self/fd: some 100 us.
template <class F>
auto run_test(F&& f, TestOptions options = {}) -> internal::ResultOf<std::remove_reference_t<F>&> {
  using Result = internal::ResultOf<std::remove_reference_t<F>&>;
  internal::checked_callable(f, "run_test");
  std::optional<internal::Kept<Result>> kept;
  internal::run_checked([&] { kept.emplace(internal::result_to_keep<Result>(f)); }, options);
  return internal::take_kept<Result>(*kept);
}

// Runs f as run_test() does, once for each seed from 1 to `seeds`: ready fibers run in a different
// order each time. With one scheduler, a seed always gives the same order. If f takes a number, it
// gets the seed.
//
//   weft::testing::run_shuffled([](std::uint64_t seed) {
//     auto [client, server] = weft::testing::stream_pair({.seed = seed});
//     test_protocol(client, server);
//   }, 1000);
//
// Ends at the first failure: throws std::logic_error, whose text has the seed and the failure's
// text; the failure itself is nested in it (std::rethrow_if_nested). If WEFT_SEED=17 is in the
// environment, runs that seed alone. Throws std::invalid_argument if that is no number, f is null,
// or there are no seeds.
template <class F>
void run_shuffled(F&& f, unsigned seeds, TestOptions options = {}) {
  internal::checked_callable(f, "run_shuffled");
  const auto body = [&](std::uint64_t seed) { internal::call_with(f, seed); };
  internal::run_seeds(body, seeds, options);
}

// Three functions for the body of such a test. They throw std::logic_error outside fibers; the
// first two are cancellation points, and also throw that on real time.
//
//   auto beat = weft::spawn([&] { for (;;) weft::sleep_for(1s), ++beats; });
//   weft::testing::advance(3500ms);
//   assert(beats == 3);

// Lets all other fibers run until each of them waits, on every scheduler of the runtime. The clock
// does not move. If a fiber waits for run_in_executor(), gives the job up to 100 ms of the
// machine's time to end.
void run_until_blocked();

// Lets this much time pass. What becomes due meanwhile happens in its order, each at its own time.
// Returns when all other fibers wait again, also those that were due at the end. A negative
// duration counts as zero.
void advance(AnyDuration time);

// Runs f in the calling fiber and returns its result: a wait in it is an error. For code that other
// fibers may not interrupt, such as a change that they may not see half made.
//
//   weft::testing::no_waiting([&] {
//     from.balance -= amount;
//     log(from, to);  // throws if it waits
//     to.balance += amount;
//   });
//
// If f is about to wait or to yield, throws std::logic_error in its place, naming the call. A call
// that could wait but need not, such as the lock of a free mutex, is allowed. So are waits inside
// shield(), as in the destructor of a Task, and waits while the stack unwinds: an exception there
// would end the program. Throws std::invalid_argument if f is null, and std::logic_error outside
// fibers.
template <class F>
auto no_waiting(F&& f) -> std::invoke_result_t<F&> {
  internal::checked_callable(f, "no_waiting");
  const internal::NoWaitingScope scope("weft::testing::no_waiting");
  return std::invoke(f);
}

}  // namespace weft::testing

#endif  // WEFT_IO_TESTING_RUN_TEST_H_
