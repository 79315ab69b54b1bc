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

void run_and_check(const std::function<void()>& body, const RunOptions& options) {
  const auto before = open_descriptors();
  weft::run(
      [&] {
        body();
        BOOST_TEST(count_fibers() == 1u, "a fiber is left");
      },
      options);
  BOOST_TEST(open_descriptors() == before, "a descriptor is left");
}

void run_case(const std::function<void()>& body, RunOptions options) {
  options.virtual_time = true;
  run_and_check(body, options);
}

void run_real_time_case(const std::function<void()>& body, RunOptions options) {
  options.virtual_time = false;
  run_and_check(body, options);
}

void run_shuffled(const std::function<void()>& body) {
  const std::uint64_t seeds = bound(50, 10);
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    BOOST_TEST_CONTEXT("shuffle_seed " << seed) { run_case(body, {.shuffle_seed = seed}); }
  }
}

}  // namespace weft::test
