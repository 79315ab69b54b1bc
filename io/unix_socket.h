#ifndef WEFT_IO_UNIX_SOCKET_H_
#define WEFT_IO_UNIX_SOCKET_H_

#include <sys/types.h>

#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "weft/fiber/core/process.h"
#include "weft/io/core/fd.h"
#include "weft/io/core/socket.h"
#include "weft/io/stream_socket.h"

namespace weft {

// A connection within this machine, by the path of a socket file, or by an abstract name, which is
// written with an @ in front and has no file. What it does is in StreamSocket.
class UnixStream final : public StreamSocket {
 public:
  // Not connected.
  UnixStream() = default;
  UnixStream(UnixStream&&) = default;
  UnixStream& operator=(UnixStream&&) = default;

  // Waits, without a limit of its own, while the listener's backlog is full: a cancellation point
  // then. Throws std::system_error, naming the path: connection_refused if nobody listens,
  // no_such_file_or_directory and so on. The overload with an error code reports these there and
  // returns a stream that is not open. Both throw invalid_argument or filename_too_long (more than
  // 107 bytes) if the path cannot be that of a socket.
  static UnixStream connect(std::string_view path);
  static UnixStream connect(std::string_view path, std::error_code& error);

  // Two ends that are connected to each other. Needs no fiber.
  static std::pair<UnixStream, UnixStream> pair();

 private:
  friend class UnixListener;

  // A read of less than there is may have stopped at descriptors that the peer passes along.
  UnixStream(internal::Fd fd, std::string name) noexcept
      : StreamSocket(std::move(fd), false), name_(std::move(name)) {}

  std::string peer_name() const override { return name_.text(); }

  internal::Name name_;
};

struct UnixListenerOptions {
  int backlog = 4096;  // see TcpListenerOptions
};

// Accepts connections within this machine. Threads: as TcpListener.
class UnixListener {
 public:
  // Not listening.
  UnixListener() = default;

  // Makes the socket file; one that is left from a listener that is gone, so that connecting to it
  // is refused, is replaced; one that is there is tried for that, by a connection. Needs no fiber.
  // Throws std::system_error, naming the path: address_in_use if somebody listens there or it is
  // something else, filename_too_long.
  explicit UnixListener(std::string_view path, UnixListenerOptions options = {});

  UnixListener(UnixListener&&) = default;
  UnixListener& operator=(UnixListener&& other) noexcept;
  ~UnixListener() { close(); }

  // As TcpListener::accept().
  UnixStream accept();
  UnixStream accept(std::error_code& error);

  // As TcpListener::close(); removes the socket file, if it is still this listener's, and only in
  // the process that made it: a forked child leaves it to its parent.
  void close() noexcept;
  bool is_open() const noexcept { return socket_.is_open(); }

  // As it was given.
  const std::string& path() const noexcept { return path_.text(); }

  int native_handle() const noexcept { return socket_.fd(); }

 private:
  internal::Socket socket_;
  internal::Name path_;
  internal::HomeProcess process_;
  dev_t device_ = 0;  // of the socket file, with
  ino_t inode_ = 0;   // 0: there is none
};

}  // namespace weft

#endif  // WEFT_IO_UNIX_SOCKET_H_
