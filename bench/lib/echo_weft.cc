// The echo server in weft: a fiber for each connection.

#include <array>
#include <chrono>
#include <span>
#include <system_error>
#include <utility>

#include "bench/lib/echo.h"
#include "weft/weft.h"

namespace weft::bench {
namespace {

void echo(TcpStream& stream) {
  std::array<char, kEchoBuffer> buffer;
  try {
    while (const std::size_t size = stream.read_some(buffer)) {
      stream.write_all(std::span(buffer).first(size));
    }
  } catch (const std::system_error&) {
    // The peer has broken the connection.
  }
}

}  // namespace

void weft_echo(const EchoOptions& options) {
  using namespace std::chrono_literals;
  run(
      [&] {
        TcpListener listener("127.0.0.1:0", {.backlog = kEchoBacklog});
        options.ready(listener.local_address().port());
        for (;;) {
          spawn([stream = listener.accept()]() mutable { echo(stream); }).detach();
        }
      },
      {.spin = options.spin ? Duration(1h) : Duration()});
}

}  // namespace weft::bench
