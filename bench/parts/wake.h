// Two threads that hand a turn to and fro.
#ifndef WEFT_BENCH_PARTS_WAKE_H_
#define WEFT_BENCH_PARTS_WAKE_H_

#include "weft/weft.h"

namespace weft::bench {

// Each function hands the turn over `times` times, after a warm-up, and returns the nanoseconds for
// one way.

// Two fibers on the first two schedulers, over two semaphores. Sets `writes` to the number of
// system calls that write, per way.
double hand_over_fibers(Runtime& runtime, long times, double& writes);

// Two plain threads, on one core or on the first and the last. Each sleeps ...
double hand_over_condition_variable(bool one_core, long times);  // in std::condition_variable
double hand_over_eventfd(bool one_core, long times);             // in read()
double hand_over_epoll(bool one_core, long times);               // in epoll_wait()
double hand_over_atomic(bool one_core, long times);              // never

}  // namespace weft::bench

#endif  // WEFT_BENCH_PARTS_WAKE_H_
