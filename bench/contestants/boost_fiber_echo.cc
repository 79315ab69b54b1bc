// Boost.Fiber, around the loop of the raw server: the main fiber waits in epoll_wait(), wakes the
// fibers whose sockets are ready and yields to them. A fiber waits by suspend() and is woken by
// schedule(), which is what the library's own locks are made of.

#include "bench/contestants/boost_fiber_echo.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <boost/fiber/all.hpp>
#include <cerrno>
#include <memory>
#include <utility>

#include "bench/contestants/contestant.h"
#include "bench/lib/echo.h"
#include "bench/lib/echo_fd.h"

namespace weft::bench {
namespace {

namespace fibers = boost::fibers;

constexpr int kEvents = 1024;

class FiberStream {
 public:
  FiberStream(Fd fd, int epoll) : fd_(std::move(fd)) {
    set_no_delay(fd_.get());
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.ptr = this;
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd_.get(), &event);
  }

  // Keeps an edge that comes before its fiber waits.
  void on_edge(std::uint32_t events) {
    events_ |= events;
    if (waiter_) fibers::context::active()->schedule(std::exchange(waiter_, nullptr));
  }

  // 0 at the end, negative on failure.
  ssize_t read_some(char* to, std::size_t size) {
    for (;;) {
      if (drained_) wait();
      const ssize_t count = recv(fd_.get(), to, size, 0);
      drained_ = count < static_cast<ssize_t>(size) && !(events_ & EPOLLRDHUP);
      if (count >= 0 || errno != EAGAIN) return count;
    }
  }

  bool write_all(const char* from, std::size_t size) {
    while (size > 0) {
      const ssize_t count = send(fd_.get(), from, size, MSG_NOSIGNAL);
      if (count < 0 && errno != EAGAIN) return false;
      if (count < 0) {
        wait();
        drained_ = false;  // the edge may have been for input
        continue;
      }
      from += count;
      size -= static_cast<std::size_t>(count);
    }
    return true;
  }

 private:
  void wait() {
    if (events_ == 0) {
      waiter_ = fibers::context::active();
      waiter_->suspend();
    }
    events_ &= EPOLLRDHUP;  // the end of the stream stays known
  }

  Fd fd_;
  bool drained_ = false;
  std::uint32_t events_ = 0;
  fibers::context* waiter_ = nullptr;
};

void echo(FiberStream& stream) {
  char buffer[kEchoBuffer];
  for (;;) {
    const ssize_t size = stream.read_some(buffer, kEchoBuffer);
    if (size <= 0 || !stream.write_all(buffer, static_cast<std::size_t>(size))) return;
  }
}

void accept_all(int listener, int epoll) {
  static fibers::pooled_fixedsize_stack stacks;
  for (;;) {
    Fd fd(accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd.get() < 0) return;
    auto stream = std::make_unique<FiberStream>(std::move(fd), epoll);
    fibers::fiber(std::allocator_arg, stacks, [stream = std::move(stream)] {
      echo(*stream);
    }).detach();
  }
}

}  // namespace

void boost_fiber_echo() {
  const Fd listener(listen_on_loopback());
  const Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  epoll_ctl(epoll.get(), EPOLL_CTL_ADD, listener.get(), &event);
  print_port(port_of(listener.get()));
  epoll_event events[kEvents];
  for (;;) {
    const int count = epoll_wait(epoll.get(), events, kEvents, -1);
    for (int i = 0; i < count; ++i) {
      if (auto* stream = static_cast<FiberStream*>(events[i].data.ptr)) {
        stream->on_edge(events[i].events);
      } else {
        accept_all(listener.get(), epoll.get());
      }
    }
    boost::this_fiber::yield();
  }
}

}  // namespace weft::bench
