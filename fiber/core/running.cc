#include "weft/fiber/core/running.h"

#include <pthread.h>

namespace weft::internal {

constinit std::atomic<unsigned> forks_so_far{0};

namespace {

// Where there is no memory for it, a child takes itself for its parent.
[[maybe_unused]] const int count_at_fork =
    pthread_atfork(nullptr, nullptr, [] { forks_so_far.fetch_add(1, std::memory_order_relaxed); });

}  // namespace

}  // namespace weft::internal
