#include "weft/fiber/core/error.h"

#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <exception>
#include <stdexcept>

namespace weft::internal {

void throw_logic_error(const char* caller, const char* what) {
  throw std::logic_error(std::string(caller) + what);
}

void throw_invalid_argument(const char* caller, const char* what) {
  throw std::invalid_argument(std::string(caller) + what);
}

void throw_system_error(std::error_code error, Words words) {
  std::string what("weft: ");
  for (const std::string_view word : words) what += word;
  throw std::system_error(error, what);
}

std::string decimal(std::int64_t number) { return std::to_string(number); }

std::string in_bytes(std::uint64_t size) { return std::to_string(size) + " bytes"; }

[[gnu::format(printf, 2, 0)]] static void write_line(std::string_view prefix, const char* format,
                                                     std::va_list values) noexcept {
  char line[400];
  prefix.copy(line, prefix.size());
  const int size =
      std::vsnprintf(line + prefix.size(), sizeof(line) - prefix.size(), format, values);
  // The zero at the end becomes the end of the line.
  const std::size_t end =
      std::min(prefix.size() + static_cast<std::size_t>(std::max(size, 0)), sizeof(line) - 1);
  line[end] = '\n';
  // What cannot be said is not said.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line, end + 1);
}

void print_line(const char* format, ...) noexcept {
  std::va_list values;
  va_start(values, format);
  write_line("weft: ", format, values);
  va_end(values);
}

void print_detail(const char* format, ...) noexcept {
  std::va_list values;
  va_start(values, format);
  write_line("    ", format, values);
  va_end(values);
}

void fail_misuse(const char* sentence) noexcept {
  print_line("%s", sentence);
  std::terminate();
}

}  // namespace weft::internal
