#ifndef WEFT_IO_CORE_FD_H_
#define WEFT_IO_CORE_FD_H_

#include <string>
#include <utility>

namespace weft::internal {

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

  // -1 if it owns none.
  int get() const noexcept { return fd_; }

 private:
  int fd_ = -1;
};

// What messages call an object, such as a path. Other than a std::string it survives being moved to
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
// that is opened gets the number, and what is printed goes into a user's socket or file. Where
// there is no /dev/null, as in some chroots, the root directory takes the number, so that reading
// and writing fail.
//
// Does not wait. Throws std::system_error, naming /dev/null, if neither can be opened. Three system
// calls where all are open.
void fill_standard_descriptors();

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_FD_H_
