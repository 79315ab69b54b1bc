#ifndef WEFT_IO_SOCKET_OPTIONS_H_
#define WEFT_IO_SOCKET_OPTIONS_H_

#include <optional>

#include "weft/fiber/time.h"

namespace weft {

// Options of a socket. The system defines all of them: see socket(7), tcp(7), ip(7). An option
// without a value stays as it is.
//
//   set_options(stream.native_handle(), {.keepalive = true, .keepalive_idle = 60s});
//   set_options(socket.native_handle(), {.broadcast = true, .multicast_ttl = 4});
//   TcpListener listener(":8080", {.socket = {.receive_buffer = 1 << 20}});
//
// The connections that a listener accepts inherit its options. The size of a buffer should be set
// before a connection is made: ConnectOptions::socket, TcpListenerOptions::socket.
//
// Times are rounded up to the unit of the option. A negative one counts as zero.
struct SocketOptions {
  // Binds though old connections of the port are in TIME_WAIT; lets several sockets share it.
  std::optional<bool> reuse_address = {}, reuse_port = {};

  // Sizes in bytes. The kernel doubles them for its own use, and has limits (net.core.rmem_max).
  std::optional<int> receive_buffer = {}, send_buffer = {};

  // How long after close() the kernel goes on sending what was written, before it resets the
  // connection. Zero resets it at once. In seconds. (weft's sockets do not wait for it in close().)
  std::optional<AnyDuration> linger = {};

  // TCP only. Sends small writes at once: see ConnectOptions::nodelay.
  std::optional<bool> nodelay = {};

  // TCP only. Finds out that a peer is gone while nothing is sent. After `keepalive_idle` without a
  // packet the kernel asks, every `keepalive_interval`. After `keepalive_count` questions without
  // an answer calls fail with timed_out. In seconds, at least one.
  std::optional<bool> keepalive = {};
  std::optional<AnyDuration> keepalive_idle = {}, keepalive_interval = {};
  std::optional<int> keepalive_count = {};

  // TCP only. How long what was sent may stay without an acknowledgement before calls fail with
  // timed_out. Zero: as the system has it, some 15 minutes. In milliseconds.
  std::optional<AnyDuration> user_timeout = {};

  // UDP only. Lets a socket send to a broadcast address.
  std::optional<bool> broadcast = {};

  // UDP only. How many networks a multicast may cross: with 1 it stays in this one. And whether
  // sockets of this machine get it, too.
  std::optional<int> multicast_ttl = {};
  std::optional<bool> multicast_loop = {};
};

// Sets the options of a socket by its descriptor: native_handle(), or that of any other socket.
// Does not wait. Any thread. A system call for each option. Throws std::system_error, naming option
// and descriptor: bad_file_descriptor after close(); invalid_argument, no_protocol_option and so on
// for an option that the socket does not take. Some of the others may have been set then.
void set_options(int fd, const SocketOptions& options);

}  // namespace weft

#endif  // WEFT_IO_SOCKET_OPTIONS_H_
