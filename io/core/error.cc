#include "weft/io/core/error.h"

#include "weft/fiber/core/fiber.h"
#include "weft/fiber/scheduler.h"

namespace weft::internal {

void fail(std::error_code error, Words words) {
  std::string what("weft: ");
  for (const std::string_view word : words) what += word;
  throw std::system_error(error, what);
}

void fail(int error, Words words) {
  if (error == EBADF || error == ECANCELED) unless_cancelled(error);
  fail({error, std::generic_category()}, words);
}

int unless_cancelled(int error) {
  const Fiber* const self = Scheduler::current_fiber();
  if (self && cancellation_due(*self)) Scheduler::refuse_wait();
  return error;
}

int checked(int result, Words words) {
  if (result < 0) fail(errno, words);
  return result;
}

std::string decimal(std::int64_t number) { return std::to_string(number); }

std::string in_bytes(std::uint64_t size) { return std::to_string(size) + " bytes"; }

}  // namespace weft::internal
