// Long computations beside a fiber that has to keep its beat: with and without run_in_executor().
// Run it: ./bazelw run -c opt //examples:executor
// With `-- --quick` the sums are a tenth as long.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string_view>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

constexpr auto kBeat = 10ms;
constexpr int kSums = 4;

// Computes without a wait.
std::uint64_t sum_of_squares(std::uint64_t from, std::uint64_t to) {
  std::uint64_t sum = 0;
  for (std::uint64_t i = from; i < to; ++i) {
    sum += i * i;
    asm volatile("" : "+r"(sum));  // the compiler knows a formula
  }
  return sum;
}

struct Beats {
  int count = 0;
  weft::Duration worst_lateness{};
};

// Beats until it is cancelled.
void tick(Beats& beats) {
  for (weft::TimePoint next = weft::now() + kBeat;; next = weft::now() + kBeat) {
    weft::sleep_until(next);
    ++beats.count;
    beats.worst_lateness = std::max(beats.worst_lateness, weft::now() - next);
  }
}

// Computes the sums by `compute(from, to)`, each in a fiber, while a ticker beats.
template <class F>
std::uint64_t race(const char* way, std::uint64_t numbers, F compute) {
  Beats beats;
  auto ticker = weft::spawn([&] { tick(beats); });
  weft::sleep_for(kBeat / 2);
  const weft::TimePoint start = weft::now();
  std::uint64_t sum = 0;
  weft::TaskGroup group;
  for (std::uint64_t i = 0; i < kSums; ++i) {
    group.spawn([&, i] { sum += compute(i * numbers / kSums, (i + 1) * numbers / kSums); });
  }
  group.join();
  const std::chrono::duration<double> took = weft::now() - start;
  weft::sleep_for(1ns);  // lets an overdue beat come first, but no other
  const std::chrono::duration<double, std::milli> late = beats.worst_lateness;
  std::printf("  %-22s %8.2f s %8d %12.1f ms\n", way, took.count(), beats.count, late.count());
  return sum;
}

void compare(std::uint64_t numbers) {
  std::printf("%d sums of %.0f million squares each, and a fiber that beats every 10 ms:\n\n",
              kSums, static_cast<double>(numbers) / kSums / 1e6);
  std::printf("  %-22s %10s %8s %15s\n", "where the sums are", "time", "beats", "worst lateness");
  const auto here = race("on the fibers' thread", numbers, sum_of_squares);
  const auto there = race("on the pool", numbers, [](std::uint64_t from, std::uint64_t to) {
    return weft::run_in_executor([&] { return sum_of_squares(from, to); });
  });
  std::printf("\nThe results are %s.\n", here == there ? "the same" : "NOT the same");
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::string_view(argv[1]) == "--quick";
  weft::run([=] { compare(quick ? 100'000'000 : 1'000'000'000); });
}
