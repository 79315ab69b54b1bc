#ifndef WEFT_IO_CORE_READINESS_H_
#define WEFT_IO_CORE_READINESS_H_

#include <sys/epoll.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <vector>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/process.h"
#include "weft/fiber/core/spin_lock.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/time.h"
#include "weft/io/core/fd.h"

namespace weft::internal {

class Registry;

// The two things to wait for.
enum class Direction : unsigned { kRead = 0, kWrite = 1 };

// What is known of one of weft's sockets: for each direction, whether a call is worth trying, and
// who waits until it is. epoll tells of changes only (EPOLLET), so what it told is kept until a
// call has found it used up.
//
// It lies in a slot of a reactor's registry, which descriptors of earlier and later times share: an
// event carries the generation that it was registered for.
//
// Threads: the reactor's; but for release(), and for what does not wait, which another one may call
// that the socket was handed over to. It then finds out too much or too little, and before it waits
// it registers the socket with its own reactor, which begins by telling what there is.
class Readiness {
 public:
  // Whether a call is worth trying.
  bool ready(Direction direction) const noexcept { return flags() & ready_bit(direction); }

  // Whether a read or write of less than was asked for may have left something: data and the end
  // come in one event, and no further event comes then.
  bool ended(Direction direction) const noexcept { return flags() & ended_bit(direction); }

  // A call found nothing left.
  void used_up(Direction direction) noexcept { set_flags(flags() & ~ready_bit(direction)); }

  // Waits until a call is worth trying: 0, -ETIMEDOUT, or -ECANCELED after release(), when this may
  // be gone. A cancellation point.
  int wait(Direction direction, TimePoint deadline, const char* what) {
    WaitQueue& queue = queues_[static_cast<unsigned>(direction)];
    SocketWaiter waiter(what);
    WaitQueue::Lock lock(queue);
    if (ready(direction)) return 0;
    if (!queue.wait(lock, waiter, deadline)) return -ETIMEDOUT;
    return waiter.closed ? -ECANCELED : 0;
  }

  // The socket is closed, or handed over to another reactor: wakes everybody who waits, deregisters
  // the descriptor and gives the slot up.
  void release(int fd) noexcept;

  const Registry& registry() const noexcept { return *registry_; }

 private:
  friend class Registry;

  // One who waits. Woken by release(), it may not look at the slot again.
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

  // Relaxed: all on one thread, but for one that has been handed the socket; see above.
  std::uint32_t flags() const noexcept { return flags_.load(std::memory_order_relaxed); }
  void set_flags(std::uint32_t flags) noexcept { flags_.store(flags, std::memory_order_relaxed); }

  void note(std::uint32_t epoll_events) noexcept;
  void wake(Direction direction) noexcept;

  Atomic<std::uint32_t> flags_{0};
  std::uint32_t generation_ = 0;  // of the latest that has had the slot
  WaitQueue queues_[2];
  Registry* registry_ = nullptr;
  Readiness* next_free_ = nullptr;
  std::uint32_t index_ = 0;
};

// The slots of a reactor, and its epoll instance. Both last until the last socket is released: a
// socket may outlive its reactor.
//
// A child process shares the epoll instance with its parent, whose registrations it would take
// away. There a registry only lasts until the last socket is released.
//
// Threads: the reactor's; Readiness::release() from any.
class Registry {
 public:
  // Throws std::system_error.
  Registry();

  int epoll() const noexcept { return epoll_.get(); }

  // Has epoll tell of a descriptor, which may be there already: 0 or -errno.
  int watch(int fd, std::uint32_t epoll_events, std::uint64_t tag) noexcept;

  // Registers a descriptor of ours: 0, or -errno if the kernel does not take it. `missing` is the
  // direction that a call found used up; the other one is worth trying.
  int add(int fd, Direction missing, Readiness*& slot);

  // Whether the descriptor is one of ours that is registered here.
  bool owns(int fd) const noexcept;

  // Takes an event to where it belongs. Stale ones have no effect.
  void note(std::uint64_t tag, std::uint32_t epoll_events) noexcept;

  // The reactor ends.
  void close() noexcept { drop(); }

  // In a child process: closes its descriptor of the epoll instance.
  void leave_to_parent() noexcept { epoll_ = Fd(); }

 private:
  friend class Readiness;

  static constexpr std::uint32_t kChunk = 64;

  ~Registry() = default;
  Readiness& take();
  void put(Readiness& slot, int fd) noexcept;
  void drop() noexcept;

  Fd epoll_;
  const HomeProcess process_;
  std::vector<std::unique_ptr<Readiness[]>> chunks_;
  Atomic<std::uint32_t> users_{1};  // the reactor, and the slots in use
  mutable SpinLock lock_;           // guards:
  Readiness* free_ = nullptr;
  std::vector<std::uint8_t> owned_;  // by descriptor
};

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_READINESS_H_
