#ifndef WEFT_IO_TCP_H_
#define WEFT_IO_TCP_H_

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/fiber/time.h"
#include "weft/io/address.h"
#include "weft/io/core/socket.h"
#include "weft/io/socket_options.h"
#include "weft/io/stream_socket.h"

namespace weft {

struct ConnectOptions {
  // The limit of the look-up and all attempts together. A negative duration counts as zero.
  AnyDuration timeout = std::chrono::seconds(30);
  // Sends small writes at once: TCP_NODELAY. Nagle's algorithm holds them back, up to 40 ms if the
  // peer delays its acknowledgements.
  bool nodelay = true;
  // If a host has several addresses, how long the latest attempt has before the next address is
  // tried as well (RFC 8305). Zero or less: all are tried at once.
  AnyDuration stagger = std::chrono::milliseconds(250);
  // The local address. If its port is 0 the kernel chooses one. Only addresses of its family are
  // tried.
  std::optional<Address> from = {};
  // Further options, set before it connects. They override the ones above.
  SocketOptions socket = {};
};

// A TCP connection. See StreamSocket for what it can do.
//
//   TcpStream stream = TcpStream::connect("example.org:80");
//   stream.write_all("GET / HTTP/1.0\r\n\r\n");
//   const std::string answer = BufferedReader(stream).read_all();
class TcpStream final : public StreamSocket {
 public:
  // Not connected.
  TcpStream() = default;

  // Connects to "host:port": "127.0.0.1:80", "[::1]:80", "localhost:http". Tries the addresses of
  // the host in the order of resolve(), IPv4 and IPv6 in turn. The next attempt begins when one
  // fails, or after ConnectOptions::stagger. The first connection is returned; the other attempts
  // are cancelled. Several addresses take a fiber each.
  //
  //   TcpStream stream = TcpStream::connect("example.org:80", {.timeout = 5s, .stagger = 100ms});
  //
  // A cancellation point if it waits. Throws std::system_error, naming what it tried: timed_out,
  // what the look-up failed with, or what the first address failed with. If nothing serves the port
  // the kernel may connect a socket to itself: that is connection_refused, too. A call that gets a
  // std::error_code reports these there and returns a stream that is not open. In any case, throws
  // std::system_error (invalid_argument) for a text that is no host and port, and std::logic_error
  // outside fibers.
  static TcpStream connect(std::string_view host_and_port, ConnectOptions options = {},
                           internal::ErrorTo error = {});
  static TcpStream connect(const Address& address, ConnectOptions options = {},
                           internal::ErrorTo error = {});

  // Takes over a connection that the program has, e.g. one that another library has accepted, and
  // makes it non-blocking. Other options stay as they are: see set_nodelay(). Does not wait, and
  // needs no fiber. Six system calls.
  //
  //   TcpStream stream = TcpStream::adopt(fd);
  //   stream.write_all("hello\n");
  //   const int mine_again = stream.release();
  //
  // Throws std::system_error, naming the descriptor, which stays the caller's: bad_file_descriptor;
  // not_a_socket; address_family_not_supported and wrong_protocol_type for sockets of other kinds;
  // invalid_argument if it listens; not_connected; device_or_resource_busy if a weft socket owns
  // it.
  static TcpStream adopt(int fd);

  // Throw std::system_error after close().
  Address local_address() const;
  // The address of the other side, even when that is gone. After a connection to 0.0.0.0 it is
  // 127.0.0.1. Does not throw.
  const Address& peer_address() const noexcept { return peer_; }

  // See ConnectOptions and TcpListenerOptions.
  void set_nodelay(bool nodelay);

 private:
  friend class TcpListener;

  TcpStream(internal::Fd fd, const Address& peer) noexcept
      : StreamSocket(std::move(fd), true), peer_(peer) {}

  static TcpStream connect_until(TimePoint deadline, const Address& address,
                                 const ConnectOptions& options);
  static TcpStream connect_by_name(std::string_view host_and_port, const ConnectOptions& options);

  std::string peer_name() const override;

  Address peer_;
};

struct TcpListenerOptions {
  // The number of connections that the kernel keeps until they are accepted. It has a limit of its
  // own (net.core.somaxconn).
  int backlog = 4096;
  // Binds also while old connections of the port are in TIME_WAIT: SO_REUSEADDR.
  bool reuse_address = true;
  // Lets several listeners share the port and its connections: SO_REUSEPORT.
  bool reuse_port = false;
  // For the accepted connections; see ConnectOptions.
  bool nodelay = true;
  // Further options, set before it binds. They override the ones above.
  SocketOptions socket = {};
};

// Accepts TCP connections.
//
//   TcpListener listener(":8080");
//   for (;;) group.spawn([stream = listener.accept()]() mutable { serve(stream); });
//
// Threads: several fibers of one scheduler may accept at once. Otherwise as StreamSocket.
class TcpListener {
 public:
  // Not listening.
  TcpListener() = default;

  // Listens on "127.0.0.1:8080", "[::1]:8080", "localhost:8080", or ":8080", which is every address
  // of this machine, IPv4 and IPv6. For port 0 the kernel chooses one. A name needs a fiber; of its
  // addresses the first that this machine has is taken.
  // Throws std::system_error, naming the address: address_in_use and so on.
  explicit TcpListener(std::string_view host_and_port, TcpListenerOptions options = {});
  explicit TcpListener(const Address& address, TcpListenerOptions options = {});

  // Returns one listener for each scheduler of the calling fiber's runtime, in the same order. All
  // have one port, and the kernel spreads the connections among them (SO_REUSEPORT).
  //
  //   auto listeners = TcpListener::one_per_scheduler(":8080");
  //   spread([&](std::size_t i) { serve(listeners[i]); });
  //
  // Throws as the constructor does. If another process has the port, address_in_use, even if both
  // would share it, unless options.reuse_port allows that. std::logic_error outside fibers.
  static std::vector<TcpListener> one_per_scheduler(std::string_view host_and_port,
                                                    TcpListenerOptions options = {});

  // Takes over a socket that listens, from listen_fds() or another library, and makes it
  // non-blocking. Other options stay as they are, also those that connections inherit.
  //
  //   set_options(fd, {.nodelay = true});  // as the constructor does
  //   TcpListener listener = TcpListener::adopt(fd);
  //
  // Does not wait. Throws as TcpStream::adopt(), but invalid_argument if it does not listen.
  static TcpListener adopt(int fd);

  // Waits for the next connection. A cancellation point if it waits, and every 32nd time.
  //
  // If descriptors or memory run out, the process reports that once on stderr, and the call tries
  // again every 10 ms. Meanwhile the kernel keeps connections, as far as the backlog goes.
  // Connections that are gone before they are accepted are passed over.
  // Throws std::system_error: operation_canceled if another fiber closes the listener meanwhile,
  // bad_file_descriptor after close(). A call that gets a std::error_code reports these there and
  // returns a stream that is not open.
  TcpStream accept(internal::ErrorTo error = {});

  // The address with the port that the kernel chose. Throws std::system_error after close().
  Address local_address() const;

  // Closes. Calls of accept() that wait fail with operation_canceled; connections that were not
  // accepted are reset, unless another process has the socket, too. Does not wait. No effect twice.
  void close() noexcept { socket_.close(); }
  bool is_open() const noexcept { return socket_.is_open(); }

  // As close(), but gives the descriptor, which goes on listening and is non-blocking, to the
  // caller; -1 if the listener is closed.
  int release() noexcept { return socket_.release().release(); }

  int native_handle() const noexcept { return socket_.fd(); }

 private:
  TcpListener(const Address& address, const TcpListenerOptions& options, bool both_families);

  static std::vector<TcpListener> listen(std::string_view host_and_port,
                                         const TcpListenerOptions& options, std::size_t count);
  static std::vector<TcpListener> listen(Address address, bool both_families,
                                         TcpListenerOptions options, std::size_t count);

  internal::Socket socket_;
  internal::Name name_;
};

}  // namespace weft

#endif  // WEFT_IO_TCP_H_
