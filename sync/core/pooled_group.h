#ifndef WEFT_SYNC_CORE_POOLED_GROUP_H_
#define WEFT_SYNC_CORE_POOLED_GROUP_H_

#include "weft/fiber/core/group.h"

namespace weft {
class ThreadPool;
}

namespace weft::internal {

// The schedulers of a Runtime, and what run_in_executor() uses there. Each group of schedulers
// whose fibers call it is one of these.
struct PooledGroup : Group {
  PooledGroup(Home& first, ThreadPool& its_pool) noexcept : Group(first), pool(its_pool) {}

  // That of the calling fiber. Throws std::logic_error elsewhere, with this text.
  static PooledGroup& current(const char* missing);

  ThreadPool& pool;
};

}  // namespace weft::internal

#endif  // WEFT_SYNC_CORE_POOLED_GROUP_H_
