// The echo server written straight against the kernel.

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include "bench/lib/echo.h"
#include "bench/lib/echo_fd.h"

namespace weft::bench {
namespace {

constexpr int kEvents = 1024;

struct Connection {
  Fd fd;
  // Bytes that the peer was too slow to take. Nothing more is read before they are sent.
  std::vector<char> unsent = {};
};

// Edge-triggered: a connection is registered once and never polled in vain, while with level
// triggering epoll_wait() polls each socket again that it reported the time before. A read that
// does not fill its buffer has taken everything (see epoll(7)), so no read has to fail with EAGAIN.
// Later data is a new edge. An end of the stream that came with the data is not, but EPOLLRDHUP
// announces it.
class RawServer {
 public:
  explicit RawServer(const EchoOptions& options)
      : listener_{listen_on_loopback()}, timeout_(options.spin ? 0 : -1) {
    watch(listener_.get(), nullptr, EPOLLIN);
    options.ready(port_of(listener_.get()));
  }

  [[noreturn]] void run() {
    epoll_event events[kEvents];
    for (;;) {
      const int count = epoll_wait(epoll_.get(), events, kEvents, timeout_);
      for (int i = 0; i < count; ++i) {
        if (auto* connection = static_cast<Connection*>(events[i].data.ptr)) {
          serve(*connection, events[i].events);
        } else {
          accept_all();
        }
      }
    }
  }

 private:
  void watch(int fd, Connection* connection, std::uint32_t what) {
    epoll_event event{};
    event.events = what;
    event.data.ptr = connection;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      throw std::runtime_error("epoll_ctl failed");
    }
  }

  void accept_all() {
    for (;;) {
      Fd fd{accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
      if (fd.get() < 0) return;
      set_no_delay(fd.get());
      auto* connection = new Connection{std::move(fd)};
      watch(connection->fd.get(), connection, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    }
  }

  void serve(Connection& connection, std::uint32_t events) {
    if (!connection.unsent.empty() && !send_rest(connection)) return;
    for (;;) {
      const ssize_t size = recv(connection.fd.get(), buffer_, kEchoBuffer, 0);
      if (size <= 0) {
        if (size == 0 || errno != EAGAIN) delete &connection;
        return;
      }
      const ssize_t sent = send(connection.fd.get(), buffer_, size, MSG_NOSIGNAL);
      if (sent != size) [[unlikely]] {
        // A failure other than EAGAIN comes up again when the rest is sent.
        connection.unsent.assign(buffer_ + (sent < 0 ? 0 : sent), buffer_ + size);
        if (!send_rest(connection)) return;
      }
      if (size != kEchoBuffer && !(events & EPOLLRDHUP)) return;
    }
  }

  // True if all is sent. Otherwise an edge of EPOLLOUT follows, or the connection was broken and
  // is gone.
  bool send_rest(Connection& connection) {
    std::vector<char>& rest = connection.unsent;
    while (!rest.empty()) {
      const ssize_t sent = send(connection.fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
      if (sent < 0) {
        if (errno != EAGAIN) delete &connection;
        return false;
      }
      rest.erase(rest.begin(), rest.begin() + sent);
    }
    return true;
  }

  const Fd epoll_{epoll_create1(EPOLL_CLOEXEC)};
  const Fd listener_;
  const int timeout_;
  char buffer_[kEchoBuffer];
};

}  // namespace

void raw_echo(const EchoOptions& options) { RawServer(options).run(); }

}  // namespace weft::bench
