#ifndef WEFT_IO_CORE_SOCKET_H_
#define WEFT_IO_CORE_SOCKET_H_

#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <utility>

#include "weft/fiber/core/running.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/time.h"
#include "weft/io/core/fd.h"
#include "weft/io/core/readiness.h"

namespace weft::internal {

// A socket of weft's own, non-blocking. What all kinds have in common: waiting, and the end.
//
// A call is tried at once, unless the reactor knows that it would be in vain. The descriptor is
// registered when a fiber first has to wait, and anew when that is one of another scheduler.
//
// Errors are negative: -EPIPE. They become std::error_code where they leave weft.
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

  // Runs call() until it succeeds, waiting while it would block, and returns its result; or an
  // error: that of the call; -ECANCELED if close() came meanwhile, -EBADF if it came before. A
  // cancellation point where it waits, where it finds the socket closed, and now and then where it
  // does neither.
  //
  // `full`, if not zero, is what a stream's call at most transfers: one that transfers less has
  // used up what there was, so that the next one waits without a call in vain.
  // REQUIRES: call() returns -1 and sets errno, as system calls do; and the fiber does not stop
  // between what finds EAGAIN and call()'s return.
  //
  // Inlined with what it calls, and everything rare apart from it: a return that follows a system
  // call or a switch is one that the processor predicts wrong.
  template <class Call>
  [[gnu::always_inline]] ssize_t attempt(Direction direction, const char* what, Call call,
                                         std::size_t full = 0) {
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

  // Waits until a call is worth trying: 0, or an error as above, or -ETIMEDOUT.
  // Throws std::logic_error outside fibers.
  int wait(Direction direction, TimePoint deadline, const char* what);

  // The next call is one that lets others run, and looks for a cancellation.
  void look_next_time() noexcept { streak_ = kLongestStreak; }

  // Does ahead what the first wait would do and may fail at: 0 or a negative error.
  // REQUIRES: the thread runs a reactor, and nobody has waited yet.
  int prepare(Direction direction);

 private:
  int begin_slowly();
  int register_here(Direction direction, const char* what);

  // After so many calls without a wait a fiber lets others run, and looks for a cancellation: its
  // peer may never make it wait. Each call also counts as a resumption; where they take long the
  // loop looks earlier.
  static constexpr unsigned kLongestStreak = 32;

  Fd fd_;
  unsigned streak_ = 0;
  Readiness* readiness_ = nullptr;  // null: nobody has had to wait yet
};

// A new non-blocking descriptor of this family and type; if there is none, an empty one and errno.
// Outside runtimes it fills the standard descriptors first.
Fd new_socket(int family, int type);

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_SOCKET_H_
