#include "bench/lib/echo_load.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <stdexcept>

#include "bench/lib/echo.h"

namespace weft::bench {
namespace {

constexpr std::size_t kRequest = 64;
constexpr char kBytes[kRequest + 1] =
    "The quick brown fox jumps over the lazy dog and runs 4,321 miles";

std::uint64_t now_ns() noexcept {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(time.tv_nsec);
}

std::uint64_t to_ns(double seconds) noexcept { return static_cast<std::uint64_t>(seconds * 1e9); }

Fd connect_to(std::uint16_t port) {
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    throw std::runtime_error("cannot connect to the server");
  }
  set_no_delay(fd.get());
  const timeval patience = {.tv_sec = 10, .tv_usec = 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  return fd;
}

// The first request of a connection, which is still blocking.
void round_trip(int fd) {
  char buffer[kRequest];
  if (send(fd, kBytes, kRequest, MSG_NOSIGNAL) != kRequest ||
      recv(fd, buffer, kRequest, MSG_WAITALL) != kRequest ||
      std::memcmp(buffer, kBytes, kRequest) != 0) {
    throw std::runtime_error("the server does not answer as it should");
  }
}

}  // namespace

std::size_t Histogram::bucket(std::uint64_t ns) noexcept {
  const int shift = std::bit_width(ns >> (kBits + 1));
  return (static_cast<std::size_t>(shift) << kBits) + (ns >> shift);
}

double Histogram::start(std::size_t bucket) noexcept {
  constexpr std::size_t kFirst = std::size_t{2} << kBits;  // these are one wide
  if (bucket < kFirst) return static_cast<double>(bucket);
  const std::size_t shift = (bucket >> kBits) - 1;
  return static_cast<double>((bucket - (shift << kBits)) << shift);
}

double Histogram::quantile(double part) const {
  std::uint64_t all = 0;
  for (const std::uint64_t count : counts_) all += count;
  double left = part * static_cast<double>(all);
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    const auto count = static_cast<double>(counts_[i]);
    if (count > 0 && left <= count) return start(i) + left / count * (start(i + 1) - start(i));
    left -= count;
  }
  throw std::logic_error("an empty histogram");
}

Load::Load(std::uint16_t port, std::size_t connections) : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  connections_.reserve(connections);
  for (std::size_t i = 0; i < connections; ++i) {
    const int fd = connections_.emplace_back(Connection{connect_to(port)}).fd.get();
    round_trip(fd);
    ++answered_;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.ptr = &connections_.back();
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  }
}

Load::~Load() {
  const linger reset = {.l_onoff = 1, .l_linger = 0};
  for (const Connection& connection : connections_) {
    setsockopt(connection.fd.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  }
}

LoadResult Load::run(double warm_up_seconds, double seconds) {
  goes_on_ = true;
  for (Connection& connection : connections_) send_request(connection, now_ns());
  const std::uint64_t warm_at = now_ns() + to_ns(warm_up_seconds);
  LoadResult result;
  while (now_ns() < warm_at) turn(result);
  result = {};
  const std::uint64_t begin = now_ns();
  const std::uint64_t end = begin + to_ns(seconds);
  std::uint64_t now = begin;
  for (; now < end; now = now_ns()) turn(result);
  result.seconds = static_cast<double>(now - begin) * 1e-9;
  goes_on_ = false;
  for (LoadResult late; under_way_ > 0;) turn(late);
  return result;
}

void Load::turn(LoadResult& result) {
  constexpr int kEvents = 1024;
  constexpr int kPatience = 10'000;  // milliseconds
  epoll_event events[kEvents];
  const int count = epoll_wait(epoll_.get(), events, kEvents, kPatience);
  if (count == 0) throw std::runtime_error("the server has stopped to answer");
  for (int i = 0; i < count; ++i) {
    receive(*static_cast<Connection*>(events[i].data.ptr), result);
  }
}

// A request is so short that it is sent whole or not at all.
void Load::send_request(Connection& connection, std::uint64_t now) {
  if (send(connection.fd.get(), kBytes, kRequest, MSG_NOSIGNAL) != kRequest) {
    throw std::runtime_error("the server has broken a connection");
  }
  connection.sent_at = now;
  ++under_way_;
}

// One read per edge is enough: the server owes no more than one answer.
void Load::receive(Connection& connection, LoadResult& result) {
  char buffer[2 * kRequest];
  const ssize_t size = recv(connection.fd.get(), buffer, sizeof(buffer), 0);
  if (size < 0 && errno == EAGAIN) return;
  if (size <= 0) throw std::runtime_error("the server has closed a connection");
  connection.received += static_cast<std::size_t>(size);
  if (connection.received < kRequest) return;
  connection.received = 0;
  const std::uint64_t now = now_ns();
  result.latencies.add(now - connection.sent_at);
  ++result.requests;
  ++answered_;
  --under_way_;
  if (published_) published_->store(answered_, std::memory_order_relaxed);
  if (goes_on_) send_request(connection, now);
}

}  // namespace weft::bench
