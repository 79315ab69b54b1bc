#include "weft/io/core/packet.h"

#include <cstring>

namespace weft::internal {

Packet::Packet(PacketHead& head, void* bytes, std::size_t size) noexcept
    : parts_{{&head, sizeof(head)}, {bytes, size}} {
  message_.msg_iov = parts_;
  message_.msg_iovlen = 2;
}

void Packet::attach(int fd) noexcept {
  expect();
  cmsghdr* const header = CMSG_FIRSTHDR(&message_);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(fd));
  std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
}

void Packet::expect() noexcept {
  std::memset(control_, 0, sizeof(control_));
  message_.msg_control = control_;
  message_.msg_controllen = sizeof(control_);
}

Fd Packet::received() noexcept {
  int fd = -1;
  cmsghdr* const header = CMSG_FIRSTHDR(&message_);
  if (header && header->cmsg_type == SCM_RIGHTS) std::memcpy(&fd, CMSG_DATA(header), sizeof(fd));
  return Fd(fd);
}

}  // namespace weft::internal
