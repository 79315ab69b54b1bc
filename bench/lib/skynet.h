// The benchmark called skynet: a tree with ten children a node, six levels deep. Each of its
// million leaves returns its number, each inner node the sum of its children. Every node is a
// fiber.
#ifndef WEFT_BENCH_LIB_SKYNET_H_
#define WEFT_BENCH_LIB_SKYNET_H_

#include <stdexcept>
#include <utility>

#include "bench/lib/harness.h"

namespace weft::bench {

inline constexpr long kChildren = 10;
inline constexpr long kLeaves = 1'000'000;
inline constexpr long kLeafSum = 499'999'500'000;

// Each computes the part of the tree with `leaves` leaves that begins with leaf `first`: by tasks,
// whose results are taken when all children have been spawned, or by groups.
long skynet_tasks(long first, long leaves, bool eager);
long skynet_groups(long first, long leaves, bool eager);

// The whole tree, with its ten largest parts spread over all schedulers of the runtime.
long skynet_spread();

// Contexts of Boost.Context, kept on a list while they are not in use: a child is a switch to one,
// and one back. No child can wait or be waited for, and its exceptions are lost.
long skynet_raw(long first, long leaves);

// Milliseconds of the wall clock. Throws std::runtime_error if f does not return what it should.
template <class F>
double skynet_ms(F&& f) {
  const double begin = wall_ns();
  if (std::forward<F>(f)() != kLeafSum) throw std::runtime_error("skynet: a wrong sum");
  return (wall_ns() - begin) * 1e-6;
}

}  // namespace weft::bench

#endif  // WEFT_BENCH_LIB_SKYNET_H_
