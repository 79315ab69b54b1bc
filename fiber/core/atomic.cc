#include "weft/fiber/core/atomic.h"

namespace weft::internal {
namespace {

constexpr int kSpins = kExplored ? 0 : 64;

}  // namespace

void SpinLock::wait() noexcept {
  // The holder may have lost its core: after a while the waiter gives up its own. Relaxed: lock()
  // looks again.
  for (int tries = 0; held_.load(std::memory_order_relaxed); ++tries) {
    if (tries < kSpins) {
      relax_processor();
    } else {
      let_others_run();
    }
  }
}

}  // namespace weft::internal
