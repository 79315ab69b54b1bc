#include "weft/io/core/adopt.h"

#include <fcntl.h>

#include <cerrno>
#include <string>

#include "weft/io/core/error.h"
#include "weft/io/core/socket.h"

namespace weft::internal {
namespace {

void check_kind(int fd, SocketKind kind, const std::string& name) {
  const auto get = [&](int option) {
    int value = 0;
    socklen_t size = sizeof(value);
    checked(getsockopt(fd, SOL_SOCKET, option, &value, &size), {name});
    return value;
  };
  if (Socket::owns(fd)) fail(EBUSY, {name, ", a socket of weft's"});
  const int family = get(SO_DOMAIN);
  if (kind.local ? family != AF_UNIX : family != AF_INET && family != AF_INET6) {
    fail(EAFNOSUPPORT, {name});
  }
  if (get(SO_TYPE) != kind.type) fail(EPROTOTYPE, {name});
  if ((get(SO_ACCEPTCONN) != 0) != kind.listens) {
    fail(EINVAL, {name, kind.listens ? ", which does not listen" : ", which listens"});
  }
}

}  // namespace

socklen_t prepare_to_adopt(int fd, SocketKind kind, sockaddr* peer, socklen_t size) {
  const std::string name = "adopt of descriptor " + decimal(fd);
  check_kind(fd, kind, name);
  if (peer) checked(getpeername(fd, peer, &size), {name});
  const int flags = checked(fcntl(fd, F_GETFL), {name});
  checked(fcntl(fd, F_SETFL, flags | O_NONBLOCK), {name});
  return size;
}

}  // namespace weft::internal
