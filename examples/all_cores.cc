// All cores by processes: four of them, each with its own run() and its own fibers. See `multicore`
// for the same in one process, which shares memory.
// Run it: ./bazelw run -c opt //examples:all_cores
// With `-- --quick` there is a tenth of the work.

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/weft.h"

namespace {

constexpr long kProcesses = 4;
constexpr long kFibers = 100;  // in each

// How often a number must be halved, or tripled and increased by one, until it is 1.
long steps_of(unsigned long number) {
  long steps = 0;
  for (; number != 1; ++steps) number = number % 2 == 0 ? number / 2 : 3 * number + 1;
  return steps;
}

struct Share {
  long first;  // and each kProcesses-th from there
  long end;
};

struct Result {
  pid_t process;
  long sum;
};

// What a process does: a runtime of its own, whose fibers share the numbers among them.
Result compute(Share share) {
  return weft::run([&] {
    std::vector<weft::Task<long>> fibers;
    for (long i = 0; i < kFibers; ++i) {
      fibers.push_back(weft::spawn([&share, i] {
        long sum = 0;
        for (long n = share.first + i * kProcesses; n < share.end; n += kFibers * kProcesses) {
          sum += steps_of(static_cast<unsigned long>(n));
          if (n % 64 == 1) weft::yield();  // the others have their turn
        }
        return sum;
      }));
    }
    Result result{getpid(), 0};
    for (weft::Task<long>& fiber : fibers) result.sum += fiber.get();
    return result;
  });
}

// Has `processes` of the pool's compute shares of all numbers below `end`. Returns the sum.
long compute_in(weft::ProcessPool& pool, long processes, long end) {
  const weft::TimePoint start = weft::now();
  std::vector<weft::Task<Result>> shares;
  weft::Semaphore free(static_cast<std::size_t>(processes));
  for (long first = 1; first <= kProcesses; ++first) {
    shares.push_back(weft::spawn([&, first] {
      free.acquire();
      const Result result = run_in_process(pool, &compute, Share{first, end});
      free.release();
      return result;
    }));
  }
  long sum = 0;
  for (weft::Task<Result>& share : shares) {
    const Result result = share.get();
    std::printf("  process %d  %12ld\n", result.process, result.sum);
    sum += result.sum;
  }
  const std::chrono::duration<double> took = weft::now() - start;
  std::printf("  %-11s %12ld in %.2f s\n\n", processes == 1 ? "one" : "together", sum,
              took.count());
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::string_view(argv[1]) == "--quick";
  const long end = quick ? 200'000 : 4'000'000;
  weft::ProcessPool pool({.workers = kProcesses});  // before there are threads
  weft::run([&] {
    std::printf("One process at a time:\n");
    const long one = compute_in(pool, 1, end);
    std::printf("Four at a time:\n");
    const long four = compute_in(pool, kProcesses, end);
    std::printf("The sums are %s.\n", one == four ? "the same" : "NOT the same");
  });
}
