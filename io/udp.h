#ifndef WEFT_IO_UDP_H_
#define WEFT_IO_UDP_H_

#include <cstddef>
#include <string_view>
#include <system_error>

#include "weft/io/address.h"
#include "weft/io/buffer.h"
#include "weft/io/core/fd.h"
#include "weft/io/core/socket.h"

namespace weft {

struct UdpSocketOptions {
  bool reuse_address = false;
  // Several sockets may have the port, and share what comes: SO_REUSEPORT.
  bool reuse_port = false;
};

// A UDP socket.
//
// Calls block the calling fiber, and are cancellation points where they wait and every 32nd time.
// Errors: std::system_error, naming call and address; operation_canceled if another fiber closes
// the socket meanwhile, bad_file_descriptor after a close().
//
// Threads: any number of fibers of one scheduler may send and receive at once, each a datagram of
// its own. Otherwise as StreamSocket.
class UdpSocket {
 public:
  // What receive_from() got.
  struct Received {
    std::size_t size = 0;    // in the buffer; 0 is a datagram without content
    Address from;            // the sender
    bool truncated = false;  // there was more than fits, which is lost
  };

  // Not open.
  UdpSocket() = default;
  UdpSocket(UdpSocket&&) = default;
  UdpSocket& operator=(UdpSocket&&) = default;

  // Bound to "127.0.0.1:53" or ":53" (every address of this machine, IPv4 and IPv6); port 0 lets
  // the kernel choose one. Numbers only. Needs no fiber.
  explicit UdpSocket(std::string_view address, UdpSocketOptions options = {});
  explicit UdpSocket(const Address& address, UdpSocketOptions options = {});

  // Sends one datagram. An IPv4 address may be given to an IPv6 socket that takes both.
  // message_size: it is larger than a datagram can be.
  void send_to(ConstBuffer datagram, const Address& to);
  void send_to(ConstBuffer datagram, const Address& to, std::error_code& error);

  // Waits for a datagram.
  Received receive_from(MutableBuffer buffer);
  Received receive_from(MutableBuffer buffer, std::error_code& error);

  // Throws std::system_error after close().
  Address local_address() const;

  void close() noexcept { socket_.close(); }
  bool is_open() const noexcept { return socket_.is_open(); }
  int native_handle() const noexcept { return socket_.fd(); }

 private:
  UdpSocket(const Address& address, const UdpSocketOptions& options, bool both_families);

  internal::Socket socket_;
  internal::Name name_;
  bool v6_ = false;
};

}  // namespace weft

#endif  // WEFT_IO_UDP_H_
