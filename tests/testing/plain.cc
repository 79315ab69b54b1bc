// weft/testing.h alone, without a framework for tests.

#include <chrono>
#include <cstdlib>

#include "weft/testing.h"
#include "weft/weft.h"

int main() {
  unsigned runs = 0;
  weft::testing::run_shuffled([&] { ++runs; }, 3);
  const int answer = weft::testing::run_test([] {
    weft::sleep_for(std::chrono::hours(1));
    return 42;
  });
  return runs == 3 && answer == 42 ? EXIT_SUCCESS : EXIT_FAILURE;
}
