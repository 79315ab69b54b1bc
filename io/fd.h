#ifndef WEFT_IO_FD_H_
#define WEFT_IO_FD_H_

#include <utility>

namespace weft {

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

}  // namespace weft

#endif  // WEFT_IO_FD_H_
