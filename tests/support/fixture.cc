#include "tests/support/fixture.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iterator>

#include "tests/support/bound.h"
#include "tests/support/check.h"
#include "weft/weft.h"

namespace weft::test {

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

std::size_t count_fibers() {
  std::size_t fibers = 0;
  for (const std::size_t here : spread([] { return all_tasks().size() - 1; })) fibers += here;
  return fibers;
}

void run_case(const std::function<void()>& body, const RunOptions& options) {
  testing::run_test(body, {.run = options});
}

void run_real_time_case(const std::function<void()>& body, const RunOptions& options) {
  testing::run_test(body, {.real_time = true, .run = options});
}

void run_shuffled(const std::function<void()>& body) {
  const auto with_seed = [&](std::uint64_t seed) {
    BOOST_TEST_CONTEXT("shuffle_seed " << seed) { body(); }
  };
  testing::run_shuffled(with_seed, bound(50U, 10U));
}

}  // namespace weft::test
