#ifndef WEFT_FIBER_LOCAL_TABLE_H_
#define WEFT_FIBER_LOCAL_TABLE_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "weft/fiber/atomic.h"

namespace weft {

// The values of one fiber's locals. Shared with the fibers that it starts, and never changed while
// it is shared: starting a child costs a reference, and the first set() afterwards a copy.
class LocalTable {
 public:
  // A further reference to a table, which may be null.
  static LocalTable* share(LocalTable* table) noexcept {
    // Relaxed: who shares a table has a reference.
    if (table) table->references_.fetch_add(1, std::memory_order_relaxed);
    return table;
  }
  static void unref(LocalTable* table) noexcept;

  // The value that the running fiber has for `key`; null if it has none.
  // Throws std::logic_error outside fibers.
  static const void* get(std::uint64_t key);
  static void set(std::uint64_t key, std::shared_ptr<const void> value);

  static std::uint64_t next_key() noexcept;

 private:
  Atomic<int> references_{1};
  std::vector<std::pair<std::uint64_t, std::shared_ptr<const void>>> values_;
};

}  // namespace weft

#endif  // WEFT_FIBER_LOCAL_TABLE_H_
