#include "weft/io/udp.h"

#include <net/if.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "weft/io/core/error.h"
#include "weft/io/core/inet_socket.h"

namespace weft {

UdpSocket UdpSocket::bound(const Address& address, const UdpSocketOptions& options,
                           bool both_families) {
  internal::Fd fd = internal::bound_socket(SOCK_DGRAM, address, options, both_families);
  const Address local = internal::local_address_of(fd.get());
  return UdpSocket(std::move(fd), local);
}

UdpSocket::UdpSocket(const Address& address, UdpSocketOptions options)
    : UdpSocket(bound(address, options, false)) {}

UdpSocket::UdpSocket(std::string_view text, UdpSocketOptions options) {
  Address::parse(text);  // only numbers
  *this = internal::first_here(
      internal::HostPort::split(text),
      [&](const Address& address, bool both) { return bound(address, options, both); });
}

UdpSocket UdpSocket::adopt(int fd) {
  internal::prepare_to_adopt(fd, AF_INET, SOCK_DGRAM);
  const Address local = internal::local_address_of(fd);
  return UdpSocket(internal::Fd(fd), local);
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

void UdpSocket::send_to(ConstBuffer datagram, const Address& to, internal::ErrorTo error) {
  const Address address = target(to);
  const ssize_t result = send_message(datagram, address.data(), address.size(), "send_to");
  if (!error.take(internal::error_of(result)))
    internal::fail(static_cast<int>(-result), {"send_to ", to.to_string()});
}

UdpSocket::Received UdpSocket::receive_from(MutableBuffer buffer, internal::ErrorTo error) {
  Address from;
  const Message message =
      receive_message(buffer, from.data(), Address::kMaxSize, "receive_from", error);
  return {message.size, from.unmapped(), message.truncated};
}

Address UdpSocket::local_address() const { return internal::local_address_of(native_handle()); }

}  // namespace weft
