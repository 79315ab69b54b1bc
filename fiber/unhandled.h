#ifndef WEFT_FIBER_UNHANDLED_H_
#define WEFT_FIBER_UNHANDLED_H_

#include <exception>

namespace weft {

class Fiber;

// The default exception handler: prints what nobody took, and whose it was, and terminates.
// `fiber` may be null.
[[noreturn]] void fail_unhandled(std::exception_ptr exception, const Fiber* fiber) noexcept;

}  // namespace weft

#endif  // WEFT_FIBER_UNHANDLED_H_
