#include "weft/io/udp.h"

#include <sys/socket.h>

#include "weft/io/core/attempt.h"
#include "weft/io/core/error.h"
#include "weft/io/core/inet_socket.h"

namespace weft {

using internal::Direction;

UdpSocket::UdpSocket(const Address& address, UdpSocketOptions options)
    : UdpSocket(address, options, false) {}

UdpSocket::UdpSocket(const Address& address, const UdpSocketOptions& options, bool both_families)
    : socket_(internal::bound_socket(SOCK_DGRAM, address,
                                     {.reuse_address = options.reuse_address,
                                      .reuse_port = options.reuse_port,
                                      .both_families = both_families})),
      name_(internal::local_address_of(socket_.fd()).to_string()),
      v6_(address.is_v6()) {}

UdpSocket::UdpSocket(std::string_view text, UdpSocketOptions options) {
  Address::parse(text);  // only numbers
  *this = internal::first_here(
      internal::HostPort::split(text),
      [&](const Address& address, bool both) { return UdpSocket(address, options, both); });
}

void UdpSocket::send_to(ConstBuffer datagram, const Address& to, std::error_code& error) {
  const Address target = v6_ && !to.is_v6() ? to.mapped() : to;
  const ssize_t result = socket_.attempt(Direction::kWrite, "send_to", [&] {
    return sendto(socket_.fd(), datagram.data(), datagram.size(), MSG_NOSIGNAL, target.data(),
                  target.size());
  });
  error = internal::error_of(result);
}

void UdpSocket::send_to(ConstBuffer datagram, const Address& to) {
  std::error_code error;
  send_to(datagram, to, error);
  if (error) internal::throw_system_error(error, {"send_to ", to.to_string()});
}

UdpSocket::Received UdpSocket::receive_from(MutableBuffer buffer, std::error_code& error) {
  Received received;
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  const ssize_t size = socket_.attempt(Direction::kRead, "receive_from", [&] {
    message.msg_name = received.from.data();
    message.msg_namelen = Address::kMaxSize;
    return recvmsg(socket_.fd(), &message, 0);
  });
  error = internal::error_of(size);
  if (error) return received;
  received.size = static_cast<std::size_t>(size);
  received.from = received.from.unmapped();
  received.truncated = message.msg_flags & MSG_TRUNC;
  return received;
}

UdpSocket::Received UdpSocket::receive_from(MutableBuffer buffer) {
  return internal::or_throw({"receive_from on ", name_.text()},
                            [&](std::error_code& error) { return receive_from(buffer, error); });
}

Address UdpSocket::local_address() const { return internal::local_address_of(native_handle()); }

}  // namespace weft
