#ifndef WEFT_FIBER_CORE_LOCAL_TABLE_H_
#define WEFT_FIBER_CORE_LOCAL_TABLE_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "weft/fiber/core/atomic.h"

namespace weft::internal {

// The values of one fiber's locals. Shared with the fibers that it starts, and never changed while
// it is shared: starting a child costs a reference, and the first set() afterwards a copy.
class LocalTable {
 public:
  // A further reference to a table, which may be null.
  static LocalTable* share(LocalTable* table) noexcept {
    // Relaxed: the caller has a reference.
    if (table) table->references_.fetch_add(1, std::memory_order_relaxed);
    return table;
  }
  // Gives a table up, and those that the destructors of its values make by set(), until they make
  // no more. They may wait where the caller may.
  static void drop(LocalTable*& table) noexcept;

  // Where the running fiber, or the job of a thread pool, keeps its table; null elsewhere.
  static LocalTable** of_caller() noexcept;
  // Adds a reference to the table of the caller and returns it; null if the caller has no table.
  static LocalTable* inherit() noexcept {
    LocalTable** const table = of_caller();
    return table ? share(*table) : nullptr;
  }

 private:
  friend void set_local(std::uint64_t key, std::shared_ptr<const void> value);
  friend const void* get_local(std::uint64_t key) noexcept;

  static void unref(LocalTable* table) noexcept;

  Atomic<int> references_{1};
  std::vector<std::pair<std::uint64_t, std::shared_ptr<const void>>> values_;
};

// While it lives, the caller has another table: that of a job on a thread of a pool, or that of a
// fiber that has ended. On a fiber, `table` must not be used meanwhile.
class BorrowedLocals {
 public:
  explicit BorrowedLocals(LocalTable*& table) noexcept;
  ~BorrowedLocals();
  BorrowedLocals(const BorrowedLocals&) = delete;
  BorrowedLocals& operator=(const BorrowedLocals&) = delete;

 private:
  LocalTable*& table_;
  LocalTable** before_ = nullptr;  // on a plain thread
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_LOCAL_TABLE_H_
