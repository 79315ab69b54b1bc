#ifndef WEFT_IO_CORE_INET_SOCKET_H_
#define WEFT_IO_CORE_INET_SOCKET_H_

#include <string_view>

#include "weft/io/address.h"
#include "weft/io/core/fd.h"

namespace weft::internal {

// What TCP and UDP sockets have in common. All functions throw std::system_error, naming the
// object.

void set_option(int fd, int level, int option, int value, std::string_view object);

struct BindOptions {
  bool reuse_address = false;
  bool reuse_port = false;
  bool both_families = false;  // lets an IPv6 socket take IPv4, too
};

// Returns a non-blocking socket of this type, bound to the address.
Fd bound_socket(int type, const Address& address, const BindOptions& options);

Address local_address_of(int fd);

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_INET_SOCKET_H_
