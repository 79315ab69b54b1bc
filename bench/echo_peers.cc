// Boost.Asio, libuv and Boost.Fiber, as their documentation teaches.

#include <uv.h>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <cstdlib>
#include <memory>
#include <utility>

#include "bench/echo.h"
#include "bench/echo_fiber.h"

namespace weft::bench {
namespace {

// ---- Boost.Asio ---------------------------------------------------------------------------------
// BOOST_ASIO_CONCURRENCY_HINT_UNSAFE: one thread, so no locks (see "Concurrency Hints" in its
// documentation). Sockets have the executor's own type instead of any_io_executor, which would call
// it by virtual functions.

namespace asio = boost::asio;

using Tcp = asio::ip::tcp;
using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<Tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<Tcp, Executor>;

Acceptor asio_listen(asio::io_context& context) {
  Acceptor acceptor(context, Tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  acceptor.listen(kEchoBacklog);
  return acceptor;
}

[[noreturn]] void asio_run(asio::io_context& context, bool spin) {
  while (spin) context.poll();
  context.run();
  std::abort();  // it always accepts
}

// Callbacks: a session that its handlers keep alive.
class AsioSession : public std::enable_shared_from_this<AsioSession> {
 public:
  explicit AsioSession(Socket socket) : socket_(std::move(socket)) {}

  void read() {
    socket_.async_read_some(asio::buffer(data_),
                            [self = shared_from_this()](const auto& error, std::size_t size) {
                              if (!error) self->write(size);
                            });
  }

 private:
  void write(std::size_t size) {
    asio::async_write(socket_, asio::buffer(data_, size),
                      [self = shared_from_this()](const auto& error, std::size_t) {
                        if (!error) self->read();
                      });
  }

  Socket socket_;
  std::array<char, kEchoBuffer> data_;
};

void asio_accept(Acceptor& acceptor) {
  acceptor.async_accept([&acceptor](const auto& error, Socket socket) {
    if (!error) {
      socket.set_option(Tcp::no_delay(true));
      std::make_shared<AsioSession>(std::move(socket))->read();
    }
    asio_accept(acceptor);
  });
}

void asio_callbacks(const EchoOptions& options) {
  asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
  Acceptor acceptor = asio_listen(context);
  asio_accept(acceptor);
  options.ready(acceptor.local_endpoint().port());
  asio_run(context, options.spin);
}

// Coroutines, with `deferred`: it starts an operation without the coroutine frame of its own that
// use_awaitable makes for each.
using Awaitable = asio::awaitable<void, Executor>;

Awaitable asio_echo(Socket socket) {
  std::array<char, kEchoBuffer> data;
  try {
    for (;;) {
      const std::size_t size = co_await socket.async_read_some(asio::buffer(data), asio::deferred);
      co_await asio::async_write(socket, asio::buffer(data, size), asio::deferred);
    }
  } catch (const boost::system::system_error&) {
    // The peer has closed the connection.
  }
}

Awaitable asio_accept_loop(Acceptor acceptor) {
  for (;;) {
    Socket socket = co_await acceptor.async_accept(asio::deferred);
    socket.set_option(Tcp::no_delay(true));
    asio::co_spawn(acceptor.get_executor(), asio_echo(std::move(socket)), asio::detached);
  }
}

void asio_coroutines(const EchoOptions& options) {
  asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
  Acceptor acceptor = asio_listen(context);
  const std::uint16_t port = acceptor.local_endpoint().port();
  asio::co_spawn(context, asio_accept_loop(std::move(acceptor)), asio::detached);
  options.ready(port);
  asio_run(context, options.spin);
}

// ---- libuv --------------------------------------------------------------------------------------
// uv_try_write() sends at once, and uv_write() only what that has left: it always calls back from a
// later turn of the loop. Buffers belong to the connections.

struct UvConnection {
  uv_tcp_t socket;
  uv_write_t request;
  std::array<char, kEchoBuffer> data;

  uv_stream_t* stream() { return reinterpret_cast<uv_stream_t*>(&socket); }
};

template <class Handle>
UvConnection& uv_connection(Handle* handle) {
  return *static_cast<UvConnection*>(handle->data);
}

void uv_drop(UvConnection& connection) {
  uv_close(reinterpret_cast<uv_handle_t*>(&connection.socket),
           [](uv_handle_t* handle) { delete &uv_connection(handle); });
}

void uv_give_buffer(uv_handle_t* handle, std::size_t, uv_buf_t* buffer) {
  *buffer = uv_buf_init(uv_connection(handle).data.data(), kEchoBuffer);
}

void uv_on_read(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer);

// Reads on when all is sent: until then the buffer is in use.
void uv_on_written(uv_write_t* request, int status) {
  UvConnection& connection = uv_connection(request->handle);
  if (status < 0) return uv_drop(connection);
  uv_read_start(connection.stream(), uv_give_buffer, uv_on_read);
}

void uv_on_read(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer) {
  UvConnection& connection = uv_connection(stream);
  if (size < 0) return uv_drop(connection);
  if (size == 0) return;
  uv_buf_t rest = uv_buf_init(buffer->base, static_cast<unsigned>(size));
  const int sent = uv_try_write(stream, &rest, 1);
  if (sent == size) return;
  if (sent < 0 && sent != UV_EAGAIN) return uv_drop(connection);
  if (sent > 0) {
    rest.base += sent;
    rest.len -= static_cast<std::size_t>(sent);
  }
  uv_read_stop(stream);
  uv_write(&connection.request, stream, &rest, 1, uv_on_written);
}

void uv_on_connection(uv_stream_t* listener, int status) {
  if (status < 0) return;
  auto* connection = new UvConnection;
  uv_tcp_init(listener->loop, &connection->socket);
  connection->socket.data = connection;
  if (uv_accept(listener, connection->stream()) != 0) return uv_drop(*connection);
  uv_tcp_nodelay(&connection->socket, 1);
  uv_read_start(connection->stream(), uv_give_buffer, uv_on_read);
}

void libuv(const EchoOptions& options) {
  uv_loop_t* loop = uv_default_loop();
  uv_tcp_t listener;
  uv_tcp_init(loop, &listener);
  sockaddr_in address;
  uv_ip4_addr("127.0.0.1", 0, &address);
  uv_tcp_bind(&listener, reinterpret_cast<const sockaddr*>(&address), 0);
  uv_listen(reinterpret_cast<uv_stream_t*>(&listener), kEchoBacklog, uv_on_connection);
  uv_os_fd_t fd;
  uv_fileno(reinterpret_cast<const uv_handle_t*>(&listener), &fd);
  options.ready(port_of(fd));
  while (options.spin) uv_run(loop, UV_RUN_NOWAIT);
  uv_run(loop, UV_RUN_DEFAULT);
}

constexpr EchoServer kPeers[] = {
    {"Asio, callbacks", asio_callbacks},
    {"Asio, coroutines", asio_coroutines},
    {"libuv", libuv},
    {"Boost.Fiber on epoll", boost_fiber_echo},
};

}  // namespace

std::span<const EchoServer> echo_peers() { return kPeers; }

}  // namespace weft::bench
