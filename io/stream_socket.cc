#include "weft/io/stream_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <optional>

#include "weft/fiber/cancel.h"
#include "weft/io/core/attempt.h"
#include "weft/io/core/error.h"
#include "weft/io/file.h"
#include "weft/sync/executor.h"

namespace weft {

using internal::Direction;

namespace {

// The most that a thread of the executor sends at once, which limits how long it is busy.
constexpr std::uint64_t kSendfileChunk = 1 << 20;

constexpr int kBusy = -EBUSY;
constexpr int kEnded = -ENODATA;

// writev() without SIGPIPE. The signal of a failed write is for the thread that writes: it is
// blocked meanwhile, and taken out again.
ssize_t write_quietly(int fd, const msghdr& message) noexcept {
  sigset_t pipe, before, pending;
  sigemptyset(&pipe);
  sigemptyset(&pending);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, &before);
  const bool blocked = sigismember(&before, SIGPIPE) == 1;
  if (blocked) sigpending(&pending);
  const ssize_t result = writev(fd, message.msg_iov, static_cast<int>(message.msg_iovlen));
  const int error = errno;
  const timespec now{};
  if (result < 0 && error == EPIPE && sigismember(&pending, SIGPIPE) != 1)
    sigtimedwait(&pipe, nullptr, &now);
  if (!blocked) pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return result;
}

}  // namespace

[[gnu::cold]] void StreamSocket::fail_with(int error, const char* call) const {
  std::string object = peer_name();
  if (error == kBusy) object += " (another fiber is at it)";
  if (error == kEnded) object += " (it ended early)";
  internal::fail(-error, {call, " ", object});
}

std::size_t StreamSocket::report(Result result, std::error_code& error) noexcept {
  error = internal::error_of(result.error);
  return result.size;
}

// Calls once(the size of what is done) until all is done, or just once for kSome, or until it
// returns 0 or an error. Meanwhile other calls of this direction fail.
template <class Once>
[[gnu::always_inline]] inline StreamSocket::Result StreamSocket::transfer(Direction direction,
                                                                          std::uint64_t total,
                                                                          Extent extent,
                                                                          Once once) {
  struct Turn {
    ~Turn() { busy = false; }
    bool& busy;
  };
  bool& busy = busy_[static_cast<unsigned>(direction)];
  if (busy) return {0, kBusy};
  busy = true;
  const Turn turn{busy};
  std::size_t done = 0;
  try {
    while (done < total) {
      const ssize_t size = once(done);
      if (size <= 0) return {done, static_cast<int>(size)};
      done += static_cast<std::size_t>(size);
      if (extent == Extent::kSome) break;
    }
  } catch (const Cancelled&) {
    if (done == 0 || extent != Extent::kAllCounted) throw;
    // Otherwise a loop that ignores the error would go on for as long as its peer does.
    socket_.look_next_time();
    return {done, -ECANCELED};
  }
  return {done, 0};
}

StreamSocket::Result StreamSocket::receive(MutableBuffer buffer, Extent extent) {
  return transfer(Direction::kRead, buffer.size(), extent, [&](std::size_t done) -> ssize_t {
    const MutableBuffer rest = buffer.drop_front(done);
    const ssize_t size = socket_.attempt(
        Direction::kRead, "read_some",
        [&] {
          if (kind_ == Kind::kOther) return ::read(socket_.fd(), rest.data(), rest.size());
          return recv(socket_.fd(), rest.data(), rest.size(), 0);
        },
        drained_by_short_reads_ ? rest.size() : 0);
    return size == 0 && extent != Extent::kSome ? kEnded : size;
  });
}

StreamSocket::Result StreamSocket::receive(const internal::Parts& parts) {
  msghdr message = parts.message();
  return transfer(Direction::kRead, parts.size(), Extent::kSome, [&](std::size_t) {
    return socket_.attempt(
        Direction::kRead, "read_some",
        [&] {
          if (kind_ == Kind::kOther)
            return readv(socket_.fd(), message.msg_iov, static_cast<int>(message.msg_iovlen));
          return recvmsg(socket_.fd(), &message, 0);
        },
        drained_by_short_reads_ ? parts.size() : 0);
  });
}

StreamSocket::Result StreamSocket::send(ConstBuffer buffer, Extent extent) {
  if (kind_ == Kind::kOther) return send(std::span(&buffer, 1), extent);
  return transfer(Direction::kWrite, buffer.size(), extent, [&](std::size_t done) {
    const ConstBuffer rest = buffer.drop_front(done);
    return socket_.attempt(
        Direction::kWrite, "write_some",
        [&] { return ::send(socket_.fd(), rest.data(), rest.size(), MSG_NOSIGNAL); }, rest.size());
  });
}

StreamSocket::Result StreamSocket::send(const internal::Parts& parts) {
  return transfer(Direction::kWrite, parts.size(), Extent::kSome,
                  [&](std::size_t) { return send_once(parts); });
}

StreamSocket::Result StreamSocket::send(std::span<const ConstBuffer> buffers, Extent extent) {
  return transfer(Direction::kWrite, SIZE_MAX, extent,
                  [&](std::size_t done) { return send_once(internal::Parts(buffers, done)); });
}

ssize_t StreamSocket::send_once(const internal::Parts& parts) {
  if (parts.size() == 0) return 0;
  const msghdr message = parts.message();
  return socket_.attempt(
      Direction::kWrite, "write_some",
      [&] {
        if (kind_ == Kind::kOther) return write_quietly(socket_.fd(), message);
        return sendmsg(socket_.fd(), &message, MSG_NOSIGNAL);
      },
      parts.size());
}

std::uint64_t StreamSocket::sendfile(const File& file, std::uint64_t offset, std::uint64_t count,
                                     internal::ErrorTo error) {
  if (!error.code() && is_open() && !file.is_open())
    internal::fail(EBADF, {"sendfile of ", file.path()});
  return size_or_error(transfer_file(file, offset, count, all(error)), "sendfile to", error);
}

StreamSocket::Result StreamSocket::transfer_file(const File& file, std::uint64_t offset,
                                                 std::uint64_t count, Extent extent) {
  // If another fiber closes the socket while a thread sends, the number may be given to another
  // descriptor. So the thread has a duplicate.
  const internal::Fd own(fcntl(socket_.fd(), F_DUPFD_CLOEXEC, 0));
  if (own.get() < 0) return {0, errno == EBADF ? internal::unless_cancelled(-EBADF) : -errno};
  const std::shared_ptr<const internal::Fd> source = file.descriptor();
  if (!source) return {0, internal::unless_cancelled(-EBADF)};
  bool cancelled = false;
  const auto send_chunk = [&](std::size_t done) -> ssize_t {
    if (!socket_.is_open()) return -ECANCELED;
    return socket_.attempt(Direction::kWrite, "sendfile", [&] {
      if (cancelled) internal::throw_cancelled();
      std::optional<ssize_t> sent;
      int reason = 0;
      try {
        // sendfile() has no flag against SIGPIPE. The executor's threads block it.
        run_in_executor([&] {
          auto position = static_cast<off_t>(offset + done);
          sent = ::sendfile(own.get(), source->get(), &position,
                            std::min(count - done, kSendfileChunk));
          reason = errno;
        });
      } catch (const Cancelled&) {
        if (!sent) throw;
        cancelled = true;  // after the thread has sent: that counts
      }
      errno = reason;
      // The event for new room may have come before this fiber runs again, so poll once more.
      pollfd now{socket_.fd(), POLLOUT, 0};
      if (*sent < 0 && reason == EAGAIN && poll(&now, 1, 0) > 0) errno = EINTR;
      return *sent;
    });
  };
  return transfer(Direction::kWrite, count, extent, send_chunk);
}

void StreamSocket::shutdown_write(internal::ErrorTo error) {
  int result = 0;
  if (busy_[static_cast<unsigned>(Direction::kWrite)]) {
    // The peer would take what has been written so far for the whole.
    result = kBusy;
  } else if (!is_open()) {
    result = internal::unless_cancelled(-EBADF);
  } else if (kind_ == Kind::kOther) {
    close();
  } else if (shutdown(socket_.fd(), SHUT_WR) != 0 && errno != ENOTCONN) {
    result = -errno;  // ENOTCONN: the peer is gone already
  }
  if (!error.take(internal::error_of(result))) fail_with(result, "shutdown_write of");
}

}  // namespace weft
