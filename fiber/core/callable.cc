#include "weft/fiber/core/callable.h"

#include <cstdio>

#include "weft/fiber/core/error.h"

namespace weft::internal {

void fail_null_callable(const char* caller) {
  char who[100];
  std::snprintf(who, sizeof(who), "weft::%s", caller);
  throw_invalid_argument(who, ": the callable is null");
}

}  // namespace weft::internal
