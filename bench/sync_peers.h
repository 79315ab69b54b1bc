// Others that do what sync/ does, to be measured in the same run.
#ifndef WEFT_BENCH_SYNC_PEERS_H_
#define WEFT_BENCH_SYNC_PEERS_H_

#include <cstddef>
#include <span>

namespace weft::bench {

// Each function does something so many times and returns the nanoseconds for one; null where there
// is nothing like it.
struct SyncPeer {
  const char* name;
  double (*lock)(long times);
  double (*pass)(int fibers, long times);
  double (*queue)(std::size_t capacity, long times);
  double (*round_trip)(long times);                          // the median
  double (*jobs)(unsigned threads, int flying, long times);  // by the wall clock
};

// sync_bench has none, sync_bench_with_peers those that this machine has the packages for.
std::span<const SyncPeer> sync_peers();

}  // namespace weft::bench

#endif  // WEFT_BENCH_SYNC_PEERS_H_
