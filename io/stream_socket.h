#ifndef WEFT_IO_STREAM_SOCKET_H_
#define WEFT_IO_STREAM_SOCKET_H_

#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "weft/io/asio_buffers.h"
#include "weft/io/buffer.h"
#include "weft/io/socket.h"

namespace weft {

class File;

// A connection: what TcpStream and UnixStream have in common.
//
// Each call blocks the calling fiber, and is a cancellation point where it waits, and at least
// every 32nd time where it does not, when it lets other fibers run. Cancelled, it has transferred
// what it had transferred: a read_some() or write_some() nothing, the others maybe a part.
//
// Errors: std::system_error, naming call and peer; the overloads with an error code report there
// what the others throw. A peer that is gone is an error (broken_pipe, connection_reset), never
// SIGPIPE. close() in another fiber makes a call that waits fail with operation_canceled; after it
// calls fail with bad_file_descriptor. A second fiber that reads while one reads, or writes while
// one writes, gets device_or_resource_busy: nothing is mixed.
//
// It models Boost.Asio's SyncReadStream and SyncWriteStream, so that Boost.Beast can drive it.
//
// Threads: one fiber may read while another one writes, both of one scheduler. It may be handed
// over to another scheduler, and outlive the runtime in which it was used first, while no call is
// under way; that also goes for moving and destroying it.
//
// Cost: a call that does not wait is its system call and some 80 instructions (callgrind); one that
// has to wait knows that in most cases without trying.
class StreamSocket {
 public:
  // Reads what there is, at least a byte and at most all that fits. 0 at the end, when the peer has
  // shut down its side; and at once if there is no room.
  std::size_t read_some(MutableBuffer buffer);
  std::size_t read_some(MutableBuffer buffer, std::error_code& error);
  // The same into several buffers, one after the other (readv): the first 16 that are not empty.
  std::size_t read_some(std::span<const MutableBuffer> buffers);
  std::size_t read_some(std::span<const MutableBuffer> buffers, std::error_code& error);

  // Fills the buffer. Fails with no_message_available if the end comes first; returns what was
  // read.
  std::size_t read_exactly(MutableBuffer buffer);
  std::size_t read_exactly(MutableBuffer buffer, std::error_code& error);

  // Writes at least a byte; returns how many.
  std::size_t write_some(ConstBuffer buffer);
  std::size_t write_some(ConstBuffer buffer, std::error_code& error);
  // The same from several buffers (writev): the first 16 that are not empty.
  std::size_t write_some(std::span<const ConstBuffer> buffers);
  std::size_t write_some(std::span<const ConstBuffer> buffers, std::error_code& error);

  // Writes everything; returns how much was written, which is less only if it fails.
  std::size_t write_all(ConstBuffer buffer);
  std::size_t write_all(ConstBuffer buffer, std::error_code& error);
  std::size_t write_all(std::span<const ConstBuffer> buffers);
  std::size_t write_all(std::span<const ConstBuffer> buffers, std::error_code& error);
  // write_all({head, body})
  std::size_t write_all(std::initializer_list<ConstBuffer> buffers) {
    return write_all(std::span<const ConstBuffer>(buffers.begin(), buffers.size()));
  }

  // Writes `count` bytes of a file, beginning at `offset`, without copying them through the
  // process; returns how many, which is less only if the file ends first. The disk is read on a
  // thread of the executor, so that it does not hold up others. Meanwhile there is a second
  // descriptor of the socket, which close() does not end before the thread is done.
  std::uint64_t sendfile(const File& file, std::uint64_t offset, std::uint64_t count);

  // Tells the peer that nothing more will be written: its reads end. Does not wait.
  void shutdown_write();

  // Wakes whoever waits in a call, with operation_canceled, and closes. No effect twice. What was
  // written is still sent; what was not read is lost, which the peer sees as a reset.
  void close() noexcept { socket_.close(); }
  bool is_open() const noexcept { return socket_.is_open(); }

  // The descriptor, non-blocking, for getsockopt and the like; -1 after close(). weft keeps it.
  int native_handle() const noexcept { return socket_.fd(); }

  // ---- For Boost.Asio's read(), write() and for Beast ----
  // At the end they report asio::error::eof where the others return 0; those without an error code
  // throw std::system_error (no_message_available).
  template <AsioMutableBuffers Buffers, class ErrorCode>
  std::size_t read_some(const Buffers& buffers, ErrorCode& error);
  template <AsioMutableBuffers Buffers>
  std::size_t read_some(const Buffers& buffers);
  template <AsioConstBuffers Buffers, class ErrorCode>
  std::size_t write_some(const Buffers& buffers, ErrorCode& error);
  template <AsioConstBuffers Buffers>
  std::size_t write_some(const Buffers& buffers);

 protected:
  StreamSocket() = default;
  // `drained_by_short_reads`: whether a read of less than there is room for has taken everything.
  StreamSocket(Fd fd, bool drained_by_short_reads) noexcept
      : socket_(std::move(fd)), drained_by_short_reads_(drained_by_short_reads) {}
  StreamSocket(StreamSocket&&) = default;
  StreamSocket& operator=(StreamSocket&&) = default;
  ~StreamSocket() = default;

  // For messages.
  virtual std::string peer_name() const = 0;

  Socket socket_;

 private:
  class Turn;

  // As the public ones of these names, but for errors, which are negative.
  ssize_t read_once(MutableBuffer buffer);
  ssize_t read_once(std::span<const MutableBuffer> buffers);
  ssize_t write_once(ConstBuffer buffer);
  ssize_t write_once(std::span<const ConstBuffer> buffers);
  std::size_t read_fully(MutableBuffer buffer, int& error);
  std::size_t write_fully(ConstBuffer buffer, int& error);
  std::size_t write_fully(std::span<const ConstBuffer> buffers, int& error);

  // Without a turn.
  ssize_t receive(MutableBuffer buffer);
  ssize_t send(ConstBuffer buffer);
  ssize_t send(std::span<const ConstBuffer> buffers, std::size_t skip);

  [[noreturn]] void fail_with(int error, const char* call) const;

  bool drained_by_short_reads_ = false;
  bool busy_[2] = {};  // by direction: a call is under way
};

// ---- Implementation -----------------------------------------------------------------------------

template <AsioMutableBuffers Buffers, class ErrorCode>
std::size_t StreamSocket::read_some(const Buffers& buffers, ErrorCode& error) {
  const AsioViews<MutableBuffer> views(buffers);
  std::error_code failure;
  const std::size_t size = read_some(views.span(), failure);
  error = asio_error<ErrorCode>(failure);
  if (size == 0 && !failure && !views.span().empty()) error = asio_eof<ErrorCode>();
  return size;
}

template <AsioMutableBuffers Buffers>
std::size_t StreamSocket::read_some(const Buffers& buffers) {
  const AsioViews<MutableBuffer> views(buffers);
  const std::size_t size = read_some(views.span());
  if (size == 0 && !views.span().empty()) {
    fail_with(-ENODATA, "read from");
  }
  return size;
}

template <AsioConstBuffers Buffers, class ErrorCode>
std::size_t StreamSocket::write_some(const Buffers& buffers, ErrorCode& error) {
  std::error_code failure;
  const std::size_t size = write_some(AsioViews<ConstBuffer>(buffers).span(), failure);
  error = asio_error<ErrorCode>(failure);
  return size;
}

template <AsioConstBuffers Buffers>
std::size_t StreamSocket::write_some(const Buffers& buffers) {
  return write_some(AsioViews<ConstBuffer>(buffers).span());
}

}  // namespace weft

#endif  // WEFT_IO_STREAM_SOCKET_H_
