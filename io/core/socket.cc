#include "weft/io/core/socket.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "weft/io/core/error.h"

namespace weft::internal {
namespace {

// By descriptor: whether a Socket owns it. Pages that are not touched take no memory. Relaxed: a
// number comes to another thread together with its socket, or from the kernel.
constexpr unsigned kMostKnown = 1 << 20;
constinit bool owned[kMostKnown];

}  // namespace

Fd::~Fd() {
  // Linux closes the descriptor whatever close() returns: a second try might close another one.
  if (fd_ >= 0) close(fd_);
}

Socket::Socket(Fd fd) noexcept : fd_(std::move(fd)) { note_owned(fd_.get(), true); }

void Socket::note_owned(int fd, bool is_owned) noexcept {
  const auto place = static_cast<unsigned>(fd);
  if (place < kMostKnown) std::atomic_ref(owned[place]).store(is_owned, std::memory_order_relaxed);
}

bool Socket::owns(int fd) noexcept {
  const auto place = static_cast<unsigned>(fd);
  return place < kMostKnown && std::atomic_ref(owned[place]).load(std::memory_order_relaxed);
}

void Socket::disown(int first, int last) noexcept {
  bool* const end = owned + std::min(static_cast<unsigned>(last) + 1, kMostKnown);
  for (bool* at = owned + std::min(static_cast<unsigned>(first), kMostKnown); at < end; ++at) {
    // Nearly all are false, and memchr() is the fastest way past these.
    at = static_cast<bool*>(std::memchr(at, true, static_cast<std::size_t>(end - at)));
    if (!at) return;
    std::atomic_ref(*at).store(false, std::memory_order_relaxed);
  }
}

void set_option(int fd, int level, int option, int value, std::string_view object) {
  checked(setsockopt(fd, level, option, &value, sizeof(value)), {"setsockopt for ", object});
}

int get_option(int fd, int option, std::string_view object) {
  int value = 0;
  socklen_t size = sizeof(value);
  checked(getsockopt(fd, SOL_SOCKET, option, &value, &size), {object});
  return value;
}

socklen_t prepare_to_adopt(int fd, int family, int type, sockaddr* peer, socklen_t size) {
  const std::string name = "adopt of descriptor " + decimal(fd);
  if (Socket::owns(fd)) fail(EBUSY, {name, ", a socket of weft's"});
  const int domain = get_option(fd, SO_DOMAIN, name);
  if ((domain == AF_INET6 ? AF_INET : domain) != family) fail(EAFNOSUPPORT, {name});
  if (get_option(fd, SO_TYPE, name) != type) fail(EPROTOTYPE, {name});
  const bool listens = get_option(fd, SO_ACCEPTCONN, name) != 0;
  if (listens != (type == SOCK_STREAM && !peer))
    fail(EINVAL, {name, listens ? ": it listens" : ": it does not listen"});
  if (peer) checked(getpeername(fd, peer, &size), {name});
  const int flags = checked(fcntl(fd, F_GETFL), {name});
  checked(fcntl(fd, F_SETFL, flags | O_NONBLOCK), {name});
  return size;
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
