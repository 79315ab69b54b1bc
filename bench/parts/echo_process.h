// A server in a process of its own, and what can be measured of it from outside.
#ifndef WEFT_BENCH_PARTS_ECHO_PROCESS_H_
#define WEFT_BENCH_PARTS_ECHO_PROCESS_H_

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>

#include "bench/lib/echo.h"
#include "bench/lib/echo_load.h"
#include "bench/parts/system_calls.h"

namespace weft::bench {

// Throws std::bad_alloc.
void* shared_memory(std::size_t size);
void free_shared_memory(void* memory, std::size_t size) noexcept;

// A T in memory that this process shares with those it forks later.
template <class T>
class Shared {
 public:
  Shared() : value_(new (shared_memory(sizeof(T))) T) {}
  ~Shared() { free_shared_memory(value_, sizeof(T)); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  T* get() const noexcept { return value_; }
  T* operator->() const noexcept { return value_; }

 private:
  T* const value_;
};

// Nanoseconds of processor time. The sum is exact. Most systems guess how it is divided, by what
// each tick of the clock interrupts.
struct CpuTime {
  double user = 0;
  double kernel = 0;
};

// On the first core. Dies with its parent.
class ServerProcess {
 public:
  // Returns when the server accepts connections; throws std::runtime_error if it fails before.
  // Counts its system calls in `system_calls`, unless that is null.
  explicit ServerProcess(const EchoServer& server, bool spin = false,
                         SystemCalls* system_calls = nullptr);
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  pid_t pid() const noexcept { return pid_; }
  std::uint16_t port() const noexcept { return port_; }

  // Its physical memory, in bytes.
  double resident_bytes() const;

  // Stops the server for good, so that it does not see the clients leave.
  void freeze();

  // Kills it, and returns the time it has used. Call it only once.
  CpuTime end();

 private:
  pid_t pid_ = -1;
  std::uint16_t port_ = 0;
  bool frozen_ = false;
};

// Clients in a process of their own, on the last core, which runs until it is killed. Dies with its
// parent.
class LoadProcess {
 public:
  LoadProcess(std::uint16_t port, std::size_t connections, std::atomic<std::uint64_t>* answered);
  ~LoadProcess();
  LoadProcess(const LoadProcess&) = delete;
  LoadProcess& operator=(const LoadProcess&) = delete;

 private:
  pid_t pid_;
};

// A server and its clients, which are in the calling process.
class Trial {
 public:
  Trial(const EchoServer& server, std::size_t connections, bool spin = false,
        SystemCalls* system_calls = nullptr)
      : server_(server, spin, system_calls), load_(std::in_place, server_.port(), connections) {}
  ~Trial() { end(); }

  ServerProcess& server() noexcept { return server_; }
  Load& load() noexcept { return *load_; }

  // The time that the server has used; zero after the first call.
  CpuTime end();

 private:
  ServerProcess server_;
  std::optional<Load> load_;
};

}  // namespace weft::bench

#endif  // WEFT_BENCH_PARTS_ECHO_PROCESS_H_
