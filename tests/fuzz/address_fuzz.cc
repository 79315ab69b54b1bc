// Address and HostPort: what they take and refuse, held against a grammar and inet_pton().

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "tests/fuzz/fuzz.h"
#include "weft/io/address.h"

namespace {

using weft::Address;
using weft::fuzz::require;
using weft::internal::HostPort;

// Nothing where it threw. What it throws names the text.
template <class F>
auto result_of(std::string_view text, F f) -> std::optional<decltype(f())> {
  try {
    return f();
  } catch (const std::system_error& error) {
    require(error.code() == std::errc::invalid_argument, "what is refused is an invalid argument");
    const std::string_view what = error.what();  // up to the first zero
    require(what.find(text.substr(0, text.find('\0'))) != what.npos, "a refusal names the text");
    return {};
  }
}

template <class T>
std::optional<T> number_of(std::string_view text) {
  T number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return number;
}

// Of the names that getaddrinfo() would take for a number, none is a service.
bool is_service(std::string_view text) {
  if (number_of<std::uint16_t>(text)) return true;
  const std::string name(text);
  char* end = nullptr;
  (void)std::strtoul(name.c_str(), &end, 10);
  const bool other_number = end == name.c_str() + std::strlen(name.c_str());
  require(!other_number || !weft::internal::is_service(text), "what is no port is no service");
  return std::any_of(text.begin(), text.end(), [](unsigned char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
  });
}

// host:port or [host]:port, without white space. Any colon may be the one between.
std::optional<HostPort> expected_halves(std::string_view text) {
  using namespace std::string_view_literals;
  const bool plain =
      std::none_of(text.begin(), text.end(), [](unsigned char c) { return c <= ' ' || c == 0x7f; });
  if (!plain) return {};
  for (auto colon = text.find(':'); colon != text.npos; colon = text.find(':', colon + 1)) {
    std::string_view host = text.substr(0, colon);
    const std::string_view port = text.substr(colon + 1);
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) host = host.substr(1, host.size() - 2);
    if (port.find(':') == port.npos && is_service(port) &&
        host.find_first_of(bracketed ? "[]"sv : "[]:"sv) == host.npos) {
      return HostPort{std::string(host), std::string(port)};
    }
  }
  return {};
}

// The interface that stands behind the %; 0: there is no such.
std::uint32_t expected_scope(std::string_view name) {
  if (const auto number = number_of<std::uint32_t>(name)) return *number;
  return if_nametoindex(std::string(name).c_str());
}

std::optional<Address> expected_address(const std::string& host, std::uint16_t port) {
  if (host.find('\0') != host.npos) return {};
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) return Address(v4);

  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  if (host.empty()) return Address(v6);
  std::string digits = host;
  if (const auto percent = host.find('%'); percent != host.npos) {
    digits.resize(percent);
    v6.sin6_scope_id = expected_scope(std::string_view(host).substr(percent + 1));
    if (v6.sin6_scope_id == 0) return {};
  }
  if (inet_pton(AF_INET6, digits.c_str(), &v6.sin6_addr) != 1) return {};
  return Address(v6);
}

// A text that an address gives is one that gives the address.
void check_address(const Address& address) {
  require(Address::parse(address.to_string()) == address, "parse() takes what to_string() gives");
  require(Address::parse(address.host(), address.port()) == address, "and the two halves apart");
  const HostPort halves = HostPort::split(address.to_string());
  require(halves.host == address.host(), "the host is what stands before the port");
  require(weft::internal::port_number(halves.port) == address.port(),
          "the port is what stands behind it");
  require(address.mapped().is_v6(), "any address can be mapped");
  require(address.mapped().mapped() == address.mapped(), "mapping twice is mapping once");
  require(address.unmapped() == address.mapped().unmapped(), "mapping does not change unmapped()");
  if (!address.is_v6()) require(address.mapped().unmapped() == address, "mapping can be undone");
}

void check_text(std::string_view text) {
  const auto halves = result_of(text, [&] { return HostPort::split(text); });
  const auto expected = expected_halves(text);
  require(halves.has_value() == expected.has_value(), "split() takes what the grammar takes");
  require(weft::internal::port_number(text) == number_of<std::uint16_t>(text), "a port is decimal");
  const auto address = result_of(text, [&] { return Address::parse(text); });
  if (!halves) return require(!address, "what has no halves is no address");

  require(halves->host == expected->host && halves->port == expected->port,
          "the halves are those of the grammar");
  const auto port = number_of<std::uint16_t>(expected->port);
  const auto other = port ? expected_address(expected->host, *port) : std::nullopt;
  require(address == other, "a text is the address that its halves are");
  if (address) check_address(*address);
}

void check_host(const std::string& host) {
  const auto address = Address::try_parse(host, 80);
  require(address == expected_address(host, 80), "a host is what inet_pton() takes");
  require(result_of(host, [&] { return Address::parse(host, 80); }) == address,
          "parse() takes what try_parse() takes");
  if (address) check_address(*address);
}

// An address as a system call may give it.
void check_bytes(std::string_view bytes) {
  if (bytes.size() >= 6) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    std::memcpy(&v4.sin_port, bytes.data(), 2);
    std::memcpy(&v4.sin_addr, bytes.data() + 2, 4);
    check_address(Address(v4));
  }
  if (bytes.size() >= 22) {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    std::memcpy(&v6.sin6_port, bytes.data(), 2);
    std::memcpy(&v6.sin6_addr, bytes.data() + 2, 16);
    std::memcpy(&v6.sin6_scope_id, bytes.data() + 18, 4);
    check_address(Address(v6));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = weft::fuzz::text_of(data, size);
  check_text(text);
  check_host(std::string(text));
  check_bytes(text);
  return 0;
}
