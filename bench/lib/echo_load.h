// The clients of an echo server, and what they see of it.
#ifndef WEFT_BENCH_LIB_ECHO_LOAD_H_
#define WEFT_BENCH_LIB_ECHO_LOAD_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "bench/lib/echo_fd.h"

namespace weft::bench {

// Counts how often each time was seen, to within 1 %.
class Histogram {
 public:
  void add(std::uint64_t ns) noexcept { ++counts_[bucket(ns)]; }

  // The time below which this part of all times lies. REQUIRES: not empty.
  double quantile(double part) const;

 private:
  // Each power of two is divided into 64 buckets.
  static constexpr int kBits = 6;
  static std::size_t bucket(std::uint64_t ns) noexcept;
  // The first time of a bucket.
  static double start(std::size_t bucket) noexcept;

  std::array<std::uint64_t, (64 - kBits + 1) << kBits> counts_ = {};
};

// Of one stretch of load.
struct LoadResult {
  double seconds = 0;
  std::uint64_t requests = 0;
  Histogram latencies;
};

// Connections each of which sends 64 bytes, waits until they are back, and sends again.
// The calling thread serves all of them, with epoll by hand.
class Load {
 public:
  // Connects, and has one request answered on each connection, so that the server has accepted
  // all of them. Throws std::runtime_error if that fails.
  Load(std::uint16_t port, std::size_t connections);
  // Resets the connections: closed in order, they would occupy their ports for a minute.
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // Counts the answers between the end of the warm-up and the end of the time. No request is under
  // way when it returns. Throws std::runtime_error if the server closes a connection or does not
  // answer.
  LoadResult run(double warm_up_seconds, double seconds);

  // Requests answered since the first connection.
  std::uint64_t answered() const noexcept { return answered_; }

  // Stores that number at each answer, for another process to read.
  void publish(std::atomic<std::uint64_t>* answered) noexcept { published_ = answered; }

 private:
  struct Connection {
    Fd fd;
    std::size_t received = 0;
    std::uint64_t sent_at = 0;
  };

  // One turn of the loop.
  void turn(LoadResult& result);
  void send_request(Connection& connection, std::uint64_t now);
  void receive(Connection& connection, LoadResult& result);

  std::vector<Connection> connections_;
  const Fd epoll_;
  bool goes_on_ = true;  // after an answer the next request is sent
  std::size_t under_way_ = 0;
  std::uint64_t answered_ = 0;
  std::atomic<std::uint64_t>* published_ = nullptr;
};

}  // namespace weft::bench

#endif  // WEFT_BENCH_LIB_ECHO_LOAD_H_
