// The checked variants of these functions, which take their place, would not be found.
#undef _FORTIFY_SOURCE

#include "bench/parts/system_calls.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <csignal>
#include <ctime>

#include "bench/lib/harness.h"

namespace weft::bench {
namespace {

constexpr double kInterruptedUs = 10;

SystemCalls* counts = nullptr;
std::uint64_t returned_at = 0;
std::uint64_t interrupted = 0;  // kInterruptedUs in ticks

std::uint64_t ticks_now() noexcept {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  std::uint64_t ticks;
  asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#endif
}

void add(std::atomic<std::uint64_t>& sum, std::uint64_t more) noexcept {
  sum.store(sum.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
}

[[gnu::noinline]] void on_call() noexcept {
  const std::uint64_t ticks = ticks_now() - returned_at;
  add(counts->count, 1);
  if (ticks < interrupted) add(counts->ticks_between, ticks);
}

// syscall(2) sets errno as the call's own function would. These are no cancellation points of
// threads, but nothing here cancels a thread.
template <class Result, class... Arguments>
Result forward(long number, Arguments... arguments) noexcept {
  if (!counts) [[likely]] {
    return static_cast<Result>(syscall(number, arguments...));
  }
  on_call();
  const auto result = static_cast<Result>(syscall(number, arguments...));
  returned_at = ticks_now();
  return result;
}

// The bytes of a set of signals that the kernel reads.
constexpr long kSignalSetSize = 8;

}  // namespace

void count_system_calls(SystemCalls* to) noexcept {
  if (to) interrupted = static_cast<std::uint64_t>(kInterruptedUs * ticks_per_us());
  counts = to;
}

double ticks_per_us() {
  static const double ticks = [] {
    const double begin = wall_ns();
    const std::uint64_t first = ticks_now();
    while (wall_ns() - begin < 10e6) continue;
    return static_cast<double>(ticks_now() - first) / (wall_ns() - begin) * 1e3;
  }();
  return ticks;
}

}  // namespace weft::bench

// The parameters are those of the C library; nullptr and 0 stand for those that it leaves out. The
// system calls are those that all architectures have: aarch64 has no epoll_wait and no poll.
extern "C" {

using weft::bench::forward;
using weft::bench::kSignalSetSize;

ssize_t read(int fd, void* to, size_t size) { return forward<ssize_t>(SYS_read, fd, to, size); }

ssize_t write(int fd, const void* from, size_t size) {
  return forward<ssize_t>(SYS_write, fd, from, size);
}

ssize_t readv(int fd, const iovec* to, int count) {
  return forward<ssize_t>(SYS_readv, fd, to, count);
}

ssize_t writev(int fd, const iovec* from, int count) {
  return forward<ssize_t>(SYS_writev, fd, from, count);
}

ssize_t recv(int fd, void* to, size_t size, int flags) {
  return forward<ssize_t>(SYS_recvfrom, fd, to, size, flags, nullptr, nullptr);
}

ssize_t recvfrom(int fd, void* to, size_t size, int flags, sockaddr* address, socklen_t* length) {
  return forward<ssize_t>(SYS_recvfrom, fd, to, size, flags, address, length);
}

ssize_t recvmsg(int fd, msghdr* message, int flags) {
  return forward<ssize_t>(SYS_recvmsg, fd, message, flags);
}

ssize_t send(int fd, const void* from, size_t size, int flags) {
  return forward<ssize_t>(SYS_sendto, fd, from, size, flags, nullptr, 0L);
}

ssize_t sendto(int fd, const void* from, size_t size, int flags, const sockaddr* address,
               socklen_t length) {
  return forward<ssize_t>(SYS_sendto, fd, from, size, flags, address, length);
}

ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  return forward<ssize_t>(SYS_sendmsg, fd, message, flags);
}

int accept(int fd, sockaddr* address, socklen_t* length) {
  return forward<int>(SYS_accept, fd, address, length);
}

int accept4(int fd, sockaddr* address, socklen_t* length, int flags) {
  return forward<int>(SYS_accept4, fd, address, length, flags);
}

int epoll_ctl(int epoll, int what, int fd, epoll_event* event) noexcept {
  return forward<int>(SYS_epoll_ctl, epoll, what, fd, event);
}

int epoll_wait(int epoll, epoll_event* events, int count, int timeout) {
  return forward<int>(SYS_epoll_pwait, epoll, events, count, timeout, nullptr, kSignalSetSize);
}

int epoll_pwait(int epoll, epoll_event* events, int count, int timeout, const sigset_t* signals) {
  return forward<int>(SYS_epoll_pwait, epoll, events, count, timeout, signals, kSignalSetSize);
}

int epoll_pwait2(int epoll, epoll_event* events, int count, const timespec* timeout,
                 const sigset_t* signals) {
  return forward<int>(SYS_epoll_pwait2, epoll, events, count, timeout, signals, kSignalSetSize);
}

int poll(pollfd* fds, nfds_t count, int timeout) {
  timespec time{.tv_sec = timeout / 1000, .tv_nsec = timeout % 1000 * 1'000'000L};
  return forward<int>(SYS_ppoll, fds, count, timeout < 0 ? nullptr : &time, nullptr,
                      kSignalSetSize);
}

int timerfd_settime(int fd, int flags, const itimerspec* value, itimerspec* old) noexcept {
  return forward<int>(SYS_timerfd_settime, fd, flags, value, old);
}

}  // extern "C"
