#ifndef WEFT_IO_CORE_LISTENER_H_
#define WEFT_IO_CORE_LISTENER_H_

#include <sys/socket.h>

#include <chrono>
#include <string>
#include <system_error>
#include <utility>

#include "weft/fiber/time.h"
#include "weft/io/core/back_off.h"
#include "weft/io/core/fd.h"
#include "weft/io/core/socket.h"

namespace weft::internal {

// What TcpListener and UnixListener have in common: a listening socket, and accept().
class Listener {
 public:
  Listener() = default;
  // `fd` listens already. `name` is for messages.
  Listener(Fd fd, std::string name) : socket_(std::move(fd)), name_(std::move(name)) {}
  Listener(Listener&&) = default;
  Listener& operator=(Listener&& other) noexcept {
    if (this == &other) return *this;  // or else its name would be lost
    socket_ = std::move(other.socket_);
    name_ = std::move(other.name_);
    last_shortage_ = other.last_shortage_;
    return *this;
  }

  // The next connection, non-blocking, and its address as far as it fits `size`; -1 and an error.
  Fd accept(sockaddr* address, socklen_t size, std::error_code& error);

  void close() noexcept { socket_.close(); }
  bool is_open() const noexcept { return socket_.is_open(); }
  int fd() const noexcept { return socket_.fd(); }
  const std::string& name() const noexcept { return name_; }

 private:
  void report(int shortage);

  Socket socket_;
  std::string name_;
  TimePoint last_shortage_{};  // of descriptors or memory
  // Until the next try. The listener stays readable, and no event reports that another part of the
  // process has closed a descriptor.
  BackOff back_off_{std::chrono::milliseconds(10)};
};

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_LISTENER_H_
