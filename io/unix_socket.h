#ifndef WEFT_IO_UNIX_SOCKET_H_
#define WEFT_IO_UNIX_SOCKET_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "weft/io/buffer.h"
#include "weft/io/core/socket.h"
#include "weft/io/datagram_socket.h"
#include "weft/io/stream_socket.h"

namespace weft::internal {

class SocketFile;

}  // namespace weft::internal

namespace weft {

// A connection within this machine. See StreamSocket for what it can do. Its place is the path of a
// socket file, or an abstract name, which begins with an @ and has no file.
//
//   UnixStream stream = UnixStream::connect("/run/service.socket");
//   stream.write_all("status\n");
//   const auto line = BufferedReader(stream).read_line();
class UnixStream final : public StreamSocket {
 public:
  // Not connected.
  UnixStream() = default;

  // Waits, without a limit of its own, while the listener's backlog is full: a cancellation point
  // then. Throws std::system_error, naming the path: connection_refused if nothing listens,
  // no_such_file_or_directory and so on. A call that gets a std::error_code reports these there and
  // returns a stream that is not open. In any case, throws invalid_argument or filename_too_long
  // (more than 107 bytes) if the path cannot be that of a socket.
  static UnixStream connect(std::string_view path, internal::ErrorTo error = {});

  // Returns two ends that are connected to each other. Needs no fiber and does not wait. Throws
  // std::system_error if the process is out of descriptors.
  static std::pair<UnixStream, UnixStream> pair();

  // Takes over a connection that the program has, and makes it non-blocking. Does not wait. Throws
  // as TcpStream::adopt().
  //
  //   UnixStream stream = UnixStream::adopt(fd);
  static UnixStream adopt(int fd);

 private:
  friend class UnixListener;

  // A short read may have stopped at descriptors that the peer passes along.
  UnixStream(internal::Fd fd, std::string name) noexcept
      : StreamSocket(std::move(fd), false), name_(std::move(name)) {}

  std::string peer_name() const override { return name_.text(); }

  internal::Name name_;
};

struct UnixListenerOptions {
  int backlog = 4096;  // see TcpListenerOptions
};

// Accepts connections within this machine.
//
//   UnixListener listener("/run/service.socket");
//   for (;;) group.spawn([stream = listener.accept()]() mutable { serve(stream); });
//
// Threads: as TcpListener.
class UnixListener {
 public:
  // Not listening.
  UnixListener() = default;

  // Makes the socket file. A stale one is replaced; whether an existing one is stale is found out
  // by connecting to it. Needs no fiber. Throws std::system_error, naming the path: address_in_use
  // if another listener is there, or a file of another kind; filename_too_long.
  explicit UnixListener(std::string_view path, UnixListenerOptions options = {});

  UnixListener(UnixListener&&) = default;
  UnixListener& operator=(UnixListener&&) = default;
  ~UnixListener() { close(); }

  // As TcpListener::adopt(). The socket file is not this listener's: it stays.
  static UnixListener adopt(int fd);

  // As TcpListener::accept().
  UnixStream accept(internal::ErrorTo error = {});

  // As TcpListener::close(). Also removes the socket file if it is still this listener's, but not
  // in a forked child: there it is the parent's.
  void close() noexcept {
    file_.reset();
    socket_.close();
  }
  bool is_open() const noexcept { return socket_.is_open(); }

  // As TcpListener::release(). The socket file stays.
  int release() noexcept;

  // The path given to the constructor, or that of the adopted socket.
  const std::string& path() const noexcept { return path_.text(); }

  int native_handle() const noexcept { return socket_.fd(); }

 private:
  std::shared_ptr<internal::SocketFile> file_;  // null after close(), and for an abstract name
  internal::Socket socket_;
  internal::Name path_;
};

// A socket for datagrams within this machine. See DatagramSocket for what else it can do. No
// datagram is lost: a receiver that is slow makes senders wait. Its place is as UnixStream's.
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

  // Binds to a path, as UnixListener does. For an empty one the kernel chooses an abstract name, so
  // that a client can be answered. Needs no fiber and does not wait. Throws std::system_error,
  // naming the path.
  explicit UnixDatagram(std::string_view path);

  UnixDatagram(UnixDatagram&&) = default;
  UnixDatagram& operator=(UnixDatagram&&) = default;
  ~UnixDatagram() { close(); }

  // Returns two sockets without a path that are connected to each other. As UnixStream::pair().
  static std::pair<UnixDatagram, UnixDatagram> pair();

  // Takes over a socket that the program has, and makes it non-blocking. The file is not this
  // socket's: it stays. Does not wait. Throws as TcpStream::adopt().
  static UnixDatagram adopt(int fd);

  // Sets the peer of send() and receive(); a second call sets another one. Does not wait. Throws
  // std::system_error, naming the path: connection_refused if no socket is bound to it,
  // no_such_file_or_directory and so on; bad_file_descriptor after close().
  void connect(std::string_view path);

  // Sends one datagram. Waits, without a limit of its own, while the receiver's queue is full. No
  // event reports room there, so it tries again every millisecond; send() to a peer is woken
  // instead. Fails as connect() does; a path that cannot be that of a socket is thrown in any case.
  void send_to(ConstBuffer datagram, std::string_view path, internal::ErrorTo error = {});

  // Waits for the next datagram. If only a part fits the buffer, returns that part.
  Received receive_from(MutableBuffer buffer, internal::ErrorTo error = {});

  // Its own path, or the name that the kernel chose; empty if it has none. Throws std::system_error
  // after close().
  std::string path() const;

  // As DatagramSocket's. close() also removes the socket file if it is still this socket's, but not
  // in a forked child; release() leaves it.
  void close() noexcept;
  int release() noexcept;

 private:
  using DatagramSocket::DatagramSocket;

  std::shared_ptr<internal::SocketFile> file_;  // null after close(), and without a file
};

}  // namespace weft

#endif  // WEFT_IO_UNIX_SOCKET_H_
