// A descriptor that is closed when its owner is destroyed: for the raw server and the load.
#ifndef WEFT_BENCH_LIB_ECHO_FD_H_
#define WEFT_BENCH_LIB_ECHO_FD_H_

#include <unistd.h>

#include <utility>

namespace weft::bench {

class Fd {
 public:
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }

  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

}  // namespace weft::bench

#endif  // WEFT_BENCH_LIB_ECHO_FD_H_
