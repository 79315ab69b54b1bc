// The echo servers that echo_bench compares: each sends back what it receives, on one thread.
#ifndef WEFT_BENCH_LIB_ECHO_H_
#define WEFT_BENCH_LIB_ECHO_H_

#include <cstddef>
#include <cstdint>
#include <functional>

namespace weft::bench {

struct EchoOptions {
  // The server polls for work in a loop and never sleeps in the kernel.
  bool spin = false;
  // Called once, when connections to this port of 127.0.0.1 are accepted.
  std::function<void(std::uint16_t port)> ready;
};

struct EchoServer {
  const char* name;
  // Serves until the process is killed. Called in a process of its own.
  void (*serve)(const EchoOptions& options);
};

// The same for all servers: the most bytes of one read, and of connections that wait for accept.
inline constexpr std::size_t kEchoBuffer = 1024;
inline constexpr int kEchoBacklog = 4096;

// epoll by hand: what the kernel allows.
void raw_echo(const EchoOptions& options);

void weft_echo(const EchoOptions& options);

// A non-blocking listening socket, for servers without a class for it.
int listen_on_loopback();
std::uint16_t port_of(int listener);

// TCP_NODELAY: what is written is sent at once, however little it is.
void set_no_delay(int socket);

}  // namespace weft::bench

#endif  // WEFT_BENCH_LIB_ECHO_H_
