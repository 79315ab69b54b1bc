#include "weft/io/core/packet.h"

#include <cstring>

namespace weft::internal {

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

Fd Packet::take_fd() noexcept {
  int fd = -1;
  cmsghdr* const header = CMSG_FIRSTHDR(&message_);
  if (header && header->cmsg_type == SCM_RIGHTS) std::memcpy(&fd, CMSG_DATA(header), sizeof(fd));
  return Fd(fd);
}

}  // namespace weft::internal
