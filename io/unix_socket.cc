#include "weft/io/unix_socket.h"

#include <sys/socket.h>

#include <cerrno>

#include "weft/fiber/core/running.h"
#include "weft/io/core/accept.h"
#include "weft/io/core/adopt.h"
#include "weft/io/core/back_off.h"
#include "weft/io/core/error.h"
#include "weft/io/core/unix_address.h"

namespace weft {

// ---- UnixStream ---------------------------------------------------------------------------------

UnixStream UnixStream::connect(std::string_view path, std::error_code& error) {
  const internal::UnixAddress address(path, "connect to ");
  internal::count_wait();
  for (internal::BackOff room(internal::kUnixBackOff);; room.wait()) {
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
  auto [first, second] = internal::unix_pair(SOCK_STREAM);
  return {UnixStream(std::move(first), "the other end of a pair"),
          UnixStream(std::move(second), "the other end of a pair")};
}

UnixStream UnixStream::adopt(int fd) {
  internal::UnixAddress peer;
  peer.size = internal::prepare_to_adopt(fd, {.local = true}, peer.data(), peer.kMaxSize);
  std::string name = peer.path();
  if (name.empty()) name = "the peer of " + internal::local_path_of(fd);
  return UnixStream(internal::Fd(fd), std::move(name));
}

// ---- UnixListener -------------------------------------------------------------------------------

UnixListener::UnixListener(std::string_view path, UnixListenerOptions options)
    : socket_(internal::bound_unix_socket(SOCK_STREAM, {path, "bind to "}, file_)),
      path_(std::string(path)) {
  internal::checked(::listen(native_handle(), options.backlog), {"listen on ", path});
}

UnixListener UnixListener::adopt(int fd) {
  internal::prepare_to_adopt(fd, {.local = true, .listens = true});
  UnixListener listener;
  listener.path_ = internal::local_path_of(fd);
  listener.socket_ = internal::Socket(internal::Fd(fd));
  return listener;
}

int UnixListener::release() noexcept {
  internal::keep(file_);
  file_.reset();
  return socket_.release().release();
}

UnixStream UnixListener::accept(std::error_code& error) {
  return UnixStream(internal::accept(socket_, path(), nullptr, 0, error), "a peer of " + path());
}

UnixStream UnixListener::accept() {
  return internal::or_throw({"accept on ", path()},
                            [this](std::error_code& error) { return accept(error); });
}

}  // namespace weft
