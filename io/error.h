#ifndef WEFT_IO_ERROR_H_
#define WEFT_IO_ERROR_H_

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

namespace weft {

// How io/ tells of what failed: "weft: connect to 127.0.0.1:80: Connection refused".

inline std::error_code last_error() noexcept { return {errno, std::generic_category()}; }

[[noreturn]] inline void fail(std::error_code error, std::string_view call,
                              std::string_view object = {}) {
  std::string what("weft: ");
  what.append(call);
  if (!object.empty()) what.append(" ").append(object);
  throw std::system_error(error, what);
}

}  // namespace weft

#endif  // WEFT_IO_ERROR_H_
