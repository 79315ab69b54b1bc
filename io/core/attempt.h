#ifndef WEFT_IO_CORE_ATTEMPT_H_
#define WEFT_IO_CORE_ATTEMPT_H_

#include <cerrno>

#include "weft/fiber/core/running.h"
#include "weft/io/core/readiness.h"
#include "weft/io/core/socket.h"

namespace weft::internal {

// Inlined with all that is frequent in it: the processor mispredicts a return that follows a system
// call or a switch.
template <class Call>
[[gnu::always_inline]] inline ssize_t Socket::attempt(Direction direction, const char* what,
                                                      Call call, std::size_t full) {
  if (!is_open() || ++streak_ >= kLongestStreak || count_down()) [[unlikely]] {
    if (const int error = begin_slowly()) return error;
  }
  for (;;) {
    if (!readiness_ || readiness_->ready(direction)) {
      const ssize_t result = call();
      if (result >= 0) [[likely]] {
        if (static_cast<std::size_t>(result) < full && result > 0 && readiness_ &&
            !readiness_->ended(direction)) {
          readiness_->used_up(direction);
        }
        return result;
      }
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return -errno;
      if (readiness_) readiness_->used_up(direction);
    }
    if (const int error = wait(direction, kForever, what)) return error;
  }
}

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_ATTEMPT_H_
