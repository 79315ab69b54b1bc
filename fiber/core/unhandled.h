#ifndef WEFT_FIBER_CORE_UNHANDLED_H_
#define WEFT_FIBER_CORE_UNHANDLED_H_

#include <exception>

namespace weft::internal {

class Fiber;

// The default for a failure that no caller gets: prints it, and whose it was, and terminates.
// `fiber` may be null.
[[noreturn]] void fail_unhandled(std::exception_ptr exception, const Fiber* fiber) noexcept;

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_UNHANDLED_H_
