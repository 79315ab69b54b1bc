#include "weft/fiber/core/unhandled.h"

#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "weft/fiber/core/fiber.h"

namespace weft::internal {

namespace {

// "weft: nobody took the exception of fiber 3 "name": what it says". `fiber` may be null.
void print(const char* sentence, std::exception_ptr exception, const Fiber* fiber) noexcept {
  const auto say = [&](const char* what) {
    std::fprintf(stderr, "weft: %s%s%s: %s\n", sentence, fiber ? " of " : "",
                 fiber ? FiberLabel(*fiber).text : "", what);
  };
  try {
    std::rethrow_exception(std::move(exception));
  } catch (const std::exception& error) {
    say(error.what());
  } catch (...) {
    say("its type is no std::exception");
  }
}

}  // namespace

void fail_unhandled(std::exception_ptr exception, const Fiber* fiber) noexcept {
  print("nobody took the exception", std::move(exception), fiber);
  std::terminate();
}

void print_further(std::exception_ptr exception, const Fiber* fiber) noexcept {
  print("a further failure", std::move(exception), fiber);
}

void fail_misuse(const char* sentence) noexcept {
  std::fprintf(stderr, "weft: %s\n", sentence);
  std::terminate();
}

void print_line(const char* format, ...) noexcept {
  constexpr std::string_view kPrefix = "weft: ";
  char line[250];
  kPrefix.copy(line, kPrefix.size());
  std::va_list values;
  va_start(values, format);
  const int size =
      std::vsnprintf(line + kPrefix.size(), sizeof(line) - kPrefix.size(), format, values);
  va_end(values);
  // The zero at the end becomes the end of the line.
  const std::size_t end =
      std::min(kPrefix.size() + static_cast<std::size_t>(std::max(size, 0)), sizeof(line) - 1);
  line[end] = '\n';
  // What cannot be said is not said.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line, end + 1);
}

void throw_logic_error(const char* who, const char* what) {
  throw std::logic_error(std::string(who) + what);
}

void throw_invalid_argument(const char* who, const char* what) {
  throw std::invalid_argument(std::string(who) + what);
}

void throw_system_error(int error, const char* what) {
  throw std::system_error(error, std::generic_category(), what);
}

}  // namespace weft::internal
