#ifndef WEFT_IO_CORE_ERROR_H_
#define WEFT_IO_CORE_ERROR_H_

#include "weft/fiber/core/error.h"

namespace weft::internal {

// As throw_system_error(), for one of errno's codes.
// If it says that something is closed, see unless_cancelled().
[[noreturn]] void fail(int error, Words words);

// Returns the error of a call that finds its descriptor closed. If the calling fiber is cancelled,
// lets others run and throws Cancelled instead: the descriptor was probably closed for the same
// reason, and a fiber that is cancelled is to end as one.
int unless_cancelled(int error);

// A system call's result; throws what errno says where that is negative.
int checked(int result, Words words);

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_ERROR_H_
