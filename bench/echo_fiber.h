// Boost.Fiber has no sockets of its own.
#ifndef WEFT_BENCH_ECHO_FIBER_H_
#define WEFT_BENCH_ECHO_FIBER_H_

#include "bench/echo.h"

namespace weft::bench {

void boost_fiber_echo(const EchoOptions& options);

}  // namespace weft::bench

#endif  // WEFT_BENCH_ECHO_FIBER_H_
