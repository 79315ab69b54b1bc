#include "weft/io/address.h"

#include <net/if.h>
#include <netinet/in.h>

#include <cstring>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(address)

using namespace weft;
using namespace weft::internal;
using namespace std::string_literals;

namespace {

// invalid_argument, naming the text.
auto names(std::string_view text) {
  return [text](const std::system_error& error) {
    return error.code() == std::errc::invalid_argument &&
           std::string_view(error.what()).find("\"" + std::string(text) + "\"") !=
               std::string_view::npos;
  };
}

}  // namespace

// ---- Whole texts --------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_text_comes_back_as_it_was) {
  for (const char* text : {
           "127.0.0.1:80",
           "0.0.0.0:0",
           "255.255.255.255:65535",
           "[::]:0",
           "[::1]:80",
           "[2001:db8::8:800:200c:417a]:443",
           "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
           "[::ffff:1.2.3.4]:5",
       }) {
    BOOST_TEST_CONTEXT(text) {
      BOOST_TEST(Address::parse(text).to_string() == text);
      BOOST_TEST((Address::parse(Address::parse(text).to_string()) == Address::parse(text)));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_text_is_brought_to_its_usual_form) {
  BOOST_TEST(Address::parse("[0:0:0:0:0:0:0:1]:080").to_string() == "[::1]:80");
  BOOST_TEST(Address::parse("[2001:DB8:0:0:0:0:0:1]:1").to_string() == "[2001:db8::1]:1");
  BOOST_TEST(Address::parse("[::ffff:102:304]:1").to_string() == "[::ffff:1.2.3.4]:1");
}

BOOST_AUTO_TEST_CASE(an_empty_host_is_every_address) {
  const Address every = Address::parse(":80");
  BOOST_TEST(every.is_v6());
  BOOST_TEST(every.port() == 80);
  BOOST_TEST(every.host() == "::");
  BOOST_TEST(every.to_string() == "[::]:80");
  BOOST_TEST((every == Address::parse("", 80)));
}

BOOST_AUTO_TEST_CASE(a_malformed_text_is_refused_by_its_name) {
  for (const char* text : {
           "",
           ":",
           "80",
           "127.0.0.1",
           "127.0.0.1:",
           "127.0.0.1: 80",
           "127.0.0.1 :80",
           " 127.0.0.1:80",
           "127.0.0.1:80 ",
           "127.0.0.1:+80",
           "127.0.0.1:-1",
           "127.0.0.1:65536",
           "127.0.0.1:99999999999999999999",
           "127.0.0.1:0x50",
           "127.0.0.1:http",
           "127.0.0.1:\n80",
           "127.0.0.1:80\n",
           "127.0.0.1:\v65616",
           "127.0.0.1\n:80",
           "[::1\t]:80",
           "[fe80::1% 1]:80",
           "[fe80::1%\n1]:80",
           "127.0.0.1:80:80",
           "127.0.0.1%lo:80",
           "127.0.0:80",
           "127.1:80",
           "1.2.3.4.5:80",
           "256.0.0.1:80",
           "0x7f.0.0.1:80",
           "localhost:80",
           "*:80",
           "::1:80",
           "::1",
           "[::1]",
           "[::1]:",
           "[::1]80",
           "[::1:80",
           "::1]:80",
           "[]:80",
           "[:80",
           "]:80",
           "[[::1]]:80",
           "[:::]:80",
           "[1::2::3]:80",
           "[12345::]:80",
           "[::g]:80",
           "[localhost]:80",
           "[fe80::1%]:80",
           "[fe80::1%0]:80",
           "[fe80::1%nosuchinterface]:80",
           "[fe80::1%lo%lo]:80",
           "[fe80::1%-1]:80",
           "[fe80::1%4294967296]:80",
           "[%1]:80",
       }) {
    BOOST_TEST_CONTEXT(text) {
      BOOST_CHECK_EXCEPTION(Address::parse(text), std::system_error, names(text));
    }
  }
}

// The system takes a text up to its first zero.
BOOST_AUTO_TEST_CASE(a_zero_inside_is_refused) {
  const auto is_invalid = [](const std::system_error& error) {
    return error.code() == std::errc::invalid_argument;
  };
  for (const std::string& text :
       {"127.0.0.1\0:80"s, "127.0.0.1\0x:80"s, "[::1\0]:80"s, "127.0.0.1:80\0"s, "\0:80"s}) {
    BOOST_CHECK_EXCEPTION(Address::parse(text), std::system_error, is_invalid);
  }
  for (const std::string& host : {"127.0.0.1\0"s, "127.0.0.1\0x"s, "::1\0"s, "fe80::1%1\0"s}) {
    BOOST_CHECK_EXCEPTION(Address::parse(host, 80), std::system_error, is_invalid);
    BOOST_TEST(!Address::try_parse(host, 80));
  }
  const std::string loopback = "fe80::1%lo\0x"s;
  BOOST_TEST(!Address::try_parse(loopback, 80));
}

// ---- Halves -------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(host_and_port_may_be_given_apart) {
  BOOST_TEST((Address::parse("127.0.0.1", 80) == Address::parse("127.0.0.1:80")));
  BOOST_TEST((Address::parse("::1", 80) == Address::parse("[::1]:80")));
  BOOST_TEST((Address::try_parse("::1", 80) == Address::parse("[::1]:80")));
  for (const char* host : {"localhost", "[::1]", "1.2.3", "1.2.3.4:80", "::1%", " ", "*"}) {
    BOOST_TEST_CONTEXT(host) {
      BOOST_CHECK_EXCEPTION(Address::parse(host, 80), std::system_error, names(host));
      BOOST_TEST(!Address::try_parse(host, 80));
    }
  }
}

BOOST_AUTO_TEST_CASE(the_host_comes_without_port_and_brackets) {
  BOOST_TEST(Address::parse("127.0.0.1:80").host() == "127.0.0.1");
  BOOST_TEST(Address::parse("[::1]:80").host() == "::1");
  BOOST_TEST((Address::parse(Address::parse("[::1]:80").host(), 80) == Address::parse("[::1]:80")));
}

BOOST_AUTO_TEST_CASE(a_text_is_split_into_its_halves) {
  struct Case {
    const char *text, *host, *port;
  };
  for (const Case& c : {
           Case{"localhost:http", "localhost", "http"},
           Case{"127.0.0.1:80", "127.0.0.1", "80"},
           Case{"[::1]:80", "::1", "80"},
           Case{"[fe80::1%eth0]:http", "fe80::1%eth0", "http"},
           Case{"[a-name]:x", "a-name", "x"},
           Case{":80", "", "80"},
           Case{"a.b.invalid:00080", "a.b.invalid", "00080"},
           Case{"a.b.invalid:9p", "a.b.invalid", "9p"},
       }) {
    const HostPort parts = HostPort::split(c.text);
    BOOST_TEST(parts.host == c.host);
    BOOST_TEST(parts.port == c.port);
  }
}

BOOST_AUTO_TEST_CASE(what_cannot_be_split_is_refused_by_its_name) {
  for (const char* text : {"",           ":",          "host",      "host:",       "a:b:c",
                           "::1:80",     "[::1]",      "[::1]x:80", "[]:80",       "[:80",
                           "[::1:80",    "host:65536", "host:-1",   "host:+80",    "host: 80",
                           "host:\n80",  "host:80\v",  "host:*",    "host:http\n", "ho st:80",
                           "host\x7f:80"}) {
    BOOST_TEST_CONTEXT(text) {
      BOOST_CHECK_EXCEPTION(HostPort::split(text), std::system_error, names(text));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_service_is_a_port_or_a_name) {
  for (const char* text : {"0", "80", "00080", "65535", "http", "9p", "z39.50", "a"}) {
    BOOST_TEST(is_service(text), text);
  }
  for (const char* text : {"", "65536", "72816", "-1", "+80", " 80", "\n80", "80\r", "\v65616", "*",
                           "8.0", "ht tp", "http\n", "\x7fhttp"}) {
    BOOST_TEST(!is_service(text), text);
  }
  BOOST_TEST(!is_service("http\0"s));
}

// ---- The interface ------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(an_interface_is_given_by_name_or_number) {
  const unsigned number = if_nametoindex("lo");
  BOOST_REQUIRE(number != 0u);
  const Address by_name = Address::parse("[fe80::1%lo]:80");
  const Address by_number = Address::parse("[fe80::1%" + std::to_string(number) + "]:80");
  BOOST_TEST((by_name == by_number));
  BOOST_TEST(reinterpret_cast<const sockaddr_in6*>(by_name.data())->sin6_scope_id == number);
  BOOST_TEST(by_number.to_string() == "[fe80::1%lo]:80");
  BOOST_TEST(by_name.host() == "fe80::1%lo");
  BOOST_TEST((by_name != Address::parse("[fe80::1]:80")));
}

BOOST_AUTO_TEST_CASE(an_interface_that_is_gone_keeps_its_number) {
  BOOST_TEST(Address::parse("[fe80::1%4294967295]:80").to_string() == "[fe80::1%4294967295]:80");
}

// ---- As values ----------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(by_default_it_is_none) {
  BOOST_TEST(Address().to_string() == "0.0.0.0:0");
  BOOST_TEST(!Address().is_v6());
  BOOST_TEST((Address() == Address::parse("0.0.0.0:0")));
}

BOOST_AUTO_TEST_CASE(equal_is_what_has_the_same_address_and_port) {
  const std::vector<Address> all = {
      Address::parse("1.2.3.4:80"),
      Address::parse("1.2.3.4:81"),
      Address::parse("1.2.3.5:80"),
      Address::parse("[::1]:80"),
      Address::parse("[::1]:81"),
      Address::parse("[::2]:80"),
      Address::parse("[::1%lo]:80"),
      Address::parse("[::]:0"),
      Address(),
      Address::parse("1.2.3.4:80").mapped(),
  };
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < all.size(); ++j) BOOST_TEST((all[i] == all[j]) == (i == j));
    BOOST_TEST((Address(all[i]) == all[i]));
  }
}

BOOST_AUTO_TEST_CASE(the_port_can_be_changed) {
  for (const char* text : {"1.2.3.4:80", "[::1]:80"}) {
    Address address = Address::parse(text);
    const std::string host = address.host();
    address.set_port(65535);
    BOOST_TEST(address.port() == 65535);
    address.set_port(258);
    BOOST_TEST(address.port() == 258);
    BOOST_TEST(address.host() == host);
    address.set_port(80);
    BOOST_TEST((address == Address::parse(text)));
  }
}

BOOST_AUTO_TEST_CASE(an_ipv4_address_can_be_mapped_and_back) {
  const Address plain = Address::parse("1.2.3.4:80");
  const Address mapped = plain.mapped();
  BOOST_TEST(mapped.is_v6());
  BOOST_TEST(mapped.to_string() == "[::ffff:1.2.3.4]:80");
  BOOST_TEST((mapped.mapped() == mapped));
  BOOST_TEST((mapped.unmapped() == plain));
  BOOST_TEST((plain.unmapped() == plain));
  const Address other = Address::parse("[2001:db8::1.2.3.4]:80");
  BOOST_TEST((other.mapped() == other));
  BOOST_TEST((other.unmapped() == other));
}

BOOST_AUTO_TEST_CASE(system_calls_get_what_they_take) {
  const Address v4 = Address::parse("1.2.3.4:80");
  BOOST_TEST(v4.family() == AF_INET);
  BOOST_TEST(v4.size() == sizeof(sockaddr_in));
  sockaddr_in plain{};
  std::memcpy(&plain, v4.data(), v4.size());
  BOOST_TEST(plain.sin_port == htons(80));
  BOOST_TEST(plain.sin_addr.s_addr == htonl(0x01020304));
  BOOST_TEST((Address(plain) == v4));
  const Address v6 = Address::parse("[::1]:80");
  BOOST_TEST(v6.family() == AF_INET6);
  BOOST_TEST(v6.size() == sizeof(sockaddr_in6));
  sockaddr_in6 long_one{};
  std::memcpy(&long_one, v6.data(), v6.size());
  BOOST_TEST((Address(long_one) == v6));
  BOOST_TEST(Address::kMaxSize >= v6.size());
}

BOOST_AUTO_TEST_SUITE_END()
