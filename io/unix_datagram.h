#ifndef WEFT_IO_UNIX_DATAGRAM_H_
#define WEFT_IO_UNIX_DATAGRAM_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "weft/io/buffer.h"
#include "weft/io/datagram_socket.h"

namespace weft::internal {

struct SocketFile;

}  // namespace weft::internal

namespace weft {

// A socket for datagrams within this machine. See DatagramSocket for what else it can do. None is
// lost: a receiver that is slow makes senders wait. Places are those of UnixStream.
//
//   UnixDatagram socket("/run/service.socket");
//   for (;;) {
//     const auto [size, from, truncated] = socket.receive_from(buffer);
//     socket.send_to({buffer.data(), size}, from);
//   }
class UnixDatagram final : public DatagramSocket {
 public:
  // What receive_from() got.
  struct Received {
    std::size_t size = 0;    // in bytes, in the buffer; a datagram may be empty
    std::string from;        // the sender's path; empty if it has none
    bool truncated = false;  // true if a part did not fit, which is lost
  };

  // Not open.
  UnixDatagram() = default;

  // Binds to a path, as UnixListener does. For an empty one the kernel chooses an abstract name,
  // which lets a client be answered. Needs no fiber and does not wait. Throws std::system_error,
  // naming the path.
  explicit UnixDatagram(std::string_view path);

  UnixDatagram(UnixDatagram&&) = default;
  UnixDatagram& operator=(UnixDatagram&&) = default;
  ~UnixDatagram() { close(); }

  // Returns two sockets without a path that are connected to each other. Needs no fiber and does
  // not wait. Throws std::system_error if the process is out of descriptors.
  static std::pair<UnixDatagram, UnixDatagram> pair();

  // Takes over a socket that the program has, and makes it non-blocking; its file stays. Does not
  // wait. Throws as TcpStream::adopt().
  static UnixDatagram adopt(int fd);

  // Names the peer for send() and receive(); a second call names another one. Does not wait. Throws
  // std::system_error, naming the path: connection_refused if no socket is bound to it,
  // no_such_file_or_directory and so on.
  void connect(std::string_view path);

  // Sends one datagram. Waits, without a limit of its own, while the receiver's queue is full: no
  // event reports room, so it looks every millisecond. send() is woken. Fails as connect() does.
  void send_to(ConstBuffer datagram, std::string_view path);
  void send_to(ConstBuffer datagram, std::string_view path, std::error_code& error);

  // Waits for the next datagram.
  Received receive_from(MutableBuffer buffer);
  Received receive_from(MutableBuffer buffer, std::error_code& error);

  // Its own path, or the name that the kernel chose; empty if it has none. Throws std::system_error
  // after close().
  std::string path() const;

  // As DatagramSocket's. close() also removes the socket file if it is still this socket's, but not
  // in a forked child; release() leaves it there.
  void close() noexcept;
  int release() noexcept;

 private:
  using DatagramSocket::DatagramSocket;

  std::shared_ptr<internal::SocketFile> file_;  // null after close(), and without a file
};

}  // namespace weft

#endif  // WEFT_IO_UNIX_DATAGRAM_H_
