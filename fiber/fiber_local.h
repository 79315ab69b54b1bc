#ifndef WEFT_FIBER_FIBER_LOCAL_H_
#define WEFT_FIBER_FIBER_LOCAL_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "weft/fiber/local_table.h"

namespace weft {

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
