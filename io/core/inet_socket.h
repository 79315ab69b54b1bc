#ifndef WEFT_IO_CORE_INET_SOCKET_H_
#define WEFT_IO_CORE_INET_SOCKET_H_

#include <cstddef>
#include <string_view>
#include <system_error>
#include <vector>

#include "weft/io/address.h"
#include "weft/io/core/socket.h"
#include "weft/io/dns.h"
#include "weft/io/socket_options.h"

namespace weft::internal {

// What TCP and UDP sockets have in common. All functions throw std::system_error, naming the
// object.

// True e.g. for IPv6 on a machine without it.
bool is_not_here(std::error_code error) noexcept;

struct BindOptions {
  bool reuse_address = false;
  bool reuse_port = false;
  bool both_families = false;  // lets an IPv6 socket take IPv4, too
  SocketOptions socket = {};
};

// Returns a non-blocking socket of this type, bound to the address.
Fd bound_socket(int type, const Address& address, const BindOptions& options);

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

Address local_address_of(int fd);

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_INET_SOCKET_H_
