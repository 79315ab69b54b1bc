#include "weft/io/datagram_socket.h"

#include <cerrno>

#include "weft/io/core/attempt.h"
#include "weft/io/core/error.h"

namespace weft {

using internal::Direction;

ssize_t DatagramSocket::send_message(ConstBuffer datagram, const sockaddr* to, socklen_t size,
                                     const char* call) {
  return socket_.attempt(Direction::kWrite, call, [&] {
    const void* const data = datagram.data();
    const ssize_t sent = to ? sendto(socket_.fd(), data, datagram.size(), MSG_NOSIGNAL, to, size)
                            : ::send(socket_.fd(), data, datagram.size(), MSG_NOSIGNAL);
    // An event would be that of this socket's own buffer.
    if (sent < 0 && errno == EAGAIN && to && to->sa_family == AF_UNIX) errno = ENOBUFS;
    return sent;
  });
}

void DatagramSocket::send(ConstBuffer datagram, internal::ErrorTo error) {
  const ssize_t result = send_message(datagram, nullptr, 0, "send");
  if (!error.take(internal::error_of(result)))
    internal::fail(static_cast<int>(-result), {"send on ", name_.text()});
}

DatagramSocket::Message DatagramSocket::receive_message(MutableBuffer buffer, sockaddr* sender,
                                                        socklen_t room, const char* call,
                                                        internal::ErrorTo error) {
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_name = sender;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ssize_t size = socket_.attempt(Direction::kRead, call, [&] {
    message.msg_namelen = room;
    return recvmsg(socket_.fd(), &message, 0);
  });
  const bool truncated = (message.msg_flags & MSG_TRUNC) != 0;
  if (truncated && !sender) size = -EMSGSIZE;
  if (!error.take(internal::error_of(size)))
    internal::fail(static_cast<int>(-size), {call, " on ", name_.text()});
  if (size < 0) return {};
  return {static_cast<std::size_t>(size), message.msg_namelen, truncated};
}

}  // namespace weft
