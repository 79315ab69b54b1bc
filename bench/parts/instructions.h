// Counts the instructions of another process.
#ifndef WEFT_BENCH_PARTS_INSTRUCTIONS_H_
#define WEFT_BENCH_PARTS_INSTRUCTIONS_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>

namespace weft::bench {

// Instructions in user mode that the child, which has one thread, executes until done(). Negative
// if the system does not allow tracing.
//
// The child runs step by step, some microseconds each. That is exact, needs no privilege, and works
// in virtual machines, most of which have no counters for it (perf_event_open(2)). To the child all
// other processes look fast: a server finds a request of every client each time it polls.
double count_instructions(pid_t child, const std::function<bool()>& done);

}  // namespace weft::bench

#endif  // WEFT_BENCH_PARTS_INSTRUCTIONS_H_
