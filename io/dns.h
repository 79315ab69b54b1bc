#ifndef WEFT_IO_DNS_H_
#define WEFT_IO_DNS_H_

#include <string_view>
#include <system_error>
#include <vector>

#include "weft/io/address.h"
#include "weft/io/core/socket.h"

namespace weft {

// Returns the addresses of a host, best first (RFC 6724), each with the service's port; at least
// one, unless it fails.
//
//   std::error_code error;
//   const auto addresses = weft::resolve("example.org", "https", error);
//   for (const weft::Address& address : addresses) try_it(address);
//
// `service` is a number up to 65535 or a name of /etc/services; an empty host is every address of
// this machine.
//
// Numbers are taken as they are, at once. Names are looked up by the system's getaddrinfo, on
// threads that do nothing else: a slow name server holds up neither the calling fiber's thread nor
// files. A cancellation point where it waits; a look-up that is given up ends by itself.
//
// Throws std::system_error, naming both; its category is resolve_category() if the name is the
// matter, also for a text that cannot be one, which is not looked up. A call that gets a
// std::error_code reports that there and returns no address; it throws only if no thread or memory
// is left.
// Needs a fiber, unless both are numbers: throws std::logic_error elsewhere.
std::vector<Address> resolve(std::string_view host, std::string_view service,
                             internal::ErrorTo error = {});

// Codes are those of getaddrinfo: EAI_NONAME and so on.
const std::error_category& resolve_category() noexcept;

}  // namespace weft

#endif  // WEFT_IO_DNS_H_
