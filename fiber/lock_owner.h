#ifndef WEFT_FIBER_LOCK_OWNER_H_
#define WEFT_FIBER_LOCK_OWNER_H_

#include <cstdint>

namespace weft {

// What may own a lock: a fiber, or a plain thread. Its address is its name in the locks that it
// holds. The next fiber, or thread, may have the same address; so one that ends while it holds a
// lock ends the program.
struct alignas(8) LockOwner {
  // Locks that it holds. Only itself changes this.
  std::uint32_t locks_held = 0;
};

}  // namespace weft

#endif  // WEFT_FIBER_LOCK_OWNER_H_
