#ifndef WEFT_IO_CORE_ADOPT_H_
#define WEFT_IO_CORE_ADOPT_H_

#include <sys/socket.h>

namespace weft::internal {

// What a socket must be to be adopted.
struct SocketKind {
  bool local = false;  // of Unix sockets, not of IPv4 or IPv6
  int type = SOCK_STREAM;
  bool listens = false;
};

// Makes a descriptor non-blocking, to be taken over by a Socket. If it is no socket of this kind,
// or one of weft's has it, throws std::system_error, naming adopt and the descriptor, and changes
// nothing. A stream must be connected: writes as much of its peer's address as fits `size`, and
// returns that address's full size; 0 for others.
socklen_t prepare_to_adopt(int fd, SocketKind kind, sockaddr* peer = nullptr, socklen_t size = 0);

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_ADOPT_H_
