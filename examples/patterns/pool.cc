// Two connections for five clients. One of the requests breaks, and its connection is replaced; so
// is one that has been idle for too long.
// Run it: ./bazelw run -c opt //examples/patterns:pool_program

#include "weft/examples/patterns/pool.h"

#include <chrono>
#include <cstdio>
#include <stdexcept>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

class Connection {
 public:
  Connection() { std::printf("connection %d opens\n", number_); }
  ~Connection() { std::printf("connection %d closes\n", number_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void ask(int client) const {
    weft::sleep_for(10ms);
    if (client == 3) throw std::runtime_error("the answer to client 3 makes no sense");
    std::printf("client %d has its answer by connection %d\n", client, number_);
  }

 private:
  static inline int last_ = 0;
  const int number_ = ++last_;
};

void serve() {
  patterns::Pool<Connection> pool([] { return Connection(); }, 2, 1min);
  weft::TaskGroup clients;
  for (int client = 1; client <= 5; ++client) {
    clients.spawn([&, client] {
      try {
        pool.acquire()->ask(client);
      } catch (const std::runtime_error& error) {
        std::puts(error.what());
      }
    });
  }
  clients.join();
  std::puts("an hour passes");
  weft::sleep_for(1h);
  pool.acquire()->ask(6);
}

}  // namespace

// The clock is virtual: it jumps.
int main() { weft::run(serve, {.virtual_time = true}); }
