#ifndef WEFT_IO_CORE_PACKET_H_
#define WEFT_IO_CORE_PACKET_H_

#include <sys/socket.h>
#include <sys/types.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "weft/io/core/socket.h"

namespace weft::internal {

// How the processes of a pool talk: by packets, which the kernel keeps apart (SOCK_SEQPACKET). What
// is larger than one goes in several. So the word that a worker has died, which another process
// sends in its place, never mixes with half of an answer.
struct PacketHead {
  enum Kind : std::uint32_t {
    kJob,      // to a worker: a function and its arguments
    kResult,   // from a worker: what it returned
    kFailure,  // from a worker: what it threw
    kForked,   // from a new worker: `number` is its process
    kRefused,  // from the template, in the place of a worker: the error of fork()
    kDied,     // the same: the worker's status
    kGone,     // the same, of a worker that has not taken the job that was sent to it
    kFork,     // to the template: fork a worker of this number, whose socket comes along
    kKill,     // to the template: kill the worker of this number
  };

  Kind kind = kJob;
  std::int32_t number = 0;
  std::uint64_t left = 0;  // bytes that follow in further packets
};

// A message of two parts, as sendmsg() and recvmsg() take it, with room for a descriptor.
class Packet {
 public:
  // The most bytes that go with one head: the kernel wants each packet in one piece.
  static constexpr std::size_t kMostBytes = 64 * 1024;

  template <class Head>
  Packet(Head& head, const void* bytes, std::size_t size) noexcept
      : parts_{{&head, sizeof(head)}, {const_cast<void*>(bytes), size}} {
    message_.msg_iov = parts_;
    message_.msg_iovlen = 2;
  }
  Packet(const Packet&) = delete;
  Packet& operator=(const Packet&) = delete;

  // Before it is sent: sends a descriptor along. Before it is received: makes room for one.
  void attach(int fd) noexcept;
  void expect() noexcept;

  // The descriptor that was received, or none.
  Fd take_fd() noexcept;
  // False if one was lost because this process had no number left for it.
  bool has_all() const noexcept { return !(message_.msg_flags & MSG_CTRUNC); }

  msghdr& message() noexcept { return message_; }

 private:
  iovec parts_[2];
  msghdr message_{};
  alignas(cmsghdr) char control_[CMSG_SPACE(sizeof(int))];
};

// A buffer for one packet of a message.
constexpr std::size_t kPacketSize = sizeof(PacketHead) + Packet::kMostBytes;

// Sends all of `bytes`, packet by packet from a buffer of kPacketSize: 0 or a negative error.
// `send(size)` is what send() of that part of the buffer returns, or a negative error. (sendmsg()
// of both parts would copy less, and takes longer where there is little to copy.)
template <class Send>
int send_packets(PacketHead head, std::string_view bytes, char* buffer, Send send) {
  do {
    const std::string_view part = bytes.substr(0, Packet::kMostBytes);
    bytes.remove_prefix(part.size());
    head.left = bytes.size();
    std::memcpy(buffer, &head, sizeof(head));
    std::copy(part.begin(), part.end(), buffer + sizeof(head));
    const ssize_t result = send(sizeof(head) + part.size());
    if (result < 0) return static_cast<int>(result);
  } while (!bytes.empty());
  return 0;
}

// What has come.
struct Incoming {
  PacketHead head;
  std::string bytes;
};

// Receives all packets of one message, by way of a buffer of kPacketSize: 1, or 0 at the end, or a
// negative error. `receive()` is what recv() to all of the buffer returns, or a negative error.
template <class Receive>
int receive_packets(Incoming& to, char* buffer, Receive receive) {
  to.bytes.clear();
  do {
    const ssize_t result = receive();
    if (result <= 0) return static_cast<int>(result);
    std::memcpy(&to.head, buffer, sizeof(to.head));
    if (to.head.kind == PacketHead::kDied) to.bytes.clear();  // they were half of an answer
    const std::string_view part(buffer + sizeof(to.head), buffer + result);
    to.bytes.reserve(to.bytes.size() + part.size() + to.head.left);
    to.bytes.append(part);
  } while (to.head.left > 0);
  return 1;
}

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_PACKET_H_
