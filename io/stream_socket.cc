#include "weft/io/stream_socket.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>

#include "weft/io/error.h"
#include "weft/io/file.h"
#include "weft/sync/thread_pool.h"

namespace weft {
namespace {

constexpr std::size_t kMaxParts = 16;
// What a thread of the executor sends at once, at most: that long it may be busy with the disk.
constexpr std::uint64_t kSendfileChunk = 1 << 20;

std::error_code busy() { return std::make_error_code(std::errc::device_or_resource_busy); }
std::error_code ended() { return std::make_error_code(std::errc::no_message_available); }

// The first buffers, less the first `skip` bytes, as system calls take them.
class Parts {
 public:
  template <class Buffer>
  explicit Parts(std::span<const Buffer> buffers, std::size_t skip = 0) noexcept {
    for (Buffer buffer : buffers) {
      const std::size_t gone = std::min(skip, buffer.size());
      skip -= gone;
      if (gone == buffer.size()) continue;
      if (message_.msg_iovlen == kMaxParts) break;
      buffer = buffer.drop_front(gone);
      parts_[message_.msg_iovlen++] = {const_cast<std::byte*>(buffer.data()), buffer.size()};
      size_ += buffer.size();
    }
    message_.msg_iov = parts_;
  }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  std::size_t size() const noexcept { return size_; }
  msghdr* message() noexcept { return &message_; }

 private:
  iovec parts_[kMaxParts];
  msghdr message_{};
  std::size_t size_ = 0;
};

}  // namespace

// A call's time with one direction of the stream, which it has for itself.
class StreamSocket::Turn {
 public:
  Turn(StreamSocket& stream, Direction direction, std::error_code& error) noexcept
      : busy_(stream.busy_[static_cast<unsigned>(direction)]), mine_(!busy_) {
    if (mine_) {
      busy_ = true;
      error.clear();
    } else {
      error = busy();
    }
  }
  ~Turn() {
    if (mine_) busy_ = false;
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  explicit operator bool() const noexcept { return mine_; }

 private:
  bool& busy_;
  const bool mine_;
};

void StreamSocket::fail_with(std::error_code error, const char* call) const {
  std::string object = peer_name();
  if (error == busy()) object += ", where another fiber is at it,";
  if (error == ended()) object += ", which ended early,";
  fail(error, call, object);
}

// ---- Reading ------------------------------------------------------------------------------------

ssize_t StreamSocket::receive(MutableBuffer buffer, std::error_code& error) {
  return socket_.attempt(
      Direction::kRead, "read_some", error,
      [&] { return recv(socket_.fd(), buffer.data(), buffer.size(), 0); },
      drained_by_short_reads_ ? buffer.size() : 0);
}

std::size_t StreamSocket::read_some(MutableBuffer buffer, std::error_code& error) {
  const Turn turn(*this, Direction::kRead, error);
  if (!turn || buffer.empty()) return 0;
  const ssize_t size = receive(buffer, error);
  return size < 0 ? 0 : static_cast<std::size_t>(size);
}

std::size_t StreamSocket::read_some(MutableBuffer buffer) {
  std::error_code error;
  const std::size_t size = read_some(buffer, error);
  if (error) [[unlikely]]
    fail_with(error, "read from");
  return size;
}

std::size_t StreamSocket::read_some(std::span<const MutableBuffer> buffers,
                                    std::error_code& error) {
  const Turn turn(*this, Direction::kRead, error);
  Parts parts(buffers);
  if (!turn || parts.size() == 0) return 0;
  const ssize_t size = socket_.attempt(
      Direction::kRead, "read_some", error,
      [&] { return recvmsg(socket_.fd(), parts.message(), 0); },
      drained_by_short_reads_ ? parts.size() : 0);
  return size < 0 ? 0 : static_cast<std::size_t>(size);
}

std::size_t StreamSocket::read_some(std::span<const MutableBuffer> buffers) {
  std::error_code error;
  const std::size_t size = read_some(buffers, error);
  if (error) fail_with(error, "read from");
  return size;
}

std::size_t StreamSocket::read_exactly(MutableBuffer buffer, std::error_code& error) {
  const Turn turn(*this, Direction::kRead, error);
  std::size_t done = 0;
  while (turn && done < buffer.size()) {
    const ssize_t size = receive(buffer.drop_front(done), error);
    if (size == 0) error = ended();
    if (size <= 0) break;
    done += static_cast<std::size_t>(size);
  }
  return done;
}

std::size_t StreamSocket::read_exactly(MutableBuffer buffer) {
  std::error_code error;
  const std::size_t size = read_exactly(buffer, error);
  if (error) fail_with(error, "read from");
  return size;
}

// ---- Writing ------------------------------------------------------------------------------------

ssize_t StreamSocket::send(ConstBuffer buffer, std::error_code& error) {
  return socket_.attempt(
      Direction::kWrite, "write_some", error,
      [&] { return ::send(socket_.fd(), buffer.data(), buffer.size(), MSG_NOSIGNAL); },
      buffer.size());
}

std::size_t StreamSocket::write_some(ConstBuffer buffer, std::error_code& error) {
  const Turn turn(*this, Direction::kWrite, error);
  if (!turn || buffer.empty()) return 0;
  const ssize_t size = send(buffer, error);
  return size < 0 ? 0 : static_cast<std::size_t>(size);
}

std::size_t StreamSocket::write_some(ConstBuffer buffer) {
  std::error_code error;
  const std::size_t size = write_some(buffer, error);
  if (error) fail_with(error, "write to");
  return size;
}

std::size_t StreamSocket::write_all(ConstBuffer buffer, std::error_code& error) {
  const Turn turn(*this, Direction::kWrite, error);
  std::size_t done = 0;
  while (turn && done < buffer.size()) {
    const ssize_t size = send(buffer.drop_front(done), error);
    if (size < 0) break;
    done += static_cast<std::size_t>(size);
  }
  return done;
}

std::size_t StreamSocket::write_all(ConstBuffer buffer) {
  std::error_code error;
  const std::size_t size = write_all(buffer, error);
  if (error) [[unlikely]]
    fail_with(error, "write to");
  return size;
}

// Writes of the buffers what comes after the first `skip` bytes. 0: there is nothing.
ssize_t StreamSocket::send(std::span<const ConstBuffer> buffers, std::size_t skip,
                           std::error_code& error) {
  Parts parts(buffers, skip);
  if (parts.size() == 0) return 0;
  return socket_.attempt(
      Direction::kWrite, "write_some", error,
      [&] { return sendmsg(socket_.fd(), parts.message(), MSG_NOSIGNAL); }, parts.size());
}

std::size_t StreamSocket::write_some(std::span<const ConstBuffer> buffers, std::error_code& error) {
  const Turn turn(*this, Direction::kWrite, error);
  if (!turn) return 0;
  const ssize_t size = send(buffers, 0, error);
  return size < 0 ? 0 : static_cast<std::size_t>(size);
}

std::size_t StreamSocket::write_some(std::span<const ConstBuffer> buffers) {
  std::error_code error;
  const std::size_t size = write_some(buffers, error);
  if (error) fail_with(error, "write to");
  return size;
}

std::size_t StreamSocket::write_all(std::span<const ConstBuffer> buffers, std::error_code& error) {
  const Turn turn(*this, Direction::kWrite, error);
  std::size_t done = 0;
  while (turn) {
    const ssize_t size = send(buffers, done, error);
    if (size <= 0) break;
    done += static_cast<std::size_t>(size);
  }
  return done;
}

std::size_t StreamSocket::write_all(std::span<const ConstBuffer> buffers) {
  std::error_code error;
  const std::size_t size = write_all(buffers, error);
  if (error) fail_with(error, "write to");
  return size;
}

std::uint64_t StreamSocket::sendfile(const File& file, std::uint64_t offset, std::uint64_t count) {
  std::error_code error;
  const Turn turn(*this, Direction::kWrite, error);
  if (error) fail_with(error, "sendfile to");
  // While a thread sends from it, the number of a descriptor that another fiber closes must not
  // become another's.
  const Fd own(fcntl(socket_.fd(), F_DUPFD_CLOEXEC, 0));
  if (own.get() < 0) fail_with(last_error(), "sendfile to");
  const std::shared_ptr<const Fd> source = file.descriptor();
  std::uint64_t done = 0;
  while (done < count) {
    const ssize_t size = socket_.attempt(Direction::kWrite, "sendfile", error, [&] {
      // SIGPIPE, which cannot be turned off for this call, is blocked in the executor's threads.
      const auto [result, reason] = run_in_executor([&] {
        auto position = static_cast<off_t>(offset + done);
        const ssize_t sent = ::sendfile(own.get(), source ? source->get() : -1, &position,
                                        std::min(count - done, kSendfileChunk));
        return std::pair(sent, errno);
      });
      errno = reason;
      return result;
    });
    if (size < 0) fail_with(error, "sendfile to");
    if (size == 0) break;
    done += static_cast<std::uint64_t>(size);
  }
  return done;
}

void StreamSocket::shutdown_write() {
  if (shutdown(socket_.fd(), SHUT_WR) == 0) return;
  // A peer that is gone needs not to be told.
  if (errno != ENOTCONN) fail_with(last_error(), "shutdown_write of");
}

}  // namespace weft
