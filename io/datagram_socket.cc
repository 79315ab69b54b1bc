#include "weft/io/datagram_socket.h"

#include <cerrno>

#include "weft/io/core/attempt.h"
#include "weft/io/core/error.h"

namespace weft {

using internal::Direction;

DatagramSocket::Message DatagramSocket::receive_message(MutableBuffer buffer, void* sender,
                                                        socklen_t room, const char* what) {
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_name = sender;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  const ssize_t size = socket_.attempt(Direction::kRead, what, [&] {
    message.msg_namelen = room;
    return recvmsg(socket_.fd(), &message, 0);
  });
  return {size, message.msg_namelen, (message.msg_flags & MSG_TRUNC) != 0};
}

void DatagramSocket::send(ConstBuffer datagram, std::error_code& error) {
  error = internal::error_of(socket_.attempt(Direction::kWrite, "send", [&] {
    return ::send(socket_.fd(), datagram.data(), datagram.size(), MSG_NOSIGNAL);
  }));
}

void DatagramSocket::send(ConstBuffer datagram) {
  std::error_code error;
  send(datagram, error);
  if (error) internal::throw_system_error(error, {"send on ", name_.text()});
}

std::size_t DatagramSocket::receive(MutableBuffer buffer, std::error_code& error) {
  const Message message = receive_message(buffer, nullptr, 0, "receive");
  error = internal::error_of(message.truncated ? -EMSGSIZE : message.size);
  return error ? 0 : static_cast<std::size_t>(message.size);
}

std::size_t DatagramSocket::receive(MutableBuffer buffer) {
  return internal::or_throw({"receive on ", name_.text()},
                            [&](std::error_code& error) { return receive(buffer, error); });
}

}  // namespace weft
