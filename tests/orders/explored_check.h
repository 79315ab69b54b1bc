#ifndef WEFT_TESTS_ORDERS_EXPLORED_CHECK_H_
#define WEFT_TESTS_ORDERS_EXPLORED_CHECK_H_

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "tests/orders/explorer.h"
#include "tests/support/bound.h"
#include "tests/support/check.h"
#include "weft/fiber/core/context.h"
#include "weft/fiber/time.h"

namespace weft::test {

using namespace internal;

// ASan sees what is touched too late in some order; it takes five times as long, so it goes through
// those with two preemptions. For TSan there is one thread at a time, and valgrind takes forty
// times as long.
#if defined(WEFT_TSAN) || defined(WEFT_VALGRIND)
inline constexpr int kMaxPreemptions = 1;
#elif defined(WEFT_ASAN)
inline constexpr int kMaxPreemptions = 2;
#else
inline constexpr int kMaxPreemptions = 1000;
#endif

// A time limit of plain threads: the explorer says when it comes.
inline constexpr TimePoint kSoon = kPast + std::chrono::hours(1);

// Explores, and fails the test if the exploration does.
inline void check(const std::function<Scenario()>& make, int preemptions) {
  const int most = std::min(preemptions, bound(kMaxPreemptions, 1));
  const Exploration exploration = explore(make, most);
  BOOST_TEST(exploration.failure == "", "run " << exploration.runs << ": " << exploration.failure);
  BOOST_TEST_MESSAGE(exploration.runs << " orders");
  BOOST_TEST(exploration.runs > (most == 1 ? 2 : 5));
}

// The same for threads that share a State, which is made anew for each run and knows what must
// hold.
template <class State>
void check(const std::vector<void (*)(State&)>& threads, int preemptions) {
  check(
      [&] {
        auto state = std::make_shared<State>();
        Scenario scenario;
        for (const auto thread : threads) {
          scenario.threads.push_back([state, thread] { thread(*state); });
        }
        scenario.holds = [state] { return state->holds(); };
        return scenario;
      },
      preemptions);
}

}  // namespace weft::test

#endif  // WEFT_TESTS_ORDERS_EXPLORED_CHECK_H_
