#ifndef WEFT_IO_CORE_FD_H_
#define WEFT_IO_CORE_FD_H_

#include <string>
#include <utility>

namespace weft::internal {

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

 private:
  int fd_ = -1;
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

// Opens /dev/null as each of stdin, stdout and stderr that is closed. Otherwise the next descriptor
// would get that number, and the program's output would go into a user's socket or file. If there
// is no /dev/null, as in some chroots, the root directory takes the number: reading and writing
// fail.
//
// Does not wait. Throws std::system_error, naming /dev/null, if neither can be opened. Three system
// calls if all are open.
void fill_standard_descriptors();

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_FD_H_
