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

#include "weft/io/buffer.h"
#include "weft/io/core/asio_buffers.h"
#include "weft/io/core/socket.h"

namespace weft {

class File;

// A connection: what TcpStream, UnixStream and FdStream have in common.
//
// Each call waits in the calling fiber. It is a cancellation point if it waits, and at least every
// 32nd time if it does not; then it lets other fibers run.
//
// Errors: std::system_error, naming call and peer; a call that gets a std::error_code as its last
// argument reports there what it would throw. A peer that is gone is an error (broken_pipe,
// connection_reset), never SIGPIPE. close() in another fiber makes a call that waits fail with
// operation_canceled; later calls fail with bad_file_descriptor. A fiber that reads while another
// one reads, or writes while another one writes, gets device_or_resource_busy: nothing is mixed.
//
// Partial transfers: with an error code, read_exactly(), write_all() and sendfile() return the
// number of bytes that were transferred before they failed. If the fiber is cancelled after a part
// was transferred, they return that number with operation_canceled, and the next wait throws
// Cancelled. If nothing was transferred, as always in read_some() and write_some(), Cancelled is
// thrown. Without an error code it is thrown in either case, and the number is lost.
//
//   std::error_code error;
//   std::size_t written = 0;
//   try {
//     weft::with_timeout(5s, [&] { written = stream.write_all(text, error); });
//   } catch (const weft::TimeoutError&) {  // nothing was written
//   }
//   if (error == std::errc::operation_canceled) go_on_later(text.substr(written));
//
// If a function ends with such a call, without another wait, with_timeout() returns normally though
// the time is over: look at the error. (close() in another fiber has the same code; is_open()
// distinguishes them.)
//
// It models Boost.Asio's SyncReadStream and SyncWriteStream, so that Boost.Beast can drive it.
//
// Threads: one fiber may read while another one writes, both of one scheduler. While no call is in
// progress the stream may be moved, destroyed, or handed over to another scheduler. It may outlive
// the runtime in which it was used first.
//
// Cost: a call that does not wait is its system call and some 80 instructions (callgrind). A call
// that has to wait mostly knows so without trying.
class StreamSocket {
 public:
  // Reads what there is, at least a byte and at most what fits. Returns 0 at the end, after the
  // peer has shut down its side, and at once if the buffer has no room.
  std::size_t read_some(MutableBuffer buffer, internal::ErrorTo error = {}) {
    return size_or_error(receive(buffer, Extent::kSome), "read from", error);
  }
  // The same into several buffers, one after the other (readv): the first 16 that are not empty.
  std::size_t read_some(std::span<const MutableBuffer> buffers, internal::ErrorTo error = {}) {
    return size_or_error(receive(internal::Parts(buffers)), "read from", error);
  }

  // Fills the buffer. Fails with no_message_available if the end comes first. Returns the size of
  // what was read, which is less only if it fails.
  std::size_t read_exactly(MutableBuffer buffer, internal::ErrorTo error = {}) {
    return size_or_error(receive(buffer, all(error)), "read from", error);
  }

  // Writes at least a byte. Returns the number of bytes.
  std::size_t write_some(ConstBuffer buffer, internal::ErrorTo error = {}) {
    return size_or_error(send(buffer, Extent::kSome), "write to", error);
  }
  // The same from several buffers (writev): the first 16 that are not empty.
  std::size_t write_some(std::span<const ConstBuffer> buffers, internal::ErrorTo error = {}) {
    return size_or_error(send(buffers, Extent::kSome), "write to", error);
  }

  // Writes everything. Returns the size of what was written, which is less only if it fails.
  std::size_t write_all(ConstBuffer buffer, internal::ErrorTo error = {}) {
    return size_or_error(send(buffer, all(error)), "write to", error);
  }
  std::size_t write_all(std::span<const ConstBuffer> buffers, internal::ErrorTo error = {}) {
    return size_or_error(send(buffers, all(error)), "write to", error);
  }
  // For write_all({head, body}).
  std::size_t write_all(std::initializer_list<ConstBuffer> buffers) {
    return write_all(std::span<const ConstBuffer>(buffers.begin(), buffers.size()));
  }

  // Writes `count` bytes of a file from `offset` on, without copying them through the process.
  // Returns the number of bytes, which is less only if the file ends first, or it fails. A thread
  // of the executor reads the disk, so that it does not hold up other fibers. Meanwhile there is a
  // second descriptor of the socket, which stays open after close() until the thread is done. Even
  // a call that is cancelled waits for what a thread has begun to send, at most 1 MiB.
  std::uint64_t sendfile(const File& file, std::uint64_t offset, std::uint64_t count,
                         internal::ErrorTo error = {});

  // Reports to the peer that nothing more will be written: its reads end. Does not wait. Fails with
  // device_or_resource_busy while another fiber is in a call that writes: the peer would take the
  // part that has been written for the whole. Cancel that fiber first, or close().
  void shutdown_write(internal::ErrorTo error = {});

  // Closes. Calls that wait in other fibers fail with operation_canceled. Does not wait. What was
  // written is still sent; what was not read is lost, which the peer sees as a reset. No effect
  // twice.
  void close() noexcept { socket_.close(); }
  bool is_open() const noexcept { return socket_.is_open(); }

  // As close(), but gives the descriptor, which stays open and non-blocking, to the caller; -1 if
  // the stream is closed. What was not read can still be read from it.
  int release() noexcept { return socket_.release().release(); }

  // The descriptor, non-blocking, for getsockopt and the like; -1 after close(). weft owns it.
  int native_handle() const noexcept { return socket_.fd(); }

  // ---- For Boost.Asio's read(), write() and for Beast ----
  // At the end these report asio::error::eof, where the others return 0. Without an error code they
  // throw std::system_error (no_message_available).
  template <internal::AsioMutableBuffers Buffers, class ErrorCode>
  std::size_t read_some(const Buffers& buffers, ErrorCode& error);
  template <internal::AsioMutableBuffers Buffers>
  std::size_t read_some(const Buffers& buffers);
  template <internal::AsioConstBuffers Buffers, class ErrorCode>
  std::size_t write_some(const Buffers& buffers, ErrorCode& error);
  template <internal::AsioConstBuffers Buffers>
  std::size_t write_some(const Buffers& buffers);

 protected:
  StreamSocket() = default;
  // What the descriptor is: for FdStream no socket.
  enum class Kind : unsigned char { kSocket, kOther };

  // `drained_by_short_reads` is true if a read that fills less than its buffer has taken
  // everything.
  StreamSocket(internal::Fd fd, bool drained_by_short_reads, Kind kind = Kind::kSocket) noexcept
      : socket_(std::move(fd)), drained_by_short_reads_(drained_by_short_reads), kind_(kind) {}
  StreamSocket(StreamSocket&&) = default;
  StreamSocket& operator=(StreamSocket&&) = default;
  ~StreamSocket() = default;

  // For messages.
  virtual std::string peer_name() const = 0;

  internal::Socket socket_;

 private:
  // kAllCounted: a cancellation that comes when a part has been transferred is an error.
  enum class Extent : unsigned char { kSome, kAll, kAllCounted };

  // What a call has transferred, and 0 or the error that ended it, which is negative.
  struct Result {
    std::size_t size;
    int error;
  };

  template <class Once>
  Result transfer(internal::Direction direction, std::uint64_t total, Extent extent, Once once);
  Result receive(MutableBuffer buffer, Extent extent);
  Result receive(const internal::Parts& parts);
  Result send(ConstBuffer buffer, Extent extent);
  Result send(std::span<const ConstBuffer> buffers, Extent extent);
  Result send(const internal::Parts& parts);
  ssize_t send_once(const internal::Parts& parts);
  Result transfer_file(const File& file, std::uint64_t offset, std::uint64_t count, Extent extent);

  static Extent all(internal::ErrorTo error) noexcept {
    return error.code() ? Extent::kAllCounted : Extent::kAll;
  }

  // How the public calls report a Result.
  std::size_t size_or_error(Result result, const char* call, internal::ErrorTo error) const {
    if (error.code()) return report(result, *error.code());
    if (result.error != 0) [[unlikely]]
      fail_with(result.error, call);
    return result.size;
  }
  static std::size_t report(Result result, std::error_code& error) noexcept;
  [[noreturn]] void fail_with(int error, const char* call) const;

  bool drained_by_short_reads_ = false;
  Kind kind_ = Kind::kSocket;
  bool busy_[2] = {};  // by direction: a call is under way
};

// ---- Implementation -----------------------------------------------------------------------------

template <internal::AsioMutableBuffers Buffers, class ErrorCode>
std::size_t StreamSocket::read_some(const Buffers& buffers, ErrorCode& error) {
  const internal::Parts parts(buffers);
  const Result result = receive(parts);
  error = internal::asio_error<ErrorCode>(result.error);
  if (result.size == 0 && result.error == 0 && parts.size() > 0)
    error = internal::asio_eof<ErrorCode>();
  return result.size;
}

template <internal::AsioMutableBuffers Buffers>
std::size_t StreamSocket::read_some(const Buffers& buffers) {
  const internal::Parts parts(buffers);
  const std::size_t size = size_or_error(receive(parts), "read from", {});
  if (size == 0 && parts.size() > 0) fail_with(-ENODATA, "read from");
  return size;
}

template <internal::AsioConstBuffers Buffers, class ErrorCode>
std::size_t StreamSocket::write_some(const Buffers& buffers, ErrorCode& error) {
  const Result result = send(internal::Parts(buffers));
  error = internal::asio_error<ErrorCode>(result.error);
  return result.size;
}

template <internal::AsioConstBuffers Buffers>
std::size_t StreamSocket::write_some(const Buffers& buffers) {
  return size_or_error(send(internal::Parts(buffers)), "write to", {});
}

}  // namespace weft

#endif  // WEFT_IO_STREAM_SOCKET_H_
