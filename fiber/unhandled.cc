#include "weft/fiber/unhandled.h"

#include <cstdio>
#include <string>

#include "weft/fiber/fiber.h"

namespace weft {

void fail_unhandled(std::exception_ptr exception, const Fiber* fiber) noexcept {
  std::string who = "a fiber";
  if (fiber) {
    who = "fiber " + std::to_string(fiber->id);
    if (fiber->name_size) who += " \"" + std::string(fiber->name_view()) + "\"";
  }
  std::string what = "its type is no std::exception";
  try {
    std::rethrow_exception(std::move(exception));
  } catch (const std::exception& error) {
    what = error.what();
  } catch (...) {
  }
  std::fprintf(stderr, "weft: nobody took the exception of %s: %s\n", who.c_str(), what.c_str());
  std::terminate();
}

void fail_misuse(const char* sentence) noexcept {
  std::fprintf(stderr, "weft: %s\n", sentence);
  std::terminate();
}

}  // namespace weft
