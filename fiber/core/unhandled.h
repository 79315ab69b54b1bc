#ifndef WEFT_FIBER_CORE_UNHANDLED_H_
#define WEFT_FIBER_CORE_UNHANDLED_H_

#include <exception>
#include <functional>

namespace weft::internal {

class Fiber;

// Takes what nobody else does. It may wait; where it throws, the program ends.
using ExceptionHandler = std::function<void(std::exception_ptr)>;

// The default: prints what nobody took, and whose it was, and terminates. `fiber` may be null.
[[noreturn]] void fail_unhandled(std::exception_ptr exception, const Fiber* fiber) noexcept;

// The default for a failure on top of another one that is being reported: prints it. `fiber` may be
// null.
void print_further(std::exception_ptr exception, const Fiber* fiber) noexcept;

// Ends the program with a sentence: for misuse after which it would hang or corrupt memory.
[[noreturn]] void fail_misuse(const char* sentence) noexcept;

// Prints "weft: ", what the format of printf says, and a new line, on stderr. By one write(), as
// the stack may be too small for stdio. Cut to 250 bytes.
[[gnu::format(printf, 1, 2)]] void print_line(const char* format, ...) noexcept;

// Throw the exception of this name. The first two say `who` and `what`, one after the other. A
// check that calls one of them takes less code than one that throws.
[[noreturn]] void throw_logic_error(const char* who, const char* what = "");
[[noreturn]] void throw_invalid_argument(const char* who, const char* what = "");
[[noreturn]] void throw_system_error(int error, const char* what);

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_UNHANDLED_H_
