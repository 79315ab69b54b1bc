#ifndef WEFT_FIBER_FIBER_LOCAL_H_
#define WEFT_FIBER_FIBER_LOCAL_H_

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

// A variable of which each fiber has its own value (Python's contextvars). A fiber starts with the
// values that its parent had at the moment of spawn(); what either sets later, the other does not
// see. Calls of call_soon() and its kin, and done callbacks, count as children.
//
// Threads: the object itself is immutable and may be used by fibers of all schedulers; make it a
// global or a static. Neither get() nor set() waits. Both throw std::logic_error outside fibers.
// Cost: get() is a search among the fiber's few values; set() allocates.
template <class T>
class FiberLocal {
 public:
  // `initial` is what a fiber has that neither set a value nor inherited one.
  explicit FiberLocal(T initial = T()) : initial_(std::move(initial)) {}
  FiberLocal(const FiberLocal&) = delete;
  FiberLocal& operator=(const FiberLocal&) = delete;

  // Valid until the running fiber's next set() of this variable, or its end.
  const T& get() const {
    const void* value = LocalTable::get(key_);
    return value ? *static_cast<const T*>(value) : initial_;
  }

  void set(T value) { LocalTable::set(key_, std::make_shared<const T>(std::move(value))); }

 private:
  const std::uint64_t key_ = LocalTable::next_key();  // never used twice
  const T initial_;
};

}  // namespace weft

#endif  // WEFT_FIBER_FIBER_LOCAL_H_
