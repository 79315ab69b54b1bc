// libuv, on one thread: callbacks. It has no fibers, so workloads about fibers are left out.
//
// - timers and queries: a uv_timer_t for each, all of them in one array. A timer counts from the
//   loop's time. That is updated after each thousand timers; timers that are due are then called
//   back.
// - A timeout is a timer that is stopped in time.
// - executor: uv_queue_work() with UV_THREADPOOL_SIZE=1.
// - echo: uv_try_write() sends at once. uv_write() sends only the rest, since it always calls back
//   from a later turn of the loop. Buffers belong to the connections.

#include <uv.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/contestants/contestant.h"
#include "bench/lib/echo.h"
#include "bench/lib/harness.h"

namespace weft::bench {
namespace {

void check(int result) {
  if (result < 0) throw std::runtime_error(uv_strerror(result));
}

// REQUIRES: no handle is open when it ends.
class Loop {
 public:
  Loop() { check(uv_loop_init(&loop_)); }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop() { uv_loop_close(&loop_); }

  uv_loop_t* get() { return &loop_; }
  void run(uv_run_mode mode = UV_RUN_DEFAULT) { uv_run(&loop_, mode); }

 private:
  uv_loop_t loop_;
};

template <class Handle>
uv_handle_t* as_handle(Handle& handle) {
  return reinterpret_cast<uv_handle_t*>(&handle);
}

// ---- Time ---------------------------------------------------------------------------------------

void close_timers(Loop& loop, std::vector<uv_timer_t>& timers) {
  for (uv_timer_t& timer : timers) uv_close(as_handle(timer), nullptr);
  loop.run();
}

// libuv's times are milliseconds; others are rounded up.
double timers(long times) {
  const double begin = wall_ns();
  Loop loop;
  std::vector<uv_timer_t> all(static_cast<std::size_t>(times));
  for (std::size_t i = 0; i < all.size(); ++i) {
    uv_timer_init(loop.get(), &all[i]);
    const std::uint64_t ms = (scattered(i, 1'000'000) + 999) / 1000;
    uv_timer_start(
        &all[i], [](uv_timer_t*) {}, ms, 0);
    if (i % 1000 == 999) loop.run(UV_RUN_NOWAIT);
  }
  loop.run();
  const double ms = (wall_ns() - begin) * 1e-6;
  close_timers(loop, all);
  return ms - 1000;
}

double queries(long times) {
  const double begin = wall_ns();
  Loop loop;
  std::vector<uv_timer_t> all(static_cast<std::size_t>(times));
  for (uv_timer_t& timer : all) {
    uv_timer_init(loop.get(), &timer);
    uv_timer_start(
        &timer, [](uv_timer_t*) {}, 1000, 0);
  }
  loop.run();
  const double ms = (wall_ns() - begin) * 1e-6;
  close_timers(loop, all);
  return ms;
}

double timeout(long times) {
  Loop loop;
  std::vector<uv_timer_t> others(100'000);
  for (std::size_t i = 0; i < others.size(); ++i) {
    uv_timer_init(loop.get(), &others[i]);
    const std::uint64_t seconds = 600 + scattered(i, 3600);
    uv_timer_start(
        &others[i], [](uv_timer_t*) {}, seconds * 1000, 0);
  }
  uv_timer_t timer;
  uv_timer_init(loop.get(), &timer);
  const double each = wall_ns_per(times, [&] {
    for (long i = 0; i < times; ++i) {
      uv_timer_start(
          &timer, [](uv_timer_t*) {}, 5000, 0);
      asm volatile("");
      uv_timer_stop(&timer);
    }
  });
  uv_close(as_handle(timer), nullptr);
  close_timers(loop, others);
  return each;
}

// ---- The thread pool ----------------------------------------------------------------------------

// One job after the other: each is queued once its predecessor has come back.
struct Chain {
  uv_work_t request = {};
  long left = 0;

  void queue(uv_loop_t* loop) {
    request.data = this;
    uv_queue_work(
        loop, &request, [](uv_work_t*) {},
        [](uv_work_t* done, int) {
          auto* chain = static_cast<Chain*>(done->data);
          if (--chain->left > 0) chain->queue(done->loop);
        });
  }
};

// The first job starts the process's pool, whose thread stays on the core where it was started.
void start_pool(Loop& loop) {
  setenv("UV_THREADPOOL_SIZE", "1", 1);
  const OnCore last(OnCore::kLast);
  Chain chain{.left = 1};
  chain.queue(loop.get());
  loop.run();
}

double executor(long times) {
  Loop loop;
  start_pool(loop);
  const OnCore first(OnCore::kFirst);
  Chain chain{.left = times};
  return wall_ns_per(times, [&] {
    chain.queue(loop.get());
    loop.run();
  });
}

// ---- TCP ----------------------------------------------------------------------------------------

struct Connection {
  uv_tcp_t socket;
  uv_write_t request;
  std::array<char, kEchoBuffer> data;

  uv_stream_t* stream() { return reinterpret_cast<uv_stream_t*>(&socket); }
};

template <class Handle>
Connection& connection_of(Handle* handle) {
  return *static_cast<Connection*>(handle->data);
}

void drop(Connection& connection) {
  uv_close(as_handle(connection.socket),
           [](uv_handle_t* handle) { delete &connection_of(handle); });
}

void give_buffer(uv_handle_t* handle, std::size_t, uv_buf_t* buffer) {
  *buffer = uv_buf_init(connection_of(handle).data.data(), kEchoBuffer);
}

void on_read(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer);

// Reads on when all is sent: until then the buffer is in use.
void on_written(uv_write_t* request, int status) {
  Connection& connection = connection_of(request->handle);
  if (status < 0) return drop(connection);
  uv_read_start(connection.stream(), give_buffer, on_read);
}

void on_read(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer) {
  Connection& connection = connection_of(stream);
  if (size < 0) return drop(connection);
  if (size == 0) return;
  uv_buf_t rest = uv_buf_init(buffer->base, static_cast<unsigned>(size));
  const int sent = uv_try_write(stream, &rest, 1);
  if (sent == size) return;
  if (sent < 0 && sent != UV_EAGAIN) return drop(connection);
  if (sent > 0) {
    rest.base += sent;
    rest.len -= static_cast<std::size_t>(sent);
  }
  uv_read_stop(stream);
  uv_write(&connection.request, stream, &rest, 1, on_written);
}

void on_connection(uv_stream_t* listener, int status) {
  if (status < 0) return;
  auto* connection = new Connection;
  uv_tcp_init(listener->loop, &connection->socket);
  connection->socket.data = connection;
  if (uv_accept(listener, connection->stream()) != 0) return drop(*connection);
  uv_tcp_nodelay(&connection->socket, 1);
  uv_read_start(connection->stream(), give_buffer, on_read);
}

double echo(long) {
  Loop loop;
  uv_tcp_t listener;
  check(uv_tcp_init(loop.get(), &listener));
  sockaddr_in address;
  check(uv_ip4_addr("127.0.0.1", 0, &address));
  check(uv_tcp_bind(&listener, reinterpret_cast<const sockaddr*>(&address), 0));
  check(uv_listen(reinterpret_cast<uv_stream_t*>(&listener), kEchoBacklog, on_connection));
  uv_os_fd_t fd;
  check(uv_fileno(as_handle(listener), &fd));
  print_port(port_of(fd));
  loop.run();
  return 0;
}

constexpr Workload kWorkloads[] = {
    {"timers", timers},   {"timeout", timeout}, {"executor", executor},
    {"queries", queries}, {"echo", echo},
};

}  // namespace

std::string version() { return std::string("libuv ") + uv_version_string(); }

std::span<const Workload> workloads() { return kWorkloads; }

}  // namespace weft::bench
