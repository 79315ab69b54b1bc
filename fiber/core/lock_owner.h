#ifndef WEFT_FIBER_CORE_LOCK_OWNER_H_
#define WEFT_FIBER_CORE_LOCK_OWNER_H_

#include <cstdint>

namespace weft::internal {

// What may own a lock: a fiber, or a plain thread. Its address is its name in the locks that it
// holds. A later fiber, or thread, may get the same address. So a fiber or thread that ends while
// it holds a lock ends the program.
struct alignas(8) LockOwner {
  // How many locks it holds. Only the owner itself changes this.
  std::uint32_t locks_held = 0;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_LOCK_OWNER_H_
