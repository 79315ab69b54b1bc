#ifndef WEFT_TESTS_SUPPORT_PIPE_H_
#define WEFT_TESTS_SUPPORT_PIPE_H_

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>

#include "weft/io/core/socket.h"

namespace weft::test {

using namespace internal;

// Descriptors that weft knows nothing of.
struct BarePipe {
  explicit BarePipe(int flags = 0) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | flags) != 0) throw std::runtime_error("pipe2 failed");
    read_end = Fd(ends[0]);
    write_end = Fd(ends[1]);
  }
  int in() const { return read_end.get(); }
  int out() const { return write_end.get(); }
  void put(std::string_view text) const {
    if (write(out(), text.data(), text.size()) != std::ssize(text)) {
      throw std::runtime_error("write failed");
    }
  }
  std::string take(std::size_t room = 100) const {
    std::string text(room, '?');
    const ssize_t size = read(in(), text.data(), room);
    text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return text;
  }
  // REQUIRES: O_NONBLOCK.
  void fill() const {
    const std::string bytes(4096, 'x');
    while (write(out(), bytes.data(), bytes.size()) > 0) {
    }
  }

  Fd read_end, write_end;
};

// Two sockets that are connected to each other.
struct Ends {
  Ends() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
      throw std::runtime_error("socketpair failed");
    }
    first = Fd(ends[0]);
    second = Fd(ends[1]);
  }
  Fd first, second;
};

// How often the descriptor is registered with an epoll instance of this process.
inline int registrations(int fd) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fdinfo")) {
    std::ifstream file(entry.path());
    for (std::string word; file >> word;) {
      int number = -1;
      if (word == "tfd:" && file >> number) count += number == fd;
    }
  }
  return count;
}

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_PIPE_H_
