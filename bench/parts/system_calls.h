// Counts the system calls of this process, and the time between them.
#ifndef WEFT_BENCH_PARTS_SYSTEM_CALLS_H_
#define WEFT_BENCH_PARTS_SYSTEM_CALLS_H_

#include <atomic>
#include <cstdint>

namespace weft::bench {

struct SystemCalls {
  std::atomic<std::uint64_t> count = 0;
  // Time in user mode: from the end of each call to the start of the next one, in ticks of the
  // processor's time-stamp counter. Stretches of more than some 10 us are left out: another process
  // had the core. Includes reading the counter, 10 ns a call.
  std::atomic<std::uint64_t> ticks_between = 0;
};

// Counts in *counts from now on. Null, as at first, turns counting off.
//
// A program that is linked with this has functions of its own for the system calls that a server
// makes per request (system_calls.cc lists them): what an executable defines takes precedence over
// the C library, for shared libraries, too. Calls that bypass the C library are not seen.
//
// Rejected: tracing by ptrace or seccomp slows each call down by some microseconds, so that the
// server finds more requests at a time and makes fewer calls; tracepoints of the kernel need root.
void count_system_calls(SystemCalls* counts) noexcept;

// The speed of the time-stamp counter.
double ticks_per_us();

}  // namespace weft::bench

#endif  // WEFT_BENCH_PARTS_SYSTEM_CALLS_H_
