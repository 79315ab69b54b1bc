#ifndef WEFT_IO_ERROR_H_
#define WEFT_IO_ERROR_H_

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

namespace weft {

// How io/ tells of what failed: "weft: connect to 127.0.0.1:80: Connection refused".

inline std::error_code last_error() noexcept { return {errno, std::generic_category()}; }

// Of a call's result, which is negative where it is an error.
inline std::error_code error_of(long result) noexcept {
  return result < 0 ? std::error_code(static_cast<int>(-result), std::generic_category())
                    : std::error_code();
}

[[noreturn]] inline void fail(std::error_code error, std::string_view call,
                              std::string_view object = {}) {
  std::string what("weft: ");
  what.append(call);
  if (!object.empty()) what.append(" ").append(object);
  throw std::system_error(error, what);
}

}  // namespace weft

#endif  // WEFT_IO_ERROR_H_
