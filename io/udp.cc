#include "weft/io/udp.h"

#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "weft/io/core/attempt.h"
#include "weft/io/core/error.h"
#include "weft/io/core/inet_socket.h"

namespace weft {

using internal::Direction;

UdpSocket::UdpSocket(const Address& address, UdpSocketOptions options)
    : UdpSocket(address, options, false) {}

UdpSocket::UdpSocket(const Address& address, const UdpSocketOptions& options, bool both_families)
    : DatagramSocket(internal::bound_socket(SOCK_DGRAM, address,
                                            {.reuse_address = options.reuse_address,
                                             .reuse_port = options.reuse_port,
                                             .both_families = both_families,
                                             .socket = options.socket}),
                     {}),
      v6_(address.is_v6()) {
  name_ = local_address().to_string();
}

UdpSocket::UdpSocket(std::string_view text, UdpSocketOptions options) {
  Address::parse(text);  // only numbers
  *this = internal::first_here(
      internal::HostPort::split(text),
      [&](const Address& address, bool both) { return UdpSocket(address, options, both); });
}

UdpSocket UdpSocket::adopt(int fd) {
  internal::prepare_to_adopt(fd, {.type = SOCK_DGRAM});
  const Address local = internal::local_address_of(fd);
  std::string name = local.to_string();
  return UdpSocket(internal::Fd(fd), std::move(name), local.is_v6());
}

void UdpSocket::connect(const Address& peer) {
  const Address to = target(peer);
  internal::checked(::connect(socket_.fd(), to.data(), to.size()),
                    {"connect to ", peer.to_string()});
}

void UdpSocket::change_group(const char* call, int option, const Address& group,
                             std::string_view interface) {
  const std::string name = group.to_string();
  group_req request{};
  if (!interface.empty()) {
    request.gr_interface = if_nametoindex(std::string(interface).c_str());
    if (request.gr_interface == 0) internal::fail(ENODEV, {call, name, " on ", interface});
  } else if (group.is_v6()) {
    request.gr_interface = reinterpret_cast<const sockaddr_in6*>(group.data())->sin6_scope_id;
  }
  std::memcpy(&request.gr_group, group.data(), group.size());
  const int level = group.is_v6() ? IPPROTO_IPV6 : IPPROTO_IP;
  internal::checked(setsockopt(socket_.fd(), level, option, &request, sizeof(request)),
                    {call, name});
}

void UdpSocket::join_group(const Address& group, std::string_view interface) {
  change_group("join_group of ", MCAST_JOIN_GROUP, group, interface);
}

void UdpSocket::leave_group(const Address& group, std::string_view interface) {
  change_group("leave_group of ", MCAST_LEAVE_GROUP, group, interface);
}

void UdpSocket::send_to(ConstBuffer datagram, const Address& to, std::error_code& error) {
  const Address address = target(to);
  const ssize_t result = socket_.attempt(Direction::kWrite, "send_to", [&] {
    return sendto(socket_.fd(), datagram.data(), datagram.size(), MSG_NOSIGNAL, address.data(),
                  address.size());
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
  const Message message =
      receive_message(buffer, received.from.data(), Address::kMaxSize, "receive_from");
  error = internal::error_of(message.size);
  if (error) return received;
  received.size = static_cast<std::size_t>(message.size);
  received.from = received.from.unmapped();
  received.truncated = message.truncated;
  return received;
}

UdpSocket::Received UdpSocket::receive_from(MutableBuffer buffer) {
  return internal::or_throw({"receive_from on ", name_.text()},
                            [&](std::error_code& error) { return receive_from(buffer, error); });
}

Address UdpSocket::local_address() const { return internal::local_address_of(native_handle()); }

}  // namespace weft
