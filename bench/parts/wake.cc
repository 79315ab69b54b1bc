#include "bench/parts/wake.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>

#include "bench/lib/harness.h"
#include "weft/fiber/core/atomic.h"

namespace weft::bench {
namespace {

constexpr long kWarmUp = 100;

class ConditionGate {
 public:
  void open() {
    {
      const std::lock_guard lock(mutex_);
      open_ = true;
    }
    opened_.notify_one();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    opened_.wait(lock, [&] { return open_; });
    open_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
};

class EventfdGate {
 public:
  EventfdGate() = default;
  ~EventfdGate() { close(fd_); }
  EventfdGate(const EventfdGate&) = delete;
  EventfdGate& operator=(const EventfdGate&) = delete;

  void open() {
    const std::uint64_t one = 1;
    if (write(fd_, &one, sizeof(one)) != sizeof(one)) std::abort();
  }
  void pass() {
    std::uint64_t value;
    if (read(fd_, &value, sizeof(value)) != sizeof(value)) std::abort();
  }
  int fd() const noexcept { return fd_; }

 private:
  const int fd_ = eventfd(0, EFD_CLOEXEC);
};

// As weft's reactor: edge-triggered, so that the eventfd need not be read.
class EpollGate {
 public:
  EpollGate() {
    epoll_event event{.events = EPOLLIN | EPOLLET, .data = {}};
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, event_.fd(), &event) != 0) std::abort();
  }
  ~EpollGate() { close(epoll_); }
  EpollGate(const EpollGate&) = delete;
  EpollGate& operator=(const EpollGate&) = delete;

  void open() { event_.open(); }
  void pass() {
    epoll_event event;
    if (epoll_wait(epoll_, &event, 1, -1) != 1) std::abort();
  }

 private:
  EventfdGate event_;
  const int epoll_ = epoll_create1(EPOLL_CLOEXEC);
};

class AtomicGate {
 public:
  void open() { open_.store(true, std::memory_order_release); }
  void pass() {
    while (!open_.load(std::memory_order_acquire)) internal::relax_processor();
    open_.store(false, std::memory_order_relaxed);
  }

 private:
  alignas(64) std::atomic<bool> open_{false};
};

// Half the time of a round trip.
template <class RoundTrip>
double one_way_ns(long times, RoundTrip round_trip) {
  for (long i = 0; i < kWarmUp; ++i) round_trip();
  const double begin = wall_ns();
  for (long i = 0; i < times; ++i) round_trip();
  return (wall_ns() - begin) / static_cast<double>(2 * times);
}

template <class Gate>
double hand_over(bool one_core, long times) {
  Gate there;
  Gate back;
  std::thread other([&] {
    const OnCore its(one_core ? OnCore::kFirst : OnCore::kLast);
    for (long i = 0; i < kWarmUp + times; ++i) {
      there.pass();
      back.open();
    }
  });
  // Only now: a thread that spins here could keep the other one from leaving this core.
  const OnCore first(OnCore::kFirst);
  const double ns = one_way_ns(times, [&] {
    there.open();
    back.pass();
  });
  other.join();
  return ns;
}

// System calls of this process that write, by the kernel's count.
double written() {
  std::ifstream in("/proc/self/io");
  for (std::string key; in >> key;) {
    if (double count; key == "syscw:" && in >> count) return count;
  }
  return 0;
}

}  // namespace

double hand_over_fibers(Runtime& runtime, long times, double& writes) {
  Semaphore there(0);
  Semaphore back(0);
  return runtime.run([&] {
    const auto other = spawn(
        [&] {
          for (long i = 0; i < kWarmUp + times; ++i) {
            there.acquire();
            back.release();
          }
        },
        {.on = runtime.schedulers()[1]});
    const double before = written();
    const double ns = one_way_ns(times, [&] {
      there.release();
      back.acquire();
    });
    writes = (written() - before) / static_cast<double>(2 * (kWarmUp + times));
    return ns;
  });
}

double hand_over_condition_variable(bool one_core, long times) {
  return hand_over<ConditionGate>(one_core, times);
}

double hand_over_eventfd(bool one_core, long times) {
  return hand_over<EventfdGate>(one_core, times);
}

double hand_over_epoll(bool one_core, long times) { return hand_over<EpollGate>(one_core, times); }

double hand_over_atomic(bool one_core, long times) {
  return hand_over<AtomicGate>(one_core, times);
}

}  // namespace weft::bench
