#include "weft/io/stream_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>

#include "weft/io/error.h"
#include "weft/io/file.h"
#include "weft/sync/thread_pool.h"

namespace weft {
namespace {

constexpr std::size_t kMaxParts = 16;
// What a thread of the executor sends at once, at most: that long it may be busy with the disk.
constexpr std::uint64_t kSendfileChunk = 1 << 20;

constexpr int kBusy = -EBUSY;
constexpr int kEnded = -ENODATA;

// What read_some() and write_some() tell.
std::size_t report(ssize_t result, std::error_code& error) noexcept {
  error = error_of(result);
  return result < 0 ? 0 : static_cast<std::size_t>(result);
}

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
  Turn(StreamSocket& stream, Direction direction) noexcept
      : busy_(stream.busy_[static_cast<unsigned>(direction)]), mine_(!busy_) {
    busy_ = true;
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

[[gnu::cold]] void StreamSocket::fail_with(int error, const char* call) const {
  std::string object = peer_name();
  if (error == kBusy) object += " (another fiber is at it)";
  if (error == kEnded) object += " (it ended early)";
  fail(-error, {call, " ", object});
}

// ---- Reading ------------------------------------------------------------------------------------

[[gnu::always_inline]] inline ssize_t StreamSocket::receive(MutableBuffer buffer) {
  return socket_.attempt(
      Direction::kRead, "read_some",
      [&] { return recv(socket_.fd(), buffer.data(), buffer.size(), 0); },
      drained_by_short_reads_ ? buffer.size() : 0);
}

[[gnu::always_inline]] inline ssize_t StreamSocket::read_once(MutableBuffer buffer) {
  const Turn turn(*this, Direction::kRead);
  if (!turn) return kBusy;
  return buffer.empty() ? 0 : receive(buffer);
}

ssize_t StreamSocket::read_once(std::span<const MutableBuffer> buffers) {
  const Turn turn(*this, Direction::kRead);
  if (!turn) return kBusy;
  Parts parts(buffers);
  if (parts.size() == 0) return 0;
  return socket_.attempt(
      Direction::kRead, "read_some", [&] { return recvmsg(socket_.fd(), parts.message(), 0); },
      drained_by_short_reads_ ? parts.size() : 0);
}

std::size_t StreamSocket::read_fully(MutableBuffer buffer, int& error) {
  const Turn turn(*this, Direction::kRead);
  error = turn ? 0 : kBusy;
  std::size_t done = 0;
  while (error == 0 && done < buffer.size()) {
    const ssize_t size = receive(buffer.drop_front(done));
    if (size > 0) {
      done += static_cast<std::size_t>(size);
    } else {
      error = size == 0 ? kEnded : static_cast<int>(size);
    }
  }
  return done;
}

std::size_t StreamSocket::read_some(MutableBuffer buffer, std::error_code& error) {
  return report(read_once(buffer), error);
}

std::size_t StreamSocket::read_some(MutableBuffer buffer) {
  const ssize_t size = read_once(buffer);
  if (size < 0) [[unlikely]]
    fail_with(static_cast<int>(size), "read from");
  return static_cast<std::size_t>(size);
}

std::size_t StreamSocket::read_some(std::span<const MutableBuffer> buffers,
                                    std::error_code& error) {
  return report(read_once(buffers), error);
}

std::size_t StreamSocket::read_some(std::span<const MutableBuffer> buffers) {
  const ssize_t size = read_once(buffers);
  if (size < 0) fail_with(static_cast<int>(size), "read from");
  return static_cast<std::size_t>(size);
}

std::size_t StreamSocket::read_exactly(MutableBuffer buffer, std::error_code& error) {
  int reason = 0;
  const std::size_t size = read_fully(buffer, reason);
  error = error_of(reason);
  return size;
}

std::size_t StreamSocket::read_exactly(MutableBuffer buffer) {
  int error = 0;
  const std::size_t size = read_fully(buffer, error);
  if (error != 0) fail_with(error, "read from");
  return size;
}

// ---- Writing ------------------------------------------------------------------------------------

[[gnu::always_inline]] inline ssize_t StreamSocket::send(ConstBuffer buffer) {
  return socket_.attempt(
      Direction::kWrite, "write_some",
      [&] { return ::send(socket_.fd(), buffer.data(), buffer.size(), MSG_NOSIGNAL); },
      buffer.size());
}

// Writes of the buffers what comes after the first `skip` bytes. 0: there is nothing.
ssize_t StreamSocket::send(std::span<const ConstBuffer> buffers, std::size_t skip) {
  Parts parts(buffers, skip);
  if (parts.size() == 0) return 0;
  return socket_.attempt(
      Direction::kWrite, "write_some",
      [&] { return sendmsg(socket_.fd(), parts.message(), MSG_NOSIGNAL); }, parts.size());
}

ssize_t StreamSocket::write_once(ConstBuffer buffer) {
  const Turn turn(*this, Direction::kWrite);
  if (!turn) return kBusy;
  return buffer.empty() ? 0 : send(buffer);
}

ssize_t StreamSocket::write_once(std::span<const ConstBuffer> buffers) {
  const Turn turn(*this, Direction::kWrite);
  return turn ? send(buffers, 0) : kBusy;
}

[[gnu::always_inline]] inline std::size_t StreamSocket::write_fully(ConstBuffer buffer,
                                                                    int& error) {
  const Turn turn(*this, Direction::kWrite);
  error = turn ? 0 : kBusy;
  std::size_t done = 0;
  while (error == 0 && done < buffer.size()) {
    const ssize_t size = send(buffer.drop_front(done));
    if (size >= 0) [[likely]] {
      done += static_cast<std::size_t>(size);
    } else {
      error = static_cast<int>(size);
    }
  }
  return done;
}

std::size_t StreamSocket::write_fully(std::span<const ConstBuffer> buffers, int& error) {
  const Turn turn(*this, Direction::kWrite);
  error = turn ? 0 : kBusy;
  std::size_t done = 0;
  while (error == 0) {
    const ssize_t size = send(buffers, done);
    if (size == 0) break;
    if (size > 0) {
      done += static_cast<std::size_t>(size);
    } else {
      error = static_cast<int>(size);
    }
  }
  return done;
}

std::size_t StreamSocket::write_some(ConstBuffer buffer, std::error_code& error) {
  return report(write_once(buffer), error);
}

std::size_t StreamSocket::write_some(ConstBuffer buffer) {
  const ssize_t size = write_once(buffer);
  if (size < 0) fail_with(static_cast<int>(size), "write to");
  return static_cast<std::size_t>(size);
}

std::size_t StreamSocket::write_some(std::span<const ConstBuffer> buffers, std::error_code& error) {
  return report(write_once(buffers), error);
}

std::size_t StreamSocket::write_some(std::span<const ConstBuffer> buffers) {
  const ssize_t size = write_once(buffers);
  if (size < 0) fail_with(static_cast<int>(size), "write to");
  return static_cast<std::size_t>(size);
}

std::size_t StreamSocket::write_all(ConstBuffer buffer, std::error_code& error) {
  int reason = 0;
  const std::size_t size = write_fully(buffer, reason);
  error = error_of(reason);
  return size;
}

std::size_t StreamSocket::write_all(ConstBuffer buffer) {
  int error = 0;
  const std::size_t size = write_fully(buffer, error);
  if (error != 0) [[unlikely]]
    fail_with(error, "write to");
  return size;
}

std::size_t StreamSocket::write_all(std::span<const ConstBuffer> buffers, std::error_code& error) {
  int reason = 0;
  const std::size_t size = write_fully(buffers, reason);
  error = error_of(reason);
  return size;
}

std::size_t StreamSocket::write_all(std::span<const ConstBuffer> buffers) {
  int error = 0;
  const std::size_t size = write_fully(buffers, error);
  if (error != 0) fail_with(error, "write to");
  return size;
}

std::uint64_t StreamSocket::sendfile(const File& file, std::uint64_t offset, std::uint64_t count) {
  const Turn turn(*this, Direction::kWrite);
  if (!turn) fail_with(kBusy, "sendfile to");
  // While a thread sends from it, the number of a descriptor that another fiber closes must not
  // become another's.
  const Fd own(fcntl(socket_.fd(), F_DUPFD_CLOEXEC, 0));
  if (own.get() < 0) fail_with(-errno, "sendfile to");
  const std::shared_ptr<const Fd> source = file.descriptor();
  if (!source) fail(EBADF, {"sendfile of ", file.path()});
  std::uint64_t done = 0;
  while (done < count) {
    const ssize_t size = socket_.attempt(Direction::kWrite, "sendfile", [&] {
      // SIGPIPE, which cannot be turned off for this call, is blocked in the executor's threads.
      const auto [result, reason] = run_in_executor([&] {
        auto position = static_cast<off_t>(offset + done);
        const ssize_t sent =
            ::sendfile(own.get(), source->get(), &position, std::min(count - done, kSendfileChunk));
        return std::pair(sent, errno);
      });
      errno = reason;
      // It is some time ago that there was no room: the event that tells of it may have come since.
      pollfd now{socket_.fd(), POLLOUT, 0};
      if (result < 0 && reason == EAGAIN && poll(&now, 1, 0) > 0) errno = EINTR;
      return result;
    });
    if (size < 0) fail_with(static_cast<int>(size), "sendfile to");
    if (size == 0) break;
    done += static_cast<std::uint64_t>(size);
    if (done < count && !socket_.is_open()) fail_with(-ECANCELED, "sendfile to");
  }
  return done;
}

void StreamSocket::shutdown_write() {
  if (shutdown(socket_.fd(), SHUT_WR) == 0) return;
  // A peer that is gone need not be told.
  if (errno != ENOTCONN) fail_with(-errno, "shutdown_write of");
}

}  // namespace weft
