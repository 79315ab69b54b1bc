#ifndef WEFT_IO_CORE_READINESS_H_
#define WEFT_IO_CORE_READINESS_H_

#include <sys/epoll.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <vector>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/time.h"
#include "weft/io/core/socket.h"

namespace weft::internal {

class Registry;

// What is known of one of weft's sockets: for each direction, whether a call is worth trying, and
// the fibers that wait until it is. epoll reports changes only (EPOLLET), so a report is kept until
// a call has found it used up.
//
// It lies in a slot of a reactor's registry. Sockets use a slot one after another: an event carries
// the generation that it was registered for.
//
// Threads: the reactor's. After the socket was handed over, another thread may call deregister(),
// and what does not wait. It may see stale readiness; before it waits it registers the socket with
// its own reactor, whose first event reports the current state.
class Readiness {
 public:
  // True if a call is worth trying.
  bool ready(Direction direction) const noexcept { return flags() & ready_bit(direction); }

  // True if a short read or write may have left something: data and the end come in one event, and
  // no further event follows.
  bool ended(Direction direction) const noexcept { return flags() & ended_bit(direction); }

  // To be called when a call found nothing left.
  void used_up(Direction direction) noexcept { set_flags(flags() & ~ready_bit(direction)); }

  // Waits until a call is worth trying: 0, -ETIMEDOUT, or -ECANCELED after deregister(), when this
  // may be gone. A cancellation point.
  int wait(Direction direction, TimePoint deadline, const char* what) {
    WaitQueue& queue = queues_[static_cast<unsigned>(direction)];
    SocketWaiter waiter(what);
    WaitQueue::Lock lock(queue);
    if (ready(direction)) return 0;
    if (!queue.wait(lock, waiter, deadline)) return -ETIMEDOUT;
    return waiter.closed ? -ECANCELED : 0;
  }

  // Gives the slot up, because the socket is closed or handed over to another reactor. Wakes all
  // fibers that wait, and deregisters the descriptor.
  void deregister(int fd) noexcept;

  const Registry& registry() const noexcept { return *registry_; }

 private:
  friend class Registry;

  // If deregister() has woken it, the fiber must not look at the slot again.
  struct SocketWaiter : Waiter {
    using Waiter::Waiter;
    bool closed = false;
  };

  static constexpr std::uint32_t kReadable = EPOLLIN;
  static constexpr std::uint32_t kWritable = EPOLLOUT;
  static constexpr std::uint32_t kReadEnded = 2;
  static constexpr std::uint32_t kWriteEnded = 8;

  static constexpr std::uint32_t ready_bit(Direction direction) noexcept {
    return direction == Direction::kRead ? kReadable : kWritable;
  }
  static constexpr std::uint32_t ended_bit(Direction direction) noexcept {
    return direction == Direction::kRead ? kReadEnded : kWriteEnded;
  }

  // Relaxed: all on one thread, except for one to which the socket was handed over; see above.
  std::uint32_t flags() const noexcept { return flags_.load(std::memory_order_relaxed); }
  void set_flags(std::uint32_t flags) noexcept { flags_.store(flags, std::memory_order_relaxed); }

  void note(std::uint32_t epoll_events) noexcept;
  void wake(Direction direction) noexcept;

  Atomic<std::uint32_t> flags_{0};
  std::uint32_t generation_ = 0;  // of the latest socket that has had the slot
  WaitQueue queues_[2];
  std::shared_ptr<Registry> registry_;  // null while no socket has the slot
  Readiness* next_free_ = nullptr;
  std::uint32_t index_ = 0;
};

// The slots of a reactor, and its epoll instance. Both last until the last socket is deregistered:
// a socket may outlive its reactor.
//
// A child process shares the epoll instance with its parent, and must not remove the parent's
// registrations. There a registry only lasts until the last socket is deregistered.
//
// Threads: the reactor's; Readiness::deregister() from any.
class Registry : public std::enable_shared_from_this<Registry> {
 public:
  // Throws std::system_error.
  Registry();

  int epoll() const noexcept { return epoll_.get(); }

  // Registers a descriptor with epoll, or changes its registration: 0 or -errno.
  int watch(int fd, std::uint32_t epoll_events, std::uint64_t tag) noexcept;

  // Registers a socket of weft's: 0, or -errno if the kernel does not take it. `missing` is the
  // direction that a call found used up; the other one is worth trying.
  int add(int fd, Direction missing, Readiness*& slot);

  // Takes an event to its slot. A stale one has no effect.
  void note(std::uint64_t tag, std::uint32_t epoll_events) noexcept;

  // In a child process: closes its descriptor of the epoll instance.
  void close_in_child() noexcept { epoll_ = Fd(); }

 private:
  friend class Readiness;

  static constexpr std::uint32_t kChunk = 64;

  Readiness& allocate();
  void recycle(Readiness& slot) noexcept;

  Fd epoll_;
  const HomeProcess process_;
  std::vector<std::unique_ptr<Readiness[]>> chunks_;
  SpinLock lock_;  // guards:
  Readiness* free_ = nullptr;
};

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_READINESS_H_
