#ifndef WEFT_IO_CORE_ERROR_H_
#define WEFT_IO_CORE_ERROR_H_

#include <cerrno>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <system_error>

namespace weft {
namespace internal {}
using namespace internal;
}  // namespace weft
namespace weft::internal {

// How io/ tells of what failed: "weft: connect to 127.0.0.1:80: Connection refused". The words of a
// message are given with the blanks between them, and put together out of line, where it is rare.
using Words = std::initializer_list<std::string_view>;

[[noreturn]] void fail(std::error_code error, Words words);
// One of errno's. If it says that something is closed, see unless_cancelled().
[[noreturn]] void fail(int error, Words words);

// Returns the error of a call that finds its descriptor closed. If the calling fiber is cancelled,
// lets others run and throws Cancelled instead: the descriptor was probably closed for the same
// reason, and a fiber that is cancelled is to end as one.
int unless_cancelled(int error);

// A system call's result; throws what errno says where that is negative.
int checked(int result, Words words);

// std::to_string(), which is inline, and large.
std::string decimal(std::int64_t number);

// "7 bytes".
std::string in_bytes(std::uint64_t size);

// Of a call's result, which is negative where it is an error.
inline std::error_code error_of(long result) noexcept {
  return result < 0 ? std::error_code(static_cast<int>(-result), std::generic_category())
                    : std::error_code();
}

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_ERROR_H_
