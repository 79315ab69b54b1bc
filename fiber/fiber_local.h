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

  // The value that the caller has for `key`; null if it has none.
  static const void* get(std::uint64_t key) noexcept;
  // Throws std::logic_error where of_caller() is null.
  static void set(std::uint64_t key, std::shared_ptr<const void> value);

  static std::uint64_t next_key() noexcept;

 private:
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

// A variable of which each fiber has its own value (Python's contextvars). A fiber starts with the
// values that its parent had at the moment of spawn(); what either sets later, the other does not
// see. These count as children, too: calls of post(), call_soon() and its kin, done callbacks, and
// jobs that a fiber gives to a ThreadPool, also by run_in_executor(). A job in turn counts as the
// parent of what it starts. What any other plain thread starts begins with the initial values.
//
//   weft::FiberLocal<std::string> request;  // a global
//   request.set("GET /");                   // for this fiber, and what it starts from now on
//   log(request.get());
//
// A value is destroyed with the last fiber or job that has it. Its destructor may use other
// variables; it may wait if that last one is a fiber. A task that fails keeps its values for the
// exception handler until its exception is taken.
//
// Threads: the object itself is immutable and may be used on all threads; make it a global or a
// static. Neither get() nor set() waits. On a plain thread that runs no job, get() gives the
// initial value, and set() throws std::logic_error.
// Cost: get() is a search among the fiber's few values; set() allocates.
template <class T>
class FiberLocal {
 public:
  // `initial` is what a fiber has that neither set a value nor inherited one.
  explicit FiberLocal(T initial = T()) : initial_(std::move(initial)) {}
  FiberLocal(const FiberLocal&) = delete;
  FiberLocal& operator=(const FiberLocal&) = delete;

  // Valid until the next set() of this variable in the running fiber or job, or its end.
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
