#include "bench/skynet_peers.h"

namespace weft::bench {

std::span<const SkynetPeer> skynet_peers() { return {}; }

}  // namespace weft::bench
