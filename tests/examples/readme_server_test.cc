// The server of README.md, its very text, with a handler that throws anything.

#include <unistd.h>

#include <csignal>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "tests/support/fixture.h"
#include "weft/weft.h"

BOOST_AUTO_TEST_SUITE(readme_server)

using namespace weft::test;
using namespace std::chrono_literals;

namespace {

struct Strange {};

// Takes the place of stream.write_all() there: throws what the client asks for.
void answer(weft::TcpStream& stream, std::span<const char> request) {
  const std::string word(request.data(), request.size());
  if (word == "system_error") throw std::system_error(ECONNRESET, std::generic_category());
  if (word == "runtime_error") throw std::runtime_error("a bad request");
  if (word == "strange") throw Strange();
  stream.write_all(request);
}

#include "tests/examples/readme_server.inc"

// An address of this process alone.
std::string own_address() {
  const int id = getpid();
  return "127." + std::to_string(64 + (id >> 16) % 64) + "." + std::to_string((id >> 8) % 256) +
         "." + std::to_string(id % 254 + 1) + ":7777";
}

struct Client {
  explicit Client(const std::string& address) {
    const bool connected = eventually([&] {
      try {
        stream = weft::TcpStream::connect(address);
        return true;
      } catch (const std::system_error&) {  // it does not listen yet
        return false;
      }
    });
    BOOST_REQUIRE(connected);
  }

  bool is_answered(const std::string& word) {
    stream.write_all(word);
    return reader.read_exactly(word.size()) == word;
  }

  // Whether the server closes the connection within 20 s.
  bool is_closed() {
    return weft::with_timeout(20s, [&] {
      try {
        char byte;
        return stream.read_some(std::span(&byte, 1)) == 0;
      } catch (const std::system_error&) {
        return true;
      }
    });
  }

  weft::TcpStream stream;
  weft::BufferedReader reader{stream};
};

bool refuses(const std::string& address) {
  try {
    weft::TcpStream::connect(address);
    return false;
  } catch (const std::system_error& error) {
    return error.code() == std::errc::connection_refused;
  }
}

// The handler fails so while other clients are served.
template <class Exception>
void check_that_it_ends_the_server(const std::string& word) {
  const std::string address = own_address();
  auto server = weft::spawn([&] { serve(address.c_str()); });
  Client idle(address), bad(address);
  BOOST_TEST(idle.is_answered("hello"));
  bad.stream.write_all(word);
  BOOST_REQUIRE(server.wait_for(20s));
  BOOST_CHECK_THROW(server.get(), Exception);
  BOOST_TEST(bad.is_closed());
  BOOST_TEST(idle.is_closed());
  BOOST_TEST(refuses(address));
}

}  // namespace

WEFT_REAL_TIME_TEST_CASE(what_the_handler_catches_ends_one_connection) {
  const std::string address = own_address();
  auto server = weft::spawn([&] { serve(address.c_str()); });
  Client idle(address), bad(address);
  BOOST_TEST(idle.is_answered("hello"));
  bad.stream.write_all("system_error");
  BOOST_TEST(bad.is_closed());
  BOOST_TEST(idle.is_answered("still there"));
  Client later(address);
  BOOST_TEST(later.is_answered("and for others"));
  server.cancel();
  BOOST_CHECK_THROW(server.get(), weft::TaskCancelled);
}

WEFT_REAL_TIME_TEST_CASE(what_it_lets_out_ends_the_server_with_it) {
  check_that_it_ends_the_server<std::runtime_error>("runtime_error");
}

WEFT_REAL_TIME_TEST_CASE(so_does_what_is_no_exception_class) {
  check_that_it_ends_the_server<Strange>("strange");
}

WEFT_REAL_TIME_TEST_CASE(a_signal_drains_it) {
  const std::string address = own_address();
  auto server = weft::spawn([&] { serve(address.c_str()); });
  {
    Client client(address);
    BOOST_TEST(client.is_answered("hello"));
    kill(getpid(), SIGTERM);
    BOOST_REQUIRE(eventually([&] { return refuses(address); }));
    BOOST_TEST(client.is_answered("drained, not dropped"));
  }
  BOOST_REQUIRE(server.wait_for(20s));
  server.get();
}

BOOST_AUTO_TEST_SUITE_END()
