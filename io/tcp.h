#ifndef WEFT_IO_TCP_H_
#define WEFT_IO_TCP_H_

#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "weft/fiber/time.h"
#include "weft/io/address.h"
#include "weft/io/core/fd.h"
#include "weft/io/core/socket.h"
#include "weft/io/stream_socket.h"

namespace weft {

struct ConnectOptions {
  // For everything together: look-up and all addresses. Each address may take an equal share of
  // what is left, but two seconds at least. A negative duration counts as zero.
  AnyDuration timeout = std::chrono::seconds(30);
  // Sends small writes at once: TCP_NODELAY. Nagle's algorithm holds them back, up to 40 ms where
  // the peer delays its acknowledgements.
  bool nodelay = true;
};

// A TCP connection. What it does is in StreamSocket.
class TcpStream final : public StreamSocket {
 public:
  // Not connected.
  TcpStream() = default;

  // Connects to "host:port": "127.0.0.1:80", "[::1]:80", "localhost:http". Tries the addresses of
  // the host in the order of resolve() until one answers.
  //
  // A cancellation point where it waits. Throws std::system_error, naming what it tried: timed_out,
  // what the look-up failed with, or the last address. The kernel may connect a socket to itself
  // if nobody serves the port: that is connection_refused, too. The overloads with an error code
  // report these there and return a stream that is not open. In any case, throws std::system_error
  // (invalid_argument) for a text that is no host and port, and std::logic_error outside fibers.
  static TcpStream connect(std::string_view host_and_port, ConnectOptions options = {});
  static TcpStream connect(std::string_view host_and_port, ConnectOptions options,
                           std::error_code& error);
  static TcpStream connect(const Address& address, ConnectOptions options = {});
  static TcpStream connect(const Address& address, ConnectOptions options, std::error_code& error);

  // Throw std::system_error after close().
  Address local_address() const;
  // That of the other side, also when it is gone; 127.0.0.1 where a connection was made to 0.0.0.0.
  // Does not throw.
  const Address& peer_address() const noexcept { return peer_; }

  // See ConnectOptions and TcpListenerOptions.
  void set_nodelay(bool nodelay);

 private:
  friend class TcpListener;

  TcpStream(internal::Fd fd, const Address& peer) noexcept
      : StreamSocket(std::move(fd), true), peer_(peer) {}

  static TcpStream connect(std::string_view host_and_port, const ConnectOptions& options,
                           std::error_code& error, std::string& tried);
  std::error_code connect_until(TimePoint deadline, bool nodelay);
  int try_connect(TimePoint deadline, bool nodelay);

  std::string peer_name() const override;

  Address peer_;
};

struct TcpListenerOptions {
  // Connections that the kernel holds until they are accepted; it has a limit of its own
  // (net.core.somaxconn).
  int backlog = 4096;
  // Binds also while old connections of the port are in TIME_WAIT: SO_REUSEADDR.
  bool reuse_address = true;
  // Several listeners may have the port, and share the connections: SO_REUSEPORT.
  bool reuse_port = false;
  // For the accepted connections; see ConnectOptions.
  bool nodelay = true;
};

// Accepts TCP connections.
//
// Threads: several fibers of one scheduler may accept at once. Otherwise as StreamSocket.
class TcpListener {
 public:
  // Not listening.
  TcpListener() = default;

  // Listens on "127.0.0.1:8080", "[::1]:8080", "localhost:8080", or ":8080", every address of this
  // machine, IPv4 and IPv6; for port 0 the kernel chooses one. Needs no fiber, but for names, of
  // whose addresses it takes the first that this machine has.
  // Throws std::system_error, naming the address: address_in_use and so on.
  explicit TcpListener(std::string_view host_and_port, TcpListenerOptions options = {});
  explicit TcpListener(const Address& address, TcpListenerOptions options = {});

  // One listener for each scheduler of the calling fiber's runtime, all on one port, among which
  // the kernel spreads the connections (SO_REUSEPORT): the i-th is for the i-th scheduler.
  //
  //   auto listeners = TcpListener::one_per_scheduler(":8080");
  //   spread([&](std::size_t i) { serve(listeners[i]); });
  //
  // Throws as the constructor does; address_in_use where somebody else has the port, though both be
  // willing to share it, unless options.reuse_port says that this is wanted. std::logic_error
  // outside fibers.
  static std::vector<TcpListener> one_per_scheduler(std::string_view host_and_port,
                                                    TcpListenerOptions options = {});

  // The next connection. A cancellation point where it waits, and every 32nd time.
  //
  // Out of descriptors or memory, it says so once on stderr, tries again every now and then, and
  // goes on when there are some; the kernel keeps what has come until then, as far as the backlog
  // goes. Connections that are gone before they are accepted are passed over.
  // Throws std::system_error: operation_canceled if another fiber closes it meanwhile,
  // bad_file_descriptor after a close().
  TcpStream accept();
  TcpStream accept(std::error_code& error);

  // With the port that the kernel chose. Throws std::system_error after close().
  Address local_address() const;

  // Wakes whoever waits in accept(), with operation_canceled, and closes; connections that nobody
  // has accepted are reset. No effect twice.
  void close() noexcept { socket_.close(); }
  bool is_open() const noexcept { return socket_.is_open(); }

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
