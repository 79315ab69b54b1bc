#include "weft/io/core/unix_address.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "weft/fiber/core/running.h"
#include "weft/io/core/error.h"
#include "weft/io/core/reactor.h"

namespace weft::internal {

UnixAddress::UnixAddress(std::string_view path, const char* call) : UnixAddress() {
  if (path.empty() || path.find('\0') != std::string_view::npos)
    fail(EINVAL, {call, "\"", path, "\""});
  if (path.size() >= sizeof(address.sun_path)) fail(ENAMETOOLONG, {call, path});
  std::memcpy(address.sun_path, path.data(), path.size());
  size += static_cast<socklen_t>(path.size());
  if (path.front() == '@') {
    address.sun_path[0] = '\0';
  } else {
    ++size;
  }
}

std::string UnixAddress::path() const {
  if (size <= offsetof(sockaddr_un, sun_path)) return {};
  std::string path(address.sun_path, size - offsetof(sockaddr_un, sun_path));
  if (has_file()) {
    path.resize(std::strlen(path.c_str()));  // the kernel may count a zero behind it, or not
  } else {
    path[0] = '@';
  }
  return path;
}

std::string local_path_of(int fd) {
  UnixAddress address;
  address.size = UnixAddress::kMaxSize;
  checked(getsockname(fd, address.data(), &address.size), {"path of a closed socket"});
  return address.path();
}

std::pair<Fd, Fd> unix_pair(int type) {
  if (!current_reactor) fill_standard_descriptors();
  int ends[2];
  checked(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), {"socketpair"});
  return {Fd(ends[0]), Fd(ends[1])};
}

// ---- The file -----------------------------------------------------------------------------------

struct SocketFile {
  explicit SocketFile(std::string its_path) : path(std::move(its_path)) {
    lstat(path.c_str(), &info);
  }
  ~SocketFile() {
    struct stat now {};
    if (!kept && process.is_this() && lstat(path.c_str(), &now) == 0 && now.st_dev == info.st_dev &&
        now.st_ino == info.st_ino) {
      unlink(path.c_str());
    }
  }

  const std::string path;
  const HomeProcess process;
  struct stat info {};
  bool kept = false;
};

void keep(std::shared_ptr<SocketFile>& file) noexcept {
  if (file) file->kept = true;
}

namespace {

Fd new_unix_socket(int type, const std::string& path) {
  Fd fd = new_socket(AF_UNIX, type);
  checked(fd.get(), {"socket for ", path});
  return fd;
}

// True if there is a socket file that no process has bound.
bool is_left_over(int type, const UnixAddress& address, const std::string& path) {
  struct stat info {};
  if (!address.has_file() || lstat(address.address.sun_path, &info) != 0) return false;
  if (!S_ISSOCK(info.st_mode)) return false;
  const Fd probe = new_unix_socket(type, path);
  return connect(probe.get(), address.data(), address.size) != 0 && errno == ECONNREFUSED;
}

}  // namespace

Fd bound_unix_socket(int type, const UnixAddress& address, std::shared_ptr<SocketFile>& file) {
  const std::string path = address.path();
  Fd fd = new_unix_socket(type, path);
  int result = bind(fd.get(), address.data(), address.size);
  if (result != 0 && errno == EADDRINUSE) {
    if (is_left_over(type, address, path)) unlink(address.address.sun_path);
    result = bind(fd.get(), address.data(), address.size);
  }
  checked(result, {"bind to ", path});
  if (address.has_file()) file = std::make_shared<SocketFile>(path);
  return fd;
}

}  // namespace weft::internal
