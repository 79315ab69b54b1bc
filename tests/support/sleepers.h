// For tests of wait() and as_completed().
#ifndef WEFT_TESTS_SUPPORT_SLEEPERS_H_
#define WEFT_TESTS_SUPPORT_SLEEPERS_H_

#include <cstddef>
#include <stdexcept>
#include <vector>

#include "tests/support/check.h"
#include "tests/support/fixture.h"
#include "weft/weft.h"

namespace weft::test {

using Indices = std::vector<std::size_t>;

// Sleepers that return their index; `failing` throws instead. They are spread over as many
// schedulers as there are.
inline std::vector<Task<int>> sleepers(const std::vector<Duration>& times, int failing = -1) {
  const std::size_t schedulers = Runtime::current().schedulers().size();
  std::vector<Task<int>> tasks;
  for (std::size_t i = 0; i < times.size(); ++i) {
    tasks.push_back(spawn(
        [index = static_cast<int>(i), failing, time = times[i]] {
          sleep_for(time);
          if (index == failing) throw std::runtime_error("failed");
          return index;
        },
        on(i % schedulers)));
  }
  return tasks;
}

inline void check(const WaitResult& result, const Indices& done, const Indices& pending) {
  BOOST_TEST(result.done == done);
  BOOST_TEST(result.pending == pending);
}

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_SLEEPERS_H_
