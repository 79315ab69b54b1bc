#ifndef WEFT_IO_SOCKET_H_
#define WEFT_IO_SOCKET_H_

#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <system_error>
#include <utility>

#include "weft/fiber/time.h"
#include "weft/io/fd.h"
#include "weft/io/readiness.h"

namespace weft {

// A socket of weft's own, non-blocking. What all kinds have in common: waiting, and the end.
//
// A call is tried at once, unless the reactor knows that it would be in vain. The descriptor is
// registered with the reactor of the first fiber that has to wait.
class Socket {
 public:
  Socket() = default;
  // Takes over a descriptor, which must be non-blocking.
  explicit Socket(Fd fd) noexcept : fd_(std::move(fd)) {}
  // REQUIRES, here and for the destructor: no call is under way on what goes.
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;
  ~Socket() { close(); }

  int fd() const noexcept { return fd_.get(); }
  bool is_open() const noexcept { return fd_.get() >= 0; }

  // Wakes everybody who waits, and closes. No effect twice.
  void close() noexcept;

  // Runs call() until it succeeds, waiting while it would block, and returns its result; or -1,
  // and `error` tells why: what errno says; operation_canceled if close() came meanwhile,
  // bad_file_descriptor if it came before. A cancellation point where it waits, and now and then
  // where it does not.
  //
  // `full`, if not zero, is what a stream's call at most transfers: one that transfers less has
  // used up what there was, so that the next one waits without a call in vain.
  // REQUIRES: call() returns -1 and sets errno, as system calls do.
  template <class Call>
  ssize_t attempt(Direction direction, const char* what, std::error_code& error, Call call,
                  std::size_t full = 0) {
    if (!begin(error)) return -1;
    for (;;) {
      const Readiness::Look look = readiness_ ? readiness_->look(direction) : Readiness::Look();
      if (look.ready()) {
        const ssize_t result = call();
        if (result >= 0) [[likely]] {
          // Of the end there may be no second event.
          if (static_cast<std::size_t>(result) < full && result > 0 && !look.ended()) {
            used_up(direction, look);
          }
          return result;
        }
        if (errno == EINTR) continue;
        if (errno != EAGAIN) {
          error.assign(errno, std::generic_category());
          return -1;
        }
        used_up(direction, look);
      }
      if (!wait(direction, kForever, what, error)) return -1;
    }
  }

  // Waits until a call is worth trying. Else false, and an error: as above, or timed_out.
  // Throws std::logic_error outside fibers.
  bool wait(Direction direction, TimePoint deadline, const char* what, std::error_code& error);

 private:
  bool begin(std::error_code& error) {
    if (is_open() && ++streak_ < kLongestStreak) [[likely]]
      return true;
    return begin_slowly(error);
  }
  bool begin_slowly(std::error_code& error);
  void used_up(Direction direction, const Readiness::Look& look) noexcept {
    if (readiness_) readiness_->used_up(direction, look);
  }

  // After so many calls without a wait a fiber lets others run: its peer may never make it wait.
  static constexpr unsigned kLongestStreak = 32;

  Fd fd_;
  unsigned streak_ = 0;
  Readiness* readiness_ = nullptr;  // null: nobody has had to wait yet
};

}  // namespace weft

#endif  // WEFT_IO_SOCKET_H_
