#ifndef WEFT_FIBER_CORE_ERROR_H_
#define WEFT_FIBER_CORE_ERROR_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <system_error>

namespace weft::internal {

// How weft reports what went wrong: by an exception, a line on stderr, or the end of the program.
// A check that calls one of these takes less code than one that throws.

// Throw the exception of this name. Its text is `caller` and `what`, one after the other.
[[noreturn]] void throw_logic_error(const char* caller, const char* what = "");
[[noreturn]] void throw_invalid_argument(const char* caller, const char* what = "");

// The parts of a message, with the blanks between them.
using Words = std::initializer_list<std::string_view>;

// Throws std::system_error: "weft: connect to 127.0.0.1:80: Connection refused".
[[noreturn]] void throw_system_error(std::error_code error, Words words);

// The error of a result that is negative if it is one, such as -EPIPE; else no error.
inline std::error_code error_of(long result) noexcept {
  return result < 0 ? std::error_code(static_cast<int>(-result), std::generic_category())
                    : std::error_code();
}

// std::to_string(), which is inline, and large.
std::string decimal(std::int64_t number);

// "7 bytes".
std::string in_bytes(std::uint64_t size);

// Gives a text, without the end of its last line, to the handler that set_report_handler() has set;
// else writes it to stderr, by one write() if the kernel takes it so. May not be called in a
// handler for signals.
void report(std::string_view text) noexcept;

// The same, to stderr. Safe in a handler for signals.
void write_report(std::string_view text) noexcept;

// Reports "weft: " and what the format of printf says. Takes little of the stack. Cut to 250 bytes.
[[gnu::format(printf, 1, 2)]] void print_line(const char* format, ...) noexcept;

// Prints a sentence and ends the program: for misuse after which it would hang or corrupt memory.
[[noreturn]] void fail_misuse(const char* sentence) noexcept;

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_ERROR_H_
