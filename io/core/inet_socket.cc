#include "weft/io/core/inet_socket.h"

#include <sys/socket.h>

#include "weft/io/core/error.h"
#include "weft/io/core/socket.h"

namespace weft::internal {

bool is_not_here(std::error_code error) noexcept {
  return error == std::errc::address_family_not_supported ||
         error == std::errc::address_not_available;
}

Fd bound_socket(int type, const Address& address, const BindOptions& options) {
  const std::string name = address.to_string();
  Fd fd = new_socket(address.family(), type);
  checked(fd.get(), {"socket for ", name});
  set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, options.reuse_address, name);
  set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT, options.reuse_port, name);
  if (options.both_families) set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0, name);
  set_options(fd.get(), options.socket);
  checked(bind(fd.get(), address.data(), address.size()), {"bind to ", name});
  return fd;
}

Address local_address_of(int fd) {
  Address address;
  socklen_t size = Address::kMaxSize;
  checked(getsockname(fd, address.data(), &size), {"local_address of a closed socket"});
  return address;
}

}  // namespace weft::internal
