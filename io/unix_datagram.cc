#include "weft/io/unix_datagram.h"

#include <sys/socket.h>

#include <cerrno>
#include <chrono>

#include "weft/io/core/adopt.h"
#include "weft/io/core/attempt.h"
#include "weft/io/core/back_off.h"
#include "weft/io/core/error.h"
#include "weft/io/core/unix_address.h"

namespace weft {

using internal::UnixAddress;

UnixDatagram::UnixDatagram(std::string_view path) {
  const UnixAddress address = path.empty() ? UnixAddress() : UnixAddress(path, "bind to ");
  socket_ = internal::Socket(internal::bound_unix_socket(SOCK_DGRAM, address, file_));
  name_ = this->path();
}

std::pair<UnixDatagram, UnixDatagram> UnixDatagram::pair() {
  auto [first, second] = internal::unix_pair(SOCK_DGRAM);
  return {UnixDatagram(std::move(first), "one of a pair"),
          UnixDatagram(std::move(second), "one of a pair")};
}

UnixDatagram UnixDatagram::adopt(int fd) {
  internal::prepare_to_adopt(fd, {.local = true, .type = SOCK_DGRAM});
  std::string name = internal::local_path_of(fd);
  return UnixDatagram(internal::Fd(fd), std::move(name));
}

void UnixDatagram::connect(std::string_view path) {
  const UnixAddress to(path, "connect to ");
  internal::checked(::connect(native_handle(), to.data(), to.size), {"connect to ", path});
}

void UnixDatagram::send_to(ConstBuffer datagram, std::string_view path, std::error_code& error) {
  const UnixAddress to(path, "send_to ");
  internal::BackOff room(internal::kUnixBackOff);
  for (;;) {
    ssize_t result = socket_.attempt(internal::Direction::kWrite, "send_to", [&] {
      const ssize_t size =
          sendto(socket_.fd(), datagram.data(), datagram.size(), MSG_NOSIGNAL, to.data(), to.size);
      if (size < 0 && errno == EAGAIN) errno = ENOBUFS;  // an event would be this socket's own
      return size;
    });
    if (result == -ENOBUFS) {
      room.wait();
      if (is_open()) continue;
      result = internal::unless_cancelled(-ECANCELED);
    }
    error = internal::error_of(result);
    return;
  }
}

void UnixDatagram::send_to(ConstBuffer datagram, std::string_view path) {
  std::error_code error;
  send_to(datagram, path, error);
  if (error) internal::throw_system_error(error, {"send_to ", path});
}

UnixDatagram::Received UnixDatagram::receive_from(MutableBuffer buffer, std::error_code& error) {
  UnixAddress from;
  const Message message =
      receive_message(buffer, from.data(), UnixAddress::kMaxSize, "receive_from");
  error = internal::error_of(message.size);
  if (error) return {};
  from.size = message.sender_size;
  return {static_cast<std::size_t>(message.size), from.path(), message.truncated};
}

UnixDatagram::Received UnixDatagram::receive_from(MutableBuffer buffer) {
  return internal::or_throw({"receive_from on ", name_.text()},
                            [&](std::error_code& error) { return receive_from(buffer, error); });
}

std::string UnixDatagram::path() const { return internal::local_path_of(native_handle()); }

void UnixDatagram::close() noexcept {
  file_.reset();
  socket_.close();
}

int UnixDatagram::release() noexcept {
  internal::keep(file_);
  file_.reset();
  return DatagramSocket::release();
}

}  // namespace weft
