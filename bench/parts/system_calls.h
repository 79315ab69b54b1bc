// Counts the system calls of this process, and the time between them.
#ifndef WEFT_BENCH_PARTS_SYSTEM_CALLS_H_
#define WEFT_BENCH_PARTS_SYSTEM_CALLS_H_

#include <atomic>
#include <cstdint>

namespace weft::bench {

struct SystemCalls {
  std::atomic<std::uint64_t> count = 0;
  // What went by in user mode: from the end of each call to the begin of the next one, in ticks of
  // the processor's time-stamp counter. Stretches of more than some 10 us are left out: another
  // process had the core. Includes reading the counter, 10 ns a call.
  std::atomic<std::uint64_t> ticks_between = 0;
};

// From now on there, or nowhere if null: as it is at first.
//
// A program that is linked with this has functions of its own for the system calls that a server
// makes per request (system_calls.cc lists them): what an executable defines takes precedence over
// the C library for shared libraries, too. Being traced, by ptrace or seccomp, would slow each call
// down by some microseconds; the server would then find more requests at a time than it does on its
// own, and make fewer calls. Tracepoints of the kernel need root. What goes around the C library is
// not seen.
void count_system_calls(SystemCalls* counts) noexcept;

// How fast the time-stamp counter is.
double ticks_per_us();

}  // namespace weft::bench

#endif  // WEFT_BENCH_PARTS_SYSTEM_CALLS_H_
