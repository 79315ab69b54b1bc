// Boost.Fiber has no sockets of its own.
#ifndef WEFT_BENCH_CONTESTANTS_BOOST_FIBER_ECHO_H_
#define WEFT_BENCH_CONTESTANTS_BOOST_FIBER_ECHO_H_

namespace weft::bench {

// Prints its port, and never returns.
[[noreturn]] void boost_fiber_echo();

}  // namespace weft::bench

#endif  // WEFT_BENCH_CONTESTANTS_BOOST_FIBER_ECHO_H_
