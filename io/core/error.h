#ifndef WEFT_IO_CORE_ERROR_H_
#define WEFT_IO_CORE_ERROR_H_

#include "weft/fiber/core/error.h"

namespace weft::internal {

// Throws std::system_error with one of errno's codes, as throw_system_error(). For EBADF and
// ECANCELED see unless_cancelled().
[[noreturn]] void fail(int error, Words words);

// Returns `error`, that of a call that finds its descriptor closed. If the calling fiber is
// cancelled, lets others run and throws Cancelled instead: the descriptor was probably closed for
// the same reason, and a cancelled fiber should end as one.
int unless_cancelled(int error);

// Returns a system call's result. If it is negative throws std::system_error with errno's code.
int checked(int result, Words words);

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_ERROR_H_
