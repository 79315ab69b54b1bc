#ifndef WEFT_IO_CORE_UNIX_ADDRESS_H_
#define WEFT_IO_CORE_UNIX_ADDRESS_H_

#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "weft/fiber/time.h"
#include "weft/io/core/socket.h"

namespace weft::internal {

// The pause between tries: no event reports that a backlog, or the queue of a receiver, has room.
constexpr Duration kUnixBackOff = std::chrono::milliseconds(1);

// The path of a socket file, or an abstract name, in the form that system calls take.
struct UnixAddress {
  // No name: bind() chooses an abstract one.
  UnixAddress() noexcept { address.sun_family = AF_UNIX; }

  // Throws std::system_error, naming `call` and the path.
  UnixAddress(std::string_view path, const char* call);

  // The text that the constructor takes; empty for no name.
  std::string path() const;

  sockaddr* data() noexcept { return reinterpret_cast<sockaddr*>(&address); }
  const sockaddr* data() const noexcept { return reinterpret_cast<const sockaddr*>(&address); }
  bool has_file() const noexcept { return address.sun_path[0] != '\0'; }

  static constexpr socklen_t kMaxSize = sizeof(sockaddr_un);

  sockaddr_un address{};
  socklen_t size = offsetof(sockaddr_un, sun_path);
};

// The file of a socket that is bound. Removed at the end, unless another one has its path by then.
struct SocketFile;

// Returns a non-blocking socket that is bound to the address, and its file, if it has one. A stale
// file is replaced; whether it is stale is found out by connecting to it.
Fd bound_unix_socket(int type, const UnixAddress& address, std::shared_ptr<SocketFile>& file);

// Lets the file stay at the end.
void keep(std::shared_ptr<SocketFile>& file) noexcept;

// Returns two non-blocking sockets that are connected to each other.
std::pair<Fd, Fd> unix_pair(int type);

// The path of a socket's own address. Throws std::system_error if it is closed.
std::string local_path_of(int fd);

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_UNIX_ADDRESS_H_
