#ifndef WEFT_IO_ADDRESS_H_
#define WEFT_IO_ADDRESS_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weft {

// An IPv4 or IPv6 address with a port. Numbers only: resolve() looks up names.
//
//   const Address address = Address::parse("[::1]:80");
//   address.port();       // 80
//   address.to_string();  // "[::1]:80"
//
// A value: any thread, no waiting.
class Address {
 public:
  // 0.0.0.0:0.
  Address() noexcept : v4_{} { v4_.sin_family = AF_INET; }
  explicit Address(const sockaddr_in& address) noexcept : v4_(address) {}
  explicit Address(const sockaddr_in6& address) noexcept : v6_(address) {}

  // Takes "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80", or ":80" (every address of this
  // machine). Throws std::system_error (invalid_argument), naming the text.
  static Address parse(std::string_view text);

  // Takes host and port apart: "::1" and 80.
  static Address parse(std::string_view host, std::uint16_t port);

  // The same, but returns nullopt if the host is no address.
  static std::optional<Address> try_parse(std::string_view host, std::uint16_t port);

  // The text that parse() takes.
  std::string to_string() const;

  // The address without port and brackets.
  std::string host() const;

  std::uint16_t port() const noexcept;
  void set_port(std::uint16_t port) noexcept;

  bool is_v6() const noexcept { return family() == AF_INET6; }
  int family() const noexcept { return any_.sa_family; }

  // Converts an IPv4 address to the form that sockets of both families use, ::ffff:1.2.3.4, and
  // back. Other addresses stay as they are.
  Address mapped() const noexcept;
  Address unmapped() const noexcept;

  // True if address, port and interface are the same.
  friend bool operator==(const Address& a, const Address& b) noexcept;

  // For system calls. A call that fills in an address gets data() and kMaxSize.
  const sockaddr* data() const noexcept { return &any_; }
  sockaddr* data() noexcept { return &any_; }
  socklen_t size() const noexcept { return is_v6() ? sizeof(sockaddr_in6) : sizeof(sockaddr_in); }
  static constexpr socklen_t kMaxSize = sizeof(sockaddr_in6);

 private:
  union {
    sockaddr any_;
    sockaddr_in v4_;
    sockaddr_in6 v6_;
  };
};

}  // namespace weft

namespace weft::internal {

// The halves of "host:port", which may be names. The host has no brackets and may be empty; the
// port is a service, see is_service(). Neither has white space or control characters. split()
// throws std::system_error (invalid_argument), naming the text.
struct HostPort {
  std::string host;
  std::string port;

  static HostPort split(std::string_view text);
};

// Converts a decimal number up to 65535; returns nullopt for any other text.
std::optional<std::uint16_t> port_number(std::string_view text);

// True if the text has no white space and no control character (ASCII).
bool is_plain(std::string_view text) noexcept;

// True for a port_number(), and for a text that may name a service, such as "http": it is plain and
// has a letter. getaddrinfo() would take "\n80" and "65616" for port 80.
bool is_service(std::string_view text) noexcept;

}  // namespace weft::internal

#endif  // WEFT_IO_ADDRESS_H_
