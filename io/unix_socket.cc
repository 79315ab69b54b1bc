#include "weft/io/unix_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "weft/fiber/core/running.h"
#include "weft/io/core/accept.h"
#include "weft/io/core/back_off.h"
#include "weft/io/core/error.h"
#include "weft/io/core/reactor.h"

namespace weft {

using internal::Fd;

// Of a socket that is bound. Removed at its end, unless another one has its path by then.
class internal::SocketFile {
 public:
  explicit SocketFile(std::string path) : path_(std::move(path)) { lstat(path_.c_str(), &info_); }
  ~SocketFile() {
    struct stat now {};
    if (process_.is_this() && lstat(path_.c_str(), &now) == 0 && now.st_dev == info_.st_dev &&
        now.st_ino == info_.st_ino) {
      unlink(path_.c_str());
    }
  }

  // Lets it stay.
  static void leave(std::shared_ptr<SocketFile> file) noexcept {
    if (file) file->info_.st_ino = 0;
  }

 private:
  const std::string path_;
  const HomeProcess process_;
  struct stat info_ {};
};

namespace {

using internal::SocketFile;

// No event reports that a backlog, or the queue of a receiver, has room again.
constexpr Duration kBackOff = std::chrono::milliseconds(1);

struct UnixAddress {
  // No name: bind() chooses an abstract one.
  UnixAddress() noexcept { address.sun_family = AF_UNIX; }
  UnixAddress(std::string_view path, const char* call);

  // Empty if it has no name.
  std::string path() const;

  sockaddr* data() noexcept { return reinterpret_cast<sockaddr*>(&address); }
  const sockaddr* data() const noexcept { return reinterpret_cast<const sockaddr*>(&address); }
  bool has_file() const noexcept { return address.sun_path[0] != '\0'; }

  static constexpr socklen_t kHead = offsetof(sockaddr_un, sun_path);

  sockaddr_un address{};
  socklen_t size = kHead;
};

UnixAddress::UnixAddress(std::string_view path, const char* call) : UnixAddress() {
  if (path.empty() || path.find('\0') != std::string_view::npos) {
    internal::fail(EINVAL, {call, "\"", path, "\""});
  }
  if (path.size() >= sizeof(address.sun_path)) internal::fail(ENAMETOOLONG, {call, path});
  std::memcpy(address.sun_path, path.data(), path.size());
  size += static_cast<socklen_t>(path.size());
  if (path.front() == '@') {
    address.sun_path[0] = '\0';
  } else {
    ++size;
  }
}

std::string UnixAddress::path() const {
  if (size <= kHead) return {};
  if (has_file()) return {address.sun_path, strnlen(address.sun_path, size - kHead)};
  return "@" + std::string(address.sun_path + 1, size - kHead - 1);
}

std::string local_path_of(int fd) {
  UnixAddress address;
  address.size = sizeof(address.address);
  internal::checked(getsockname(fd, address.data(), &address.size), {"path of a closed socket"});
  return address.path();
}

Fd new_socket(int type, std::string_view path) {
  Fd fd = internal::new_socket(AF_UNIX, type);
  internal::checked(fd.get(), {"socket for ", path});
  return fd;
}

// True if there is a socket file that no process has bound.
bool is_left_over(int type, const UnixAddress& address, std::string_view path) {
  struct stat info {};
  if (!address.has_file() || lstat(address.address.sun_path, &info) != 0) return false;
  if (!S_ISSOCK(info.st_mode)) return false;
  const Fd probe = new_socket(type, path);
  return connect(probe.get(), address.data(), address.size) != 0 && errno == ECONNREFUSED;
}

// Returns a socket that is bound to the address, and sets the file, if there is one.
Fd bound_socket(int type, const UnixAddress& address, std::shared_ptr<SocketFile>& file) {
  const std::string path = address.path();
  Fd fd = new_socket(type, path);
  int result = bind(fd.get(), address.data(), address.size);
  if (result != 0 && errno == EADDRINUSE) {
    if (is_left_over(type, address, path)) unlink(address.address.sun_path);
    result = bind(fd.get(), address.data(), address.size);
  }
  internal::checked(result, {"bind to ", path});
  if (address.has_file()) file = std::make_shared<SocketFile>(path);
  return fd;
}

std::pair<Fd, Fd> socket_pair(int type) {
  if (!internal::current_reactor) internal::fill_standard_descriptors();
  int ends[2];
  internal::checked(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends),
                    {"socketpair"});
  return {Fd(ends[0]), Fd(ends[1])};
}

}  // namespace

// ---- UnixStream ---------------------------------------------------------------------------------

UnixStream UnixStream::connect(std::string_view path, internal::ErrorTo error) {
  const UnixAddress address(path, "connect to ");
  internal::count_wait();
  for (internal::BackOff room(kBackOff);; room.wait()) {
    UnixStream stream(internal::new_socket(AF_UNIX, SOCK_STREAM), std::string(path));
    const bool connected =
        stream.is_open() && ::connect(stream.native_handle(), address.data(), address.size) == 0;
    const int failure = connected ? 0 : errno;
    if (failure == EAGAIN) continue;
    if (!error.take(internal::error_of(-failure))) internal::fail(failure, {"connect to ", path});
    return connected ? std::move(stream) : UnixStream();
  }
}

std::pair<UnixStream, UnixStream> UnixStream::pair() {
  auto [first, second] = socket_pair(SOCK_STREAM);
  return {UnixStream(std::move(first), "the other end of a pair"),
          UnixStream(std::move(second), "the other end of a pair")};
}

UnixStream UnixStream::adopt(int fd) {
  UnixAddress peer;
  peer.size =
      internal::prepare_to_adopt(fd, AF_UNIX, SOCK_STREAM, peer.data(), sizeof(peer.address));
  std::string name = peer.path();
  if (name.empty()) name = "an adopted connection";
  return UnixStream(Fd(fd), std::move(name));
}

// ---- UnixListener -------------------------------------------------------------------------------

UnixListener::UnixListener(std::string_view path, UnixListenerOptions options)
    : socket_(bound_socket(SOCK_STREAM, {path, "bind to "}, file_)), path_(std::string(path)) {
  internal::checked(::listen(native_handle(), options.backlog), {"listen on ", path});
}

UnixListener UnixListener::adopt(int fd) {
  internal::prepare_to_adopt(fd, AF_UNIX, SOCK_STREAM);
  UnixListener listener;
  listener.path_ = local_path_of(fd);
  listener.socket_ = internal::Socket(Fd(fd));
  return listener;
}

int UnixListener::release() noexcept {
  SocketFile::leave(std::move(file_));
  return socket_.release().release();
}

UnixStream UnixListener::accept(internal::ErrorTo error) {
  return UnixStream(internal::accept(socket_, path(), nullptr, 0, error), "a peer of " + path());
}

// ---- UnixDatagram -------------------------------------------------------------------------------

UnixDatagram::UnixDatagram(std::string_view path) {
  const UnixAddress address = path.empty() ? UnixAddress() : UnixAddress(path, "bind to ");
  socket_ = internal::Socket(bound_socket(SOCK_DGRAM, address, file_));
  name_ = this->path();
}

std::pair<UnixDatagram, UnixDatagram> UnixDatagram::pair() {
  auto [first, second] = socket_pair(SOCK_DGRAM);
  return {UnixDatagram(std::move(first), "one of a pair"),
          UnixDatagram(std::move(second), "one of a pair")};
}

UnixDatagram UnixDatagram::adopt(int fd) {
  internal::prepare_to_adopt(fd, AF_UNIX, SOCK_DGRAM);
  std::string name = local_path_of(fd);
  return UnixDatagram(Fd(fd), std::move(name));
}

void UnixDatagram::connect(std::string_view path) {
  const UnixAddress to(path, "connect to ");
  internal::checked(::connect(native_handle(), to.data(), to.size), {"connect to ", path});
}

void UnixDatagram::send_to(ConstBuffer datagram, std::string_view path, internal::ErrorTo error) {
  const UnixAddress to(path, "send_to ");
  ssize_t result = send_message(datagram, to.data(), to.size, "send_to");
  for (internal::BackOff room(kBackOff); result == -ENOBUFS;) {
    room.wait();
    result = is_open() ? send_message(datagram, to.data(), to.size, "send_to")
                       : internal::unless_cancelled(-ECANCELED);
  }
  if (!error.take(internal::error_of(result)))
    internal::fail(static_cast<int>(-result), {"send_to ", path});
}

UnixDatagram::Received UnixDatagram::receive_from(MutableBuffer buffer, internal::ErrorTo error) {
  UnixAddress from;
  const Message message =
      receive_message(buffer, from.data(), sizeof(from.address), "receive_from", error);
  from.size = message.sender_size;
  return {message.size, from.path(), message.truncated};
}

std::string UnixDatagram::path() const { return local_path_of(native_handle()); }

void UnixDatagram::close() noexcept {
  file_.reset();
  socket_.close();
}

int UnixDatagram::release() noexcept {
  SocketFile::leave(std::move(file_));
  return DatagramSocket::release();
}

}  // namespace weft
