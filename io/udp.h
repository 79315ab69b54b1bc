#ifndef WEFT_IO_UDP_H_
#define WEFT_IO_UDP_H_

#include <cstddef>
#include <string_view>
#include <system_error>

#include "weft/io/address.h"
#include "weft/io/buffer.h"
#include "weft/io/core/socket.h"

namespace weft {

struct UdpSocketOptions {
  bool reuse_address = false;
  // Lets several sockets share the port and the datagrams that arrive: SO_REUSEPORT.
  bool reuse_port = false;
};

// A UDP socket.
//
//   UdpSocket socket("127.0.0.1:0");
//   socket.send_to("ping", Address::parse("127.0.0.1:5300"));
//   const auto [size, from, truncated] = socket.receive_from(buffer);
//
// Calls wait in the calling fiber. They are cancellation points if they wait, and every 32nd time.
// Errors: std::system_error, naming call and address; operation_canceled if another fiber closes
// the socket meanwhile, bad_file_descriptor after close(). The overloads with an error code report
// there what the others throw.
//
// Threads: any number of fibers of one scheduler may send and receive at once; each call transfers
// one datagram. Otherwise as StreamSocket.
class UdpSocket {
 public:
  // What receive_from() got.
  struct Received {
    std::size_t size = 0;    // in bytes, in the buffer; a datagram may be empty
    Address from;            // the sender
    bool truncated = false;  // true if a part did not fit, which is lost
  };

  // Not open.
  UdpSocket() = default;

  // Binds to "127.0.0.1:53" or ":53" (every address of this machine, IPv4 and IPv6). Numbers only.
  // For port 0 the kernel chooses one. Needs no fiber and does not wait. Throws std::system_error,
  // naming the address: address_in_use and so on.
  explicit UdpSocket(std::string_view address, UdpSocketOptions options = {});
  explicit UdpSocket(const Address& address, UdpSocketOptions options = {});

  // Sends one datagram. An IPv6 socket that takes both families also sends to IPv4 addresses.
  // Fails with message_size if the datagram is too large.
  void send_to(ConstBuffer datagram, const Address& to);
  void send_to(ConstBuffer datagram, const Address& to, std::error_code& error);

  // Waits for the next datagram.
  Received receive_from(MutableBuffer buffer);
  Received receive_from(MutableBuffer buffer, std::error_code& error);

  // The address with the port that the kernel chose. Throws std::system_error after close().
  Address local_address() const;

  // Closes. Calls that wait fail with operation_canceled. Does not wait. No effect twice.
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
