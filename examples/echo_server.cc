// A TCP server with a fiber per connection, which sends back what it gets. On SIGINT or SIGTERM it
// accepts no more, gives the connections 5 s to end, or until a second signal, and then prints what
// it has served. On SIGUSR1 it prints its connections, fibers and memory.
// Run it: ./bazelw run -c opt //examples:echo_server -- 127.0.0.1:7777
// Talk to it: socat - tcp:127.0.0.1:7777
// Ask it: pkill -USR1 echo_server

#include <malloc.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <span>
#include <system_error>
#include <utility>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

struct Served {
  long connections = 0, open = 0, failed = 0, reads = 0, bytes = 0;
};

void echo(weft::Stream auto stream, Served& served) {
  ++served.connections;
  ++served.open;
  try {
    char buffer[16 * 1024];
    while (const std::size_t size = stream.read_some(buffer)) {
      stream.write_all(std::span(buffer, size));
      ++served.reads;
      served.bytes += static_cast<long>(size);
    }
  } catch (const std::system_error&) {  // such as a reset: the end of this connection only
    ++served.failed;
  }
  --served.open;
}

// Prints on request what is in use: after days, that shows whether something leaks.
void report(weft::SignalSet& questions, const Served& served) {
  for (;;) {
    questions.wait();
    const std::size_t fibers = weft::all_tasks().size();
    std::printf("now: connections %ld, fibers %zu, bytes in use %zu\n", served.open, fibers,
                mallinfo2().uordblks);
    std::fflush(stdout);
  }
}

void serve(const char* address) {
  weft::SignalSet signals({SIGINT, SIGTERM});
  weft::SignalSet questions({SIGUSR1});
  weft::TcpListener listener(address);
  std::printf("listening on %s\n", listener.local_address().to_string().c_str());
  std::fflush(stdout);

  Served served;
  auto reporter = weft::spawn([&] { report(questions, served); });
  // An exception that leaves echo() ends accept() and all connections, and is thrown here.
  weft::with_task_group([&](weft::TaskGroup& connections) {
    auto stop = weft::spawn([&] {
      signals.wait();
      listener.close();
      std::puts("draining");
      std::fflush(stdout);
      try {
        weft::with_timeout(5s, [&] { signals.wait(); });
      } catch (const weft::TimeoutError&) {
      }
      connections.cancel();
    });
    std::error_code error;
    for (;;) {
      weft::TcpStream stream = listener.accept(error);
      if (error == std::errc::operation_canceled) break;  // it is closed
      if (error) throw std::system_error(error, "accept");
      connections.spawn(
          [&served, stream = std::move(stream)]() mutable { echo(std::move(stream), served); });
    }
    connections.join();
  });
  std::printf("served: connections %ld, of these failed %ld, reads %ld, bytes %ld\n",
              served.connections, served.failed, served.reads, served.bytes);
}

}  // namespace

int main(int argc, char** argv) try {
  weft::run([&] { serve(argc > 1 ? argv[1] : "127.0.0.1:7777"); });
} catch (const std::exception& error) {  // such as an address in use
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
