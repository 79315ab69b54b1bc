#ifndef WEFT_IO_CORE_ERROR_H_
#define WEFT_IO_CORE_ERROR_H_

#include <system_error>

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

// Returns what call(error) does. If that has set the error, throws it as throw_system_error().
template <class Call>
auto or_throw(Words words, Call call) {
  std::error_code error;
  auto result = call(error);
  if (error) throw_system_error(error, words);
  return result;
}

// Returns what call() does. If that throws std::system_error, sets the error instead, and returns
// an empty result.
template <class Call>
auto or_report(std::error_code& error, Call call) -> decltype(call()) {
  try {
    error.clear();
    return call();
  } catch (const std::system_error& failure) {
    error = failure.code();
    return {};
  }
}

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_ERROR_H_
