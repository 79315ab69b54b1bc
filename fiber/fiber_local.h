#ifndef WEFT_FIBER_FIBER_LOCAL_H_
#define WEFT_FIBER_FIBER_LOCAL_H_

#include <cstdint>
#include <memory>
#include <utility>

namespace weft {

namespace internal {

// The value that the running fiber, or job of a ThreadPool, has for `key`; null if it has none.
const void* get_local(std::uint64_t key) noexcept;
// Throws std::logic_error where no fiber and no job runs.
void set_local(std::uint64_t key, std::shared_ptr<const void> value);

// Never used twice.
std::uint64_t next_local_key() noexcept;

}  // namespace internal

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
    const void* value = internal::get_local(key_);
    return value ? *static_cast<const T*>(value) : initial_;
  }

  void set(T value) { internal::set_local(key_, std::make_shared<const T>(std::move(value))); }

 private:
  const std::uint64_t key_ = internal::next_local_key();
  const T initial_;
};

}  // namespace weft

#endif  // WEFT_FIBER_FIBER_LOCAL_H_
