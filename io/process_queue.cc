#include "weft/io/process_queue.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>

#include "weft/fiber/core/running.h"
#include "weft/io/core/await_ready.h"
#include "weft/io/core/error.h"
#include "weft/io/core/packet.h"
#include "weft/io/core/shared_fd.h"
#include "weft/io/core/socket.h"

namespace weft::internal {
namespace {

// What a packet has at most of an item.
constexpr std::size_t kInline = Packet::kMostBytes;

// A message begins with the size of its item. The item follows, or comes as a file beside it.
using Size = std::uint64_t;

// Repeats a call on what is left of an item until all is done.
template <class Call>
void transfer(std::size_t size, const char* what, Call call) {
  for (std::size_t done = 0; done < size;) {
    const ssize_t part = call(done, size - done);
    if (part < 0 && errno == EINTR) continue;
    if (part <= 0) fail(part < 0 ? errno : EBADMSG, {what, " of an item of a ProcessQueue"});
    done += static_cast<std::size_t>(part);
  }
}

Fd file_with(std::string_view item) {
  Fd file(checked(memfd_create("weft::ProcessQueue", MFD_CLOEXEC), {"memfd_create"}));
  transfer(item.size(), "pwrite", [&](std::size_t done, std::size_t left) {
    return pwrite(file.get(), item.data() + done, left, static_cast<off_t>(done));
  });
  return file;
}

MessageQueue::Message content_of(const Fd& file, Size size) {
  MessageQueue::Message message{std::make_unique_for_overwrite<char[]>(size), size};
  transfer(size, "pread", [&](std::size_t done, std::size_t left) {
    return pread(file.get(), message.bytes.get() + done, left, static_cast<off_t>(done));
  });
  return message;
}

}  // namespace

MessageQueue::MessageQueue(std::size_t bytes) {
  fill_standard_descriptors();
  int ends[2];
  checked(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends),
          {"socketpair for a ProcessQueue"});
  Fd in(ends[0]), out(ends[1]);
  in_ = std::make_unique<SharedFd>(std::move(in));
  out_ = std::make_unique<SharedFd>(std::move(out));
  if (bytes == 0) return;
  const int value = static_cast<int>(std::min<std::size_t>(bytes, INT_MAX / 2));
  set_option(in_->get(), SOL_SOCKET, SO_SNDBUF, value, "a ProcessQueue");
}

MessageQueue::~MessageQueue() = default;

bool MessageQueue::push(std::string_view item, TimePoint deadline) {
  if (deadline != kPast) count_wait();
  for (Fd file = item.size() > kInline ? file_with(item) : Fd();;) {
    const int error = send(item, file.get());
    if (error == 0) return true;
    if (error == EPIPE) throw QueueClosed();
    if (error == EMSGSIZE && file.get() < 0) {  // the queue is smaller than the item
      file = file_with(item);
      continue;
    }
    if (error != EAGAIN) fail(error, {"sendmsg to a ProcessQueue"});
    if (now() >= deadline) return false;
    await_ready(in_->get(), Events::kWrite, -1, deadline, "ProcessQueue::push");
  }
}

// Returns 0, or the error.
int MessageQueue::send(std::string_view item, int file) noexcept {
  Size size = item.size();
  Packet packet(size, item.data(), file < 0 ? item.size() : 0);
  if (file >= 0) packet.attach(file);
  for (;;) {
    if (sendmsg(in_->get(), &packet.message(), MSG_NOSIGNAL) >= 0) return 0;
    if (errno != EINTR) return errno;
  }
}

PopStatus MessageQueue::pop(Message& message, TimePoint deadline) {
  if (deadline != kPast) count_wait();
  for (;;) {
    if (const std::optional<PopStatus> status = receive(message)) return *status;
    if (now() >= deadline) return PopStatus::kLate;
    await_ready(out_->get(), Events::kRead, -1, deadline, "ProcessQueue::pop");
  }
}

// Returns nullopt if it has to wait.
std::optional<PopStatus> MessageQueue::receive(Message& message) {
  Message item{std::make_unique_for_overwrite<char[]>(kInline), 0};
  Size size = 0;
  Packet packet(size, item.bytes.get(), kInline);
  packet.expect();
  const ssize_t received = recvmsg(out_->get(), &packet.message(), MSG_CMSG_CLOEXEC);
  if (received < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  checked(static_cast<int>(received), {"recvmsg from a ProcessQueue"});
  if (received == 0) return PopStatus::kClosed;
  // Out of descriptors the kernel has dropped the file.
  if (!packet.has_all()) fail(EMFILE, {"pop of a large item of a ProcessQueue"});
  const Fd file = packet.take_fd();
  item.size = static_cast<std::size_t>(received) - sizeof(size);
  message = file.get() < 0 ? std::move(item) : content_of(file, size);
  return PopStatus::kItem;
}

// The end of the producers is closed both ways, which wakes them, too.
void MessageQueue::close() noexcept { shutdown(in_->get(), SHUT_RDWR); }

}  // namespace weft::internal
