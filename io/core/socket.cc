#include "weft/io/core/socket.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "weft/io/core/error.h"

namespace weft::internal {
namespace {

// A bit for each descriptor: whether a Socket owns it. Pages that are not touched take no memory.
constexpr int kMostKnown = 1 << 20;
constinit std::atomic<std::uint64_t> owned[kMostKnown / 64];

bool is_known(int fd) noexcept { return fd >= 0 && fd < kMostKnown; }
std::atomic<std::uint64_t>& word_of(int fd) noexcept { return owned[fd / 64]; }
std::uint64_t bit_of(int fd) noexcept { return std::uint64_t{1} << fd % 64; }

}  // namespace

Fd::~Fd() {
  // Linux closes the descriptor whatever close() returns: a second try might close another one.
  if (fd_ >= 0) close(fd_);
}

// Relaxed, all three: a descriptor's number comes to another thread by an exchange of its own, or
// by the kernel.
Socket::Socket(Fd fd) noexcept : fd_(std::move(fd)) {
  if (is_known(fd_.get())) {
    word_of(fd_.get()).fetch_or(bit_of(fd_.get()), std::memory_order_relaxed);
  }
}

void Socket::disown(int fd) noexcept {
  if (is_known(fd)) word_of(fd).fetch_and(~bit_of(fd), std::memory_order_relaxed);
}

bool Socket::owns(int fd) noexcept {
  return is_known(fd) && word_of(fd).load(std::memory_order_relaxed) & bit_of(fd);
}

void fill_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
    // It gets the lowest free number. Not O_CLOEXEC: programs that are started need it, too.
    int opened = open("/dev/null", O_RDWR);
    if (opened < 0) opened = open("/", O_PATH);
    checked(opened, {"open of /dev/null, as descriptor ", decimal(fd), " is closed"});
    if (opened != fd) close(opened);  // another thread was faster
  }
}

}  // namespace weft::internal
