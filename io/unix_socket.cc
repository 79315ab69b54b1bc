#include "weft/io/unix_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "weft/fiber/core/running.h"
#include "weft/io/core/accept.h"
#include "weft/io/core/back_off.h"
#include "weft/io/core/error.h"
#include "weft/io/core/reactor.h"

namespace weft {
namespace {

// No event reports that a backlog has room again.
constexpr Duration kBackOff = std::chrono::milliseconds(1);

struct UnixAddress {
  sockaddr_un address{};
  socklen_t size = 0;

  const sockaddr* data() const noexcept { return reinterpret_cast<const sockaddr*>(&address); }
  bool abstract() const noexcept { return address.sun_path[0] == '\0'; }
};

UnixAddress unix_address(std::string_view path, const char* call) {
  UnixAddress result;
  result.address.sun_family = AF_UNIX;
  if (path.empty() || path.find('\0') != std::string_view::npos) {
    internal::fail(EINVAL, {call, "\"", path, "\""});
  }
  if (path.size() >= sizeof(result.address.sun_path)) internal::fail(ENAMETOOLONG, {call, path});
  std::memcpy(result.address.sun_path, path.data(), path.size());
  result.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  if (path.front() == '@') {
    result.address.sun_path[0] = '\0';
  } else {
    ++result.size;
  }
  return result;
}

internal::Fd new_socket(std::string_view path) {
  internal::Fd fd = internal::new_socket(AF_UNIX, SOCK_STREAM);
  internal::checked(fd.get(), {"socket for ", path});
  return fd;
}

// True if there is a socket file that no process listens on.
bool is_left_over(const UnixAddress& address, std::string_view path) {
  struct stat info {};
  if (address.abstract() || lstat(address.address.sun_path, &info) != 0) return false;
  if (!S_ISSOCK(info.st_mode)) return false;
  const internal::Fd probe = new_socket(path);
  return connect(probe.get(), address.data(), address.size) != 0 && errno == ECONNREFUSED;
}

}  // namespace

// ---- UnixStream ---------------------------------------------------------------------------------

UnixStream UnixStream::connect(std::string_view path, std::error_code& error) {
  const UnixAddress address = unix_address(path, "connect to ");
  internal::count_wait();
  for (internal::BackOff room(kBackOff);; room.wait()) {
    UnixStream stream(internal::new_socket(AF_UNIX, SOCK_STREAM), std::string(path));
    const bool connected =
        stream.is_open() && ::connect(stream.native_handle(), address.data(), address.size) == 0;
    if (!connected && errno == EAGAIN) continue;
    error = connected ? std::error_code() : internal::error_of(-errno);
    return connected ? std::move(stream) : UnixStream();
  }
}

UnixStream UnixStream::connect(std::string_view path) {
  return internal::or_throw({"connect to ", path},
                            [&](std::error_code& error) { return connect(path, error); });
}

std::pair<UnixStream, UnixStream> UnixStream::pair() {
  if (!internal::current_reactor) internal::fill_standard_descriptors();
  int ends[2];
  internal::checked(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends),
                    {"socketpair"});
  return {UnixStream(internal::Fd(ends[0]), "the other end of a pair"),
          UnixStream(internal::Fd(ends[1]), "the other end of a pair")};
}

// ---- UnixListener -------------------------------------------------------------------------------

// Removes the file at its end, unless another one has its path by then.
struct UnixListener::SocketFile {
  explicit SocketFile(std::string_view its_path) : path(its_path) { lstat(path.c_str(), &info); }
  ~SocketFile() {
    struct stat now {};
    if (process.is_this() && lstat(path.c_str(), &now) == 0 && now.st_dev == info.st_dev &&
        now.st_ino == info.st_ino) {
      unlink(path.c_str());
    }
  }

  const std::string path;
  const internal::HomeProcess process;
  struct stat info {};
};

UnixListener::UnixListener(std::string_view path, UnixListenerOptions options)
    : socket_(new_socket(path)), path_(std::string(path)) {
  const UnixAddress address = unix_address(path, "bind to ");
  int result = bind(native_handle(), address.data(), address.size);
  if (result != 0 && errno == EADDRINUSE) {
    if (is_left_over(address, path)) unlink(address.address.sun_path);
    result = bind(native_handle(), address.data(), address.size);
  }
  internal::checked(result, {"bind to ", path});
  if (!address.abstract()) file_ = std::make_shared<const SocketFile>(path);
  internal::checked(::listen(native_handle(), options.backlog), {"listen on ", path});
}

UnixStream UnixListener::accept(std::error_code& error) {
  return UnixStream(internal::accept(socket_, path(), nullptr, 0, error), "a peer of " + path());
}

UnixStream UnixListener::accept() {
  return internal::or_throw({"accept on ", path()},
                            [this](std::error_code& error) { return accept(error); });
}

}  // namespace weft
