// A contestant is a program that does the workloads of the comparison in the way of one library:
//
//   PROGRAM WORKLOAD TIMES    does it TIMES times, and prints one number: the cost of one time
//   PROGRAM echo              prints the port on 127.0.0.1 where it serves, until it is killed
//   PROGRAM version           prints the library's name and version
//
// It ends with status 3 if the library has nothing of the kind, and with 1, and the reason on
// stderr, if it fails. README.md lists the workloads. A contestant may be written in any language;
// those in C++ share the main function of contestant.cc.
#ifndef WEFT_BENCH_CONTESTANTS_CONTESTANT_H_
#define WEFT_BENCH_CONTESTANTS_CONTESTANT_H_

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "bench/lib/harness.h"

namespace weft::bench {

struct Workload {
  std::string_view name;
  // Returns nanoseconds for each time, unless README.md says otherwise. "echo" never returns.
  double (*measure)(long times);
};

// What measure() returns if the library has nothing for that many.
inline constexpr double kNothing = -1e99;

// What each contestant defines.
std::string version();
std::span<const Workload> workloads();

// Prints the port of an echo server: connections are accepted from now on.
void print_port(std::uint16_t port);

// Memory of this process, page tables included, in bytes.
double memory_bytes();

// Nanoseconds of processor time of all threads of this process.
double process_ns();

// What `pop` and its kin, `ticker`, `mpsc` and `broadcast` have in common: README.md explains them.
inline constexpr long kBatch = 1'000;
inline constexpr long kTickers = 1'000;
inline constexpr std::chrono::milliseconds kTick{10};
inline constexpr int kSenders = 4;
inline constexpr int kReceivers = 10;
inline constexpr long kBuffer = 100;

// What `process` and `pipe_out` start: the latter writes all of its mebibyte at once.
inline constexpr const char* kTrue[] = {"/bin/true", nullptr};
inline constexpr const char* kMebibyte[] = {"/bin/dd", "if=/dev/zero", "bs=1M",
                                            "count=1", "status=none",  nullptr};
inline constexpr std::size_t kMebibyteSize = 1 << 20;
inline constexpr std::size_t kReadSize = 64 * 1024;

// The n-th of the random numbers that all contestants use, below `end`: Knuth's multiplicative
// hashing, simple enough for any language. 2654435761 is 2^32 divided by the golden ratio.
constexpr std::uint64_t scattered(std::uint64_t n, std::uint64_t end) {
  return (n * 2654435761U & 0xffffffffU) * end >> 32;
}

// Nanoseconds of the wall clock that f takes, divided by `times`.
template <class F>
double wall_ns_per(long times, F&& f) {
  const double begin = wall_ns();
  f();
  return (wall_ns() - begin) / static_cast<double>(times);
}

// Calls fill(batch, size) and then take(batch) `size` times, batch by batch, `times` times in all.
// Returns the nanoseconds for one take().
template <class Fill, class Take>
double wall_ns_per_take(long times, Fill fill, Take take) {
  double ns = 0;
  for (long taken = 0, batch = 0; taken < times; taken += kBatch, ++batch) {
    const long size = std::min(kBatch, times - taken);
    fill(batch, size);
    const double begin = wall_ns();
    for (long i = 0; i < size; ++i) take(batch);
    ns += wall_ns() - begin;
  }
  return ns / static_cast<double>(times);
}

}  // namespace weft::bench

#endif  // WEFT_BENCH_CONTESTANTS_CONTESTANT_H_
