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
  throw_if_cancelled();
  return error;
}

int checked(int result, Words words) {
  if (result < 0) fail(errno, words);
  return result;
}

}  // namespace weft::internal
