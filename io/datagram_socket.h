#ifndef WEFT_IO_DATAGRAM_SOCKET_H_
#define WEFT_IO_DATAGRAM_SOCKET_H_

#include <sys/socket.h>
#include <sys/types.h>

#include <cstddef>
#include <string>
#include <utility>

#include "weft/io/buffer.h"
#include "weft/io/core/socket.h"

namespace weft {

// What UdpSocket and UnixDatagram have in common.
//
//   socket.connect(peer);
//   socket.send("ping");
//   const std::size_t size = socket.receive(buffer);
//
// Calls wait in the calling fiber. They are cancellation points if they wait, and every 32nd time.
// Errors: std::system_error, naming call and address; operation_canceled if another fiber closes
// the socket meanwhile, bad_file_descriptor after close(). A call that gets a std::error_code as
// its last argument reports there what it would throw.
//
// Threads: any number of fibers of one scheduler may send and receive at once; each call transfers
// one datagram. Otherwise as StreamSocket. Cost: a system call for each datagram; no copy is kept.
class DatagramSocket {
 public:
  // Sends one datagram to the peer that connect() has set. Fails with message_size if it is too
  // large; with destination_address_required or not_connected without a peer; and with
  // connection_refused, once, if nobody received an earlier one.
  void send(ConstBuffer datagram, internal::ErrorTo error = {});

  // Waits for the next datagram; returns its size in bytes, which may be zero. If it does not fit,
  // fails with message_size, and it is lost. After connect() only the peer's datagrams arrive.
  std::size_t receive(MutableBuffer buffer, internal::ErrorTo error = {}) {
    return receive_message(buffer, nullptr, 0, "receive", error).size;
  }

  // Closes. Calls that wait fail with operation_canceled. Does not wait. No effect twice.
  void close() noexcept { socket_.close(); }
  bool is_open() const noexcept { return socket_.is_open(); }

  // As close(), but gives the descriptor, which stays open and non-blocking, to the caller; -1 if
  // the socket is closed.
  int release() noexcept { return socket_.release().release(); }

  int native_handle() const noexcept { return socket_.fd(); }

 protected:
  DatagramSocket() = default;
  DatagramSocket(internal::Fd fd, std::string name) noexcept
      : socket_(std::move(fd)), name_(std::move(name)) {}
  DatagramSocket(DatagramSocket&&) = default;
  DatagramSocket& operator=(DatagramSocket&&) = default;
  ~DatagramSocket() = default;

  // Returns what sendto() does, or a negative error: -ENOBUFS if the queue of another Unix socket
  // is full, which no event reports. Without an address sends to the peer.
  ssize_t send_message(ConstBuffer datagram, const sockaddr* to, socklen_t size, const char* call);

  struct Message {
    std::size_t size;       // zero if it fails
    socklen_t sender_size;  // of the sender's address
    bool truncated;
  };
  // Writes as much of the sender's address as fits `room`. If there is no place for one, fails with
  // message_size where the buffer is too small.
  Message receive_message(MutableBuffer buffer, sockaddr* sender, socklen_t room, const char* call,
                          internal::ErrorTo error);

  internal::Socket socket_;
  internal::Name name_;  // its own address, for messages
};

}  // namespace weft

#endif  // WEFT_IO_DATAGRAM_SOCKET_H_
