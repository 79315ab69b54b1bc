#ifndef WEFT_IO_SOCKET_OPTIONS_H_
#define WEFT_IO_SOCKET_OPTIONS_H_

#include <optional>

#include "weft/fiber/time.h"

namespace weft {

// Options of a socket, all of which the system defines: see socket(7), tcp(7), ip(7). One that is
// not set here stays as it is.
//
//   set_options(stream.native_handle(), {.keepalive = true, .keepalive_idle = 60s});
//   set_options(socket.native_handle(), {.broadcast = true, .multicast_ttl = 4});
//   TcpListener listener(":8080", {.socket = {.receive_buffer = 1 << 20}});
//
// Options of a listener are inherited by the connections that it accepts. The size of a buffer
// should be set before a connection is made: ConnectOptions::socket, TcpListenerOptions::socket.
//
// Times are rounded up to the unit of the option. A negative one counts as zero.
struct SocketOptions {
  // Binds though old connections of the port are in TIME_WAIT; lets several sockets share it.
  std::optional<bool> reuse_address = {};
  std::optional<bool> reuse_port = {};

  // Sizes in bytes. The kernel doubles them for its own use, and has limits (net.core.rmem_max).
  std::optional<int> receive_buffer = {};
  std::optional<int> send_buffer = {};

  // If the time is not zero, close() resets the connection when what was written has not been
  // acknowledged by then; weft's close() does not wait for it. If it is zero, close() resets the
  // connection at once. In seconds.
  std::optional<AnyDuration> linger = {};

  // TCP only. Sends small writes at once: see ConnectOptions::nodelay.
  std::optional<bool> nodelay = {};
  // TCP only. Finds out that a peer is gone while nothing is sent: after `keepalive_idle` without a
  // packet the kernel asks, every `keepalive_interval`, and after `keepalive_count` questions
  // without an answer the connection has failed (timed_out). In seconds, at least one.
  std::optional<bool> keepalive = {};
  std::optional<AnyDuration> keepalive_idle = {};
  std::optional<AnyDuration> keepalive_interval = {};
  std::optional<int> keepalive_count = {};
  // TCP only. How long what was sent may stay without an acknowledgement before the connection has
  // failed (timed_out). Zero: as the system has it, some 15 minutes. In milliseconds.
  std::optional<AnyDuration> user_timeout = {};

  // UDP only. Lets send_to() take a broadcast address.
  std::optional<bool> broadcast = {};
  // UDP only. How many routers may pass a multicast on, plus one: 1, where it starts, stays in this
  // network. And whether sockets of this machine get it, too.
  std::optional<int> multicast_ttl = {};
  std::optional<bool> multicast_loop = {};
};

// Sets the options of a socket, by its descriptor: a socket of weft's own (native_handle()), or any
// other. Does not wait. Any thread. A system call for each option. Throws std::system_error, naming
// option and descriptor: bad_file_descriptor after close(); invalid_argument or no_protocol_option
// for what the socket does not take. The options before that one are set, in the order above.
void set_options(int fd, const SocketOptions& options);

}  // namespace weft

namespace weft::internal {

// The same: returns 0 or a negative error. `failed`, if given, becomes the name of the option.
int try_set_options(int fd, const SocketOptions& options, const char** failed = nullptr) noexcept;

}  // namespace weft::internal

#endif  // WEFT_IO_SOCKET_OPTIONS_H_
