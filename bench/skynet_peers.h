// Others that run skynet, to be measured in the same run.
#ifndef WEFT_BENCH_SKYNET_PEERS_H_
#define WEFT_BENCH_SKYNET_PEERS_H_

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace weft::bench {

struct SkynetPeer {
  std::string name;
  unsigned threads;
  // Runs it so many times in a process of its own, after once for nothing, and returns the
  // milliseconds of each. Empty where there is no such program.
  std::function<std::vector<double>(int times)> run;
};

// cores_bench has none, cores_bench_with_peers those that this machine has the packages for.
std::span<const SkynetPeer> skynet_peers();

}  // namespace weft::bench

#endif  // WEFT_BENCH_SKYNET_PEERS_H_
