#ifndef WEFT_IO_CORE_SOCKET_H_
#define WEFT_IO_CORE_SOCKET_H_

#include <sys/socket.h>
#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "weft/fiber/time.h"

namespace weft::internal {

class Readiness;

// The two kinds of calls on a socket.
enum class Direction : unsigned { kRead = 0, kWrite = 1 };

// Owns a file descriptor. Movable, not copyable; closed on destruction.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    const Fd old(std::exchange(fd_, std::exchange(other.fd_, -1)));
    return *this;
  }
  ~Fd();

  // -1 if it owns no descriptor.
  int get() const noexcept { return fd_; }

  // Gives the descriptor to the caller.
  int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

// The last argument of a call that can fail: the error code that the caller has passed. Without one
// the call throws std::system_error.
class ErrorTo {
 public:
  ErrorTo() = default;
  ErrorTo(std::error_code& code) noexcept : code_(&code) {}

  // Stores the error in the caller's code, or clears that. Returns false if the caller has passed
  // no code, and there is an error: the call has to throw it.
  bool take(std::error_code error) const noexcept {
    if (code_) *code_ = error;
    return code_ || !error;
  }

  // Null by default.
  std::error_code* code() const noexcept { return code_; }

 private:
  std::error_code* code_ = nullptr;
};

// The name of an object in messages, e.g. a path. Unlike a std::string it survives being moved to
// itself.
class Name {
 public:
  Name() = default;
  Name(std::string text) noexcept : text_(std::move(text)) {}
  Name(const Name&) = default;
  Name(Name&&) = default;
  Name& operator=(Name other) noexcept {
    text_.swap(other.text_);
    return *this;
  }

  const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

// A socket of weft's own, non-blocking: what all kinds have in common is how they wait and end.
//
// A call is tried at once, unless the reactor knows that it would be in vain. The descriptor is
// registered when a fiber first has to wait, and again when a fiber of another scheduler has to.
//
// Errors are negative: -EPIPE. Public functions turn them into std::error_code.
class Socket {
 public:
  Socket() = default;
  // Takes over a descriptor, which must be non-blocking.
  explicit Socket(Fd fd) noexcept;
  // REQUIRES, here and for the destructor: no call is in progress on the socket that goes.
  Socket(Socket&& other) noexcept { *this = std::move(other); }
  Socket& operator=(Socket&& other) noexcept;
  ~Socket() { close(); }

  int fd() const noexcept { return fd_.get(); }
  bool is_open() const noexcept { return fd_.get() >= 0; }

  // Closes; calls that wait fail with -ECANCELED. No effect twice.
  void close() noexcept { release(); }

  // The same, but the caller gets the descriptor instead of its being closed.
  Fd release() noexcept;

  // True if a socket of this process owns the descriptor. Numbers from 2^20 on are not known.
  static bool owns(int fd) noexcept;

  // To be called when the descriptors of these numbers were closed behind the backs of their
  // sockets: the numbers are free for others.
  static void disown(int first, int last) noexcept;

  // Runs call() until it succeeds, waiting while it would block, and returns its result. If it
  // fails returns its error, -ECANCELED if close() came meanwhile, or -EBADF if it came before. A
  // cancellation point if it waits, if it finds the socket closed, and now and then otherwise.
  //
  // `full`, if not zero, is the most that a stream's call transfers: a call that transfers less has
  // used up what there was, so that the next one waits without a call in vain.
  // REQUIRES: call() returns -1 and sets errno, as system calls do; and the fiber does not wait
  // between the system call that finds EAGAIN and the return of call().
  //
  // Defined in attempt.h.
  template <class Call>
  ssize_t attempt(Direction direction, const char* what, Call call, std::size_t full = 0);

  // Waits until a call is worth trying: 0, or an error as above, or -ETIMEDOUT.
  // Throws std::logic_error outside fibers.
  int wait(Direction direction, TimePoint deadline, const char* what);

  // Makes the next call let others run, and look for a cancellation.
  void look_next_time() noexcept { streak_ = kLongestStreak; }

  // Registers the socket with this thread's reactor, so that a wait cannot fail: 0 or a negative
  // error. Throws std::logic_error, naming `what`, outside runtimes.
  int prepare(Direction direction, const char* what);

 private:
  static void note_owned(int fd, bool is_owned) noexcept;
  int begin_slowly();

  // After this many calls without a wait a fiber lets others run, and looks for a cancellation: its
  // peer may never make it wait. Each call also counts as a resumption; if calls take long the loop
  // looks earlier.
  static constexpr unsigned kLongestStreak = 32;

  Fd fd_;
  unsigned streak_ = 0;
  Readiness* readiness_ = nullptr;  // null until a fiber has had to wait
};

// Returns a new non-blocking socket of this family and type. If it fails, returns an empty Fd and
// sets errno. Outside runtimes it fills the standard descriptors first.
Fd new_socket(int family, int type);

// Set an option, or return one of SOL_SOCKET. Throw std::system_error, naming the object.
void set_option(int fd, int level, int option, int value, std::string_view object);
int get_option(int fd, int option, std::string_view object);

// Makes a descriptor non-blocking, so that a Socket can take it over. Throws std::system_error,
// naming adopt and the descriptor, and changes nothing, if it is no socket of this family, where
// AF_INET stands for IPv6, too, and of this type, or if a Socket owns it. With `peer` it must be
// connected: writes as much of its peer's address as fits `size`, and returns the full size of
// that. A stream socket without `peer` must listen.
socklen_t prepare_to_adopt(int fd, int family, int type, sockaddr* peer = nullptr,
                           socklen_t size = 0);

// Opens /dev/null as each of stdin, stdout and stderr that is closed. Otherwise the next descriptor
// would get that number, and the program's output would go into a user's socket or file. If there
// is no /dev/null, as in some chroots, the root directory takes the number: reading and writing
// fail.
//
// Does not wait. Throws std::system_error, naming /dev/null, if neither can be opened. Three system
// calls if all are open.
void fill_standard_descriptors();

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_SOCKET_H_
