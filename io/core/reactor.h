#ifndef WEFT_IO_CORE_REACTOR_H_
#define WEFT_IO_CORE_REACTOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>

#include "weft/fiber/core/port.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/io/core/readiness.h"
#include "weft/io/core/socket.h"

namespace weft::internal {

class Reactor;

// The reactor of the scheduler that runs on this thread, or null.
inline constinit thread_local Reactor* current_reactor = nullptr;

// The Port of a scheduler that does I/O: sleeps in epoll, and is woken through an eventfd.
//
// Sockets that weft owns are registered once, edge-triggered, when a call on them first has to
// wait. Descriptors of other owners are armed for one event while fibers wait for them.
//
// Threads: wake() from any, the rest from the scheduler's.
class Reactor final : public Port {
 public:
  // Throws std::system_error, naming the call, if the process is out of descriptors.
  Reactor();
  ~Reactor() override;

  // The reactor of the calling fiber. Throws std::logic_error, naming `caller`, outside runtimes.
  static Reactor& require(const char* caller);

  TimePoint now() const noexcept override { return Clock::now(); }

  // Precise to the nanosecond, as far as the kernel's timers are (epoll_pwait2, Linux 5.11). On
  // older kernels the time is rounded up to the millisecond.
  bool wait(TimePoint deadline) override;
  bool pending(TimePoint deadline) override;

  std::size_t awaited() const noexcept override { return awaited_; }

  void attach() noexcept override { current_reactor = this; }
  void detach() noexcept override { current_reactor = nullptr; }
  void wake() noexcept override;

  // In a child of the process that made this: closes its descriptors, and leaves what they refer to
  // as it is. Afterwards only wake() may be called, which has no effect there.
  void close_in_child() noexcept;

  // While it lives, a fiber of this reactor's may wait for a descriptor: it counts in awaited().
  class Awaiting {
   public:
    explicit Awaiting(Reactor& reactor) noexcept : reactor_(reactor) { ++reactor_.awaited_; }
    ~Awaiting() { --reactor_.awaited_; }
    Awaiting(const Awaiting&) = delete;
    Awaiting& operator=(const Awaiting&) = delete;

   private:
    Reactor& reactor_;
  };

  const Registry& registry() const noexcept { return *registry_; }

  // See Registry::add().
  int add(int fd, Direction missing, Readiness*& slot);

 private:
  friend class ForeignWait;

  // Waits for a descriptor of another owner, and the events that came for it.
  struct ForeignWaiter : Waiter {
    ForeignWaiter(std::uint32_t events, const char* what) : Waiter(what), wanted(events) {}
    const std::uint32_t wanted;
    std::uint32_t came = 0;
  };

  // A descriptor of another owner, while fibers wait for it.
  struct Foreign {
    std::uint32_t wanted() noexcept;  // by all of them
    void wake(std::uint32_t came) noexcept;

    WaitQueue queue;           // of ForeignWaiters
    unsigned waiting = 0;      // fibers that have not come back from it yet
    std::uint32_t serial = 0;  // of the last arming: what comes for an earlier one is stale
  };

  int arm(int fd, Foreign& foreign, std::uint32_t events) noexcept;
  void disarm(int fd, Foreign& foreign) noexcept;
  void note_foreign(std::uint64_t tag, std::uint32_t events) noexcept;

  const HomeProcess process_;
  const std::shared_ptr<Registry> registry_;
  Fd wakeup_;  // registered edge-triggered: each write is one event, and nobody has to read it
  std::unordered_map<int, Foreign> foreign_;
  std::uint32_t serial_ = 0;
  std::size_t awaited_ = 0;
};

// A wait of the calling fiber for a descriptor of another owner, which is registered from arm()
// until the end.
class ForeignWait {
 public:
  // The events are epoll's. `what` names the call in errors and in lists of tasks. REQUIRES:
  // `events` is not empty.
  ForeignWait(Reactor& reactor, int fd, std::uint32_t events, const char* what);
  ~ForeignWait();

  // Throws std::system_error (device_or_resource_busy) if it is a weft socket's.
  static void refuse_own(int fd, const char* what);

  // Returns false if there is nothing to wait for, as with a file. Throws std::system_error. After
  // that `waiter` may wait in `queue()`.
  bool arm();
  WaitQueue& queue() noexcept { return foreign_.queue; }

  Reactor::ForeignWaiter waiter;

 private:
  Reactor& reactor_;
  const int fd_;
  Reactor::Foreign& foreign_;
  const Reactor::Awaiting awaiting_;
};

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_REACTOR_H_
