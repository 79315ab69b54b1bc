#include "weft/io/address.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "weft/io/core/error.h"

namespace weft {
namespace {

[[noreturn]] void fail_parse(std::string_view text, std::string_view why) {
  internal::fail(EINVAL, {"address \"", text, "\" ", why});
}

// Returns nullopt if the text is not just digits, or the number is too large for T.
template <class T>
std::optional<T> number(std::string_view text) noexcept {
  T value = 0;
  const char* const end = text.data() + text.size();
  if (std::from_chars(text.data(), end, value) != std::from_chars_result{end, {}}) return {};
  return value;
}

// Returns the number of an interface that is given by number or name; 0 if there is none.
std::uint32_t scope_id(const std::string& scope) {
  const auto index = number<std::uint32_t>(scope);
  return index ? *index : if_nametoindex(scope.c_str());
}

}  // namespace

}  // namespace weft

namespace weft::internal {

std::optional<std::uint16_t> port_number(std::string_view text) {
  return number<std::uint16_t>(text);
}

bool is_plain(std::string_view text) noexcept {
  return std::none_of(text.begin(), text.end(),
                      [](unsigned char c) { return c <= ' ' || c == 0x7f; });
}

bool is_service(std::string_view text) noexcept {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return port_number(text) || (is_plain(text) && std::any_of(text.begin(), text.end(), is_letter));
}

HostPort HostPort::split(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon + 1 == text.size()) fail_parse(text, "has no port");
  if (!is_plain(text)) fail_parse(text, "has white space or a control character in it");
  if (!is_service(text.substr(colon + 1))) fail_parse(text, "has a port that is none");
  std::string_view host = text.substr(0, colon);
  const bool bracketed = !host.empty() && host.front() == '[';
  if (bracketed) {
    if (host.size() < 3 || host.back() != ']') fail_parse(text, "has no host in its brackets");
    host = host.substr(1, host.size() - 2);
  }
  // Without brackets it is not clear where an IPv6 address ends.
  if (host.find_first_of(bracketed ? "[]" : "[]:") != std::string_view::npos) {
    fail_parse(text, "is neither host:port nor [IPv6]:port");
  }
  return {std::string(host), std::string(text.substr(colon + 1))};
}

}  // namespace weft::internal

namespace weft {

Address Address::parse(std::string_view text) {
  const internal::HostPort parts = internal::HostPort::split(text);
  const auto port = internal::port_number(parts.port);
  if (!port) fail_parse(text, "has a port that is none");
  const auto address = try_parse(parts.host, *port);
  if (!address) fail_parse(text, "has a host that is no number");
  return *address;
}

Address Address::parse(std::string_view host, std::uint16_t port) {
  const auto address = try_parse(host, port);
  if (!address) fail_parse(host, "is no number");
  return *address;
}

std::optional<Address> Address::try_parse(std::string_view host, std::uint16_t port) {
  if (host.empty()) host = "::";
  if (host.find('\0') != std::string_view::npos) return {};  // the system would stop there
  const std::size_t percent = host.find('%');
  const std::string digits(host.substr(0, percent));
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  if (percent == std::string_view::npos && inet_pton(AF_INET, digits.c_str(), &v4.sin_addr) == 1) {
    return Address(v4);
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  if (inet_pton(AF_INET6, digits.c_str(), &v6.sin6_addr) != 1) return {};
  if (percent != std::string_view::npos) {
    v6.sin6_scope_id = scope_id(std::string(host.substr(percent + 1)));
    if (v6.sin6_scope_id == 0) return {};
  }
  return Address(v6);
}

std::string Address::host() const {
  char text[INET6_ADDRSTRLEN];
  if (!is_v6()) return inet_ntop(AF_INET, &v4_.sin_addr, text, sizeof(text));
  std::string host = inet_ntop(AF_INET6, &v6_.sin6_addr, text, sizeof(text));
  if (v6_.sin6_scope_id != 0) {
    char name[IF_NAMESIZE];
    host += '%';
    host += if_indextoname(v6_.sin6_scope_id, name) ? name : internal::decimal(v6_.sin6_scope_id);
  }
  return host;
}

std::string Address::to_string() const {
  const std::string text = host();
  return (is_v6() ? "[" + text + "]" : text) + ":" + internal::decimal(port());
}

std::uint16_t Address::port() const noexcept {
  return ntohs(is_v6() ? v6_.sin6_port : v4_.sin_port);
}

void Address::set_port(std::uint16_t port) noexcept {
  (is_v6() ? v6_.sin6_port : v4_.sin_port) = htons(port);
}

Address Address::mapped() const noexcept {
  if (is_v6()) return *this;
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = v4_.sin_port;
  v6.sin6_addr.s6_addr[10] = v6.sin6_addr.s6_addr[11] = 0xff;
  std::memcpy(&v6.sin6_addr.s6_addr[12], &v4_.sin_addr, sizeof(v4_.sin_addr));
  return Address(v6);
}

Address Address::unmapped() const noexcept {
  if (!is_v6() || !IN6_IS_ADDR_V4MAPPED(&v6_.sin6_addr)) return *this;
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = v6_.sin6_port;
  std::memcpy(&v4.sin_addr, &v6_.sin6_addr.s6_addr[12], sizeof(v4.sin_addr));
  return Address(v4);
}

bool operator==(const Address& a, const Address& b) noexcept {
  if (a.family() != b.family() || a.port() != b.port()) return false;
  if (!a.is_v6()) return a.v4_.sin_addr.s_addr == b.v4_.sin_addr.s_addr;
  return std::memcmp(&a.v6_.sin6_addr, &b.v6_.sin6_addr, sizeof(in6_addr)) == 0 &&
         a.v6_.sin6_scope_id == b.v6_.sin6_scope_id;
}

}  // namespace weft
