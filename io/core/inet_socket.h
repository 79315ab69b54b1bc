#ifndef WEFT_IO_CORE_INET_SOCKET_H_
#define WEFT_IO_CORE_INET_SOCKET_H_

#include <cstddef>
#include <string>
#include <system_error>
#include <vector>

#include "weft/io/address.h"
#include "weft/io/core/error.h"
#include "weft/io/core/socket.h"
#include "weft/io/dns.h"
#include "weft/io/socket_options.h"

namespace weft::internal {

// What TCP and UDP sockets have in common. All functions throw std::system_error, naming the
// object.

// True e.g. for IPv6 on a machine without it.
inline bool is_not_here(std::error_code error) noexcept {
  return error == std::errc::address_family_not_supported ||
         error == std::errc::address_not_available;
}

// Returns a non-blocking socket of this type, bound to the address. The options are those of
// TcpListener or UdpSocket. With `both_families` an IPv6 socket takes IPv4, too.
template <class Options>
Fd bound_socket(int type, const Address& address, const Options& options, bool both_families) {
  const std::string name = address.to_string();
  Fd fd = new_socket(address.family(), type);
  checked(fd.get(), {"socket for ", name});
  set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, options.reuse_address, name);
  set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT, options.reuse_port, name);
  if (both_families) set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0, name);
  set_options(fd.get(), options.socket);
  checked(bind(fd.get(), address.data(), address.size()), {"bind to ", name});
  return fd;
}

// Returns make(address, both_families) for the first address of a host that this machine has.
template <class Make>
auto first_here(const HostPort& place, Make make) {
  const std::vector<Address> addresses = resolve(place.host, place.port);
  for (std::size_t i = 0;; ++i) {
    try {
      // The first address for an empty host is IPv6. That socket takes both families.
      return make(addresses[i], place.host.empty() && addresses[i].is_v6());
    } catch (const std::system_error& error) {
      if (!is_not_here(error.code()) || i + 1 == addresses.size()) throw;
    }
  }
}

inline Address local_address_of(int fd) {
  Address address;
  socklen_t size = Address::kMaxSize;
  checked(getsockname(fd, address.data(), &size), {"local_address of a closed socket"});
  return address;
}

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_INET_SOCKET_H_
