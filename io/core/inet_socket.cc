#include "weft/io/core/inet_socket.h"

namespace weft::internal {

bool is_not_here(std::error_code error) noexcept {
  return error == std::errc::address_family_not_supported ||
         error == std::errc::address_not_available;
}

Address local_address_of(int fd) {
  Address address;
  socklen_t size = Address::kMaxSize;
  checked(getsockname(fd, address.data(), &size), {"local_address of a closed socket"});
  return address;
}

}  // namespace weft::internal
