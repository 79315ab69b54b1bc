#ifndef WEFT_IO_UDP_H_
#define WEFT_IO_UDP_H_

#include <cstddef>
#include <string_view>
#include <utility>

#include "weft/io/address.h"
#include "weft/io/buffer.h"
#include "weft/io/datagram_socket.h"
#include "weft/io/socket_options.h"

namespace weft {

struct UdpSocketOptions {
  // Binds also while another socket that allows it has the port, as for multicast: SO_REUSEADDR.
  bool reuse_address = false;
  // Lets several sockets share the port and the datagrams that arrive: SO_REUSEPORT.
  bool reuse_port = false;
  // Further options, set before it binds. They override the ones above.
  SocketOptions socket = {};
};

// A UDP socket. See DatagramSocket for what else it can do.
//
//   UdpSocket socket("127.0.0.1:0");
//   socket.send_to("ping", Address::parse("127.0.0.1:5300"));
//   const auto [size, from, truncated] = socket.receive_from(buffer);
class UdpSocket final : public DatagramSocket {
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

  // Takes over a UDP socket that the program has, from listen_fds() or another library, and makes
  // it non-blocking. Other options stay as they are. Does not wait. Throws as TcpStream::adopt().
  static UdpSocket adopt(int fd);

  // Sets the peer of send() and receive(); a second call sets another one. send_to() still reaches
  // others. receive_from() then only gets the peer's datagrams. Does not wait. Throws
  // std::system_error, naming the peer: bad_file_descriptor after close().
  void connect(const Address& peer);

  // Join or leave a multicast group: while it is joined, its datagrams are received.
  //
  //   UdpSocket socket(":5353", {.reuse_address = true});
  //   socket.join_group(Address::parse("224.0.0.251:0"), "eth0");
  //   const auto [size, from, truncated] = socket.receive_from(buffer);
  //
  // The port of the group is ignored. `interface` is the name of a network interface. If it is
  // empty, an IPv6 address may name one ("[ff02::1%eth0]:0"); otherwise the kernel chooses.
  // Datagrams leave by the interface whose address the socket is bound to. Do not wait. Throw
  // std::system_error, naming the group: no_such_device; address_in_use if it has joined already,
  // address_not_available if it has not.
  void join_group(const Address& group, std::string_view interface = {});
  void leave_group(const Address& group, std::string_view interface = {});

  // Sends one datagram. An IPv6 socket that takes both families also sends to IPv4 addresses.
  // Fails with message_size if the datagram is too large.
  void send_to(ConstBuffer datagram, const Address& to, internal::ErrorTo error = {});

  // Waits for the next datagram. If only a part fits the buffer, returns that part.
  Received receive_from(MutableBuffer buffer, internal::ErrorTo error = {});

  // The address with the port that the kernel chose. Throws std::system_error after close().
  Address local_address() const;

 private:
  UdpSocket(internal::Fd fd, const Address& local)
      : DatagramSocket(std::move(fd), local.to_string()), v6_(local.is_v6()) {}

  static UdpSocket bound(const Address& address, const UdpSocketOptions& options,
                         bool both_families);

  // The address in the form that the socket's family takes.
  Address target(const Address& to) const noexcept { return v6_ && !to.is_v6() ? to.mapped() : to; }
  void change_group(const char* call, int option, const Address& group, std::string_view interface);

  bool v6_ = false;
};

}  // namespace weft

#endif  // WEFT_IO_UDP_H_
