#include "weft/io/core/error.h"

#include <cerrno>

#include "weft/fiber/core/fiber.h"
#include "weft/fiber/core/running.h"

namespace weft::internal {

void fail(int error, Words words) {
  if (error == EBADF || error == ECANCELED) unless_cancelled(error);
  throw_system_error({error, std::generic_category()}, words);
}

int unless_cancelled(int error) {
  const Fiber* const self = current_fiber();
  if (self && cancellation_due(*self)) refuse_wait();
  return error;
}

int checked(int result, Words words) {
  if (result < 0) fail(errno, words);
  return result;
}

}  // namespace weft::internal
