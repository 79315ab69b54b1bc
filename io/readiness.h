#ifndef WEFT_IO_READINESS_H_
#define WEFT_IO_READINESS_H_

#include <sys/epoll.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "weft/fiber/atomic.h"
#include "weft/fiber/spin_lock.h"
#include "weft/fiber/time.h"
#include "weft/fiber/wait_queue.h"
#include "weft/io/fd.h"

namespace weft {

class Registry;

// The two things to wait for.
enum class Direction : unsigned { kRead = 0, kWrite = 1 };

// What is known of one of weft's sockets: for each direction, whether a call is worth trying, and
// who waits until it is. epoll tells of changes only (EPOLLET), so what it told is kept until a
// call has found it used up.
//
// It lies in a slot of its reactor's registry, which it shares with descriptors of earlier and
// later times: an event carries the generation that it was registered for.
//
// Threads: note() on the reactor's, everything else on any.
class Readiness {
 public:
  enum class Wait { kReady, kTimedOut, kClosed };

  // What a look at a direction found; to be handed back to used_up().
  class Look {
   public:
    bool ready() const noexcept { return ready_; }
    // After a read or write of less than was asked for: whether there may be more all the same.
    // Data and the end come in one event, and no further event comes then.
    bool ended() const noexcept { return ended_; }

   private:
    friend class Readiness;
    std::uint64_t word_ = 0;
    bool ready_ = true;  // where nothing is known yet, a call is worth trying
    bool ended_ = false;
  };

  Look look(Direction direction) const noexcept {
    Look look;
    // Relaxed, here and below: the word tells of the kernel's memory, not of ours. Who goes to
    // sleep looks again under the queue's lock, and so does not miss who comes to wake.
    look.word_ = word_.load(std::memory_order_relaxed);
    look.ready_ = look.word_ & ready_bit(direction);
    look.ended_ = look.word_ & ended_bit(direction);
    return look;
  }

  // A call found nothing left, unless an event has come since that look.
  void used_up(Direction direction, const Look& look) noexcept {
    const std::uint64_t bit = ready_bit(direction);
    std::uint64_t word = look.word_;
    // The other direction's bit may change meanwhile; an event leaves everything as it is.
    while ((word | kFlags) == (look.word_ | kFlags) && (word & bit)) {
      if (replace(word_, word, word & ~bit, std::memory_order_relaxed)) return;
    }
  }

  // Waits until a call is worth trying. A cancellation point.
  Wait wait(Direction direction, TimePoint deadline, const char* what) {
    WaitQueue& queue = queues_[static_cast<unsigned>(direction)];
    SocketWaiter waiter(what);
    WaitQueue::Lock lock(queue);
    // Whoever sets the bit takes the lock afterwards, to wake.
    if (word_.load(std::memory_order_relaxed) & ready_bit(direction)) return Wait::kReady;
    if (!queue.wait(lock, waiter, deadline)) return Wait::kTimedOut;
    return waiter.closed ? Wait::kClosed : Wait::kReady;
  }

  // An event. Stale ones, of another generation, have no effect. REQUIRES: the reactor's thread.
  void note(std::uint32_t generation, std::uint32_t epoll_events) noexcept;

  const Registry& registry() const noexcept { return *registry_; }

  // The reactor is gone: nothing will be noted any more.
  bool abandoned() const noexcept;

  // The socket is being closed: wakes everybody who waits, deregisters the descriptor and gives
  // the slot up. REQUIRES: nobody calls any more.
  void release(int fd) noexcept;

 private:
  friend class Registry;

  static constexpr std::uint64_t ready_bit(Direction direction) noexcept {
    return direction == Direction::kRead ? kReadable : kWritable;
  }
  static constexpr std::uint64_t ended_bit(Direction direction) noexcept {
    return direction == Direction::kRead ? kReadEnded : kWriteEnded;
  }

  // One who waits for a socket. Woken by close(), it may not look at the socket's slot again.
  struct SocketWaiter : Waiter {
    using Waiter::Waiter;
    bool closed = false;
  };

  void wake(Direction direction) noexcept;

  static constexpr std::uint64_t kReadable = EPOLLIN;
  static constexpr std::uint64_t kWritable = EPOLLOUT;
  static constexpr std::uint64_t kReadEnded = 2;
  static constexpr std::uint64_t kWriteEnded = 8;
  static constexpr std::uint64_t kFlags = 15;
  static constexpr std::uint64_t kEvent = 16;  // counts events, in 28 bits
  static constexpr int kGenerationShift = 32;

  // kFlags: what is known. Above, the number of events, so that one that comes between a look and
  // used_up() is not forgotten. Above that, the generation.
  Atomic<std::uint64_t> word_{0};
  WaitQueue queues_[2];
  std::uint32_t index_ = 0;
  Registry* registry_ = nullptr;
  Readiness* next_free_ = nullptr;
};

// The slots of a reactor, and its epoll instance, which both last until the last socket is closed:
// a socket may outlive its reactor.
//
// Threads: find() and add() on the reactor's, everything else on any.
class Registry {
 public:
  // Throws std::system_error.
  Registry();

  int epoll() const noexcept { return epoll_.get(); }

  // Registers a descriptor of ours: 0, or -errno if the kernel does not take it. `missing` is the
  // direction that a call found used up; the other one is worth trying.
  int add(int fd, Direction missing, Readiness*& slot);

  // Whether the descriptor is one of ours that is registered here.
  bool owns(int fd) const noexcept;

  // Takes an event to where it belongs.
  void note(std::uint64_t tag, std::uint32_t epoll_events) noexcept;

  // The reactor ends.
  void close() noexcept;

 private:
  friend class Readiness;

  static constexpr std::uint32_t kChunk = 64;

  ~Registry() = default;
  Readiness& take();
  void put(Readiness& slot, int fd) noexcept;
  void drop() noexcept;

  const Fd epoll_;
  std::vector<std::unique_ptr<Readiness[]>> chunks_;  // changes on the reactor's thread only
  Atomic<bool> closed_{false};
  Atomic<std::uint32_t> users_{1};  // the reactor, and the slots in use
  mutable SpinLock lock_;           // guards:
  Readiness* free_ = nullptr;
  std::vector<bool> owned_;  // by descriptor
};

}  // namespace weft

#endif  // WEFT_IO_READINESS_H_
