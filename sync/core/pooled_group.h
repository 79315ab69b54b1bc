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

  ThreadPool& pool;
};

}  // namespace weft::internal

#endif  // WEFT_SYNC_CORE_POOLED_GROUP_H_
