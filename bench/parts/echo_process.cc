#include "bench/parts/echo_process.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "bench/lib/harness.h"

namespace weft::bench {
namespace {

[[noreturn]] void serve(const EchoServer& server, EchoOptions options, SystemCalls* system_calls) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGPIPE, SIG_IGN);
  const OnCore first(OnCore::kFirst);
  count_system_calls(system_calls);
  try {
    server.serve(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", server.name, error.what());
  }
  _exit(1);
}

[[noreturn]] void run_load(std::uint16_t port, std::size_t connections,
                           std::atomic<std::uint64_t>* answered) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const OnCore last(OnCore::kLast);
  try {
    Load load(port, connections);
    load.publish(answered);
    for (;;) load.run(0, 3600);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "the load: %s\n", error.what());
  }
  _exit(1);
}

double nanoseconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_usec) * 1e3;
}

}  // namespace

void* shared_memory(std::size_t size) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return memory;
}

void free_shared_memory(void* memory, std::size_t size) noexcept { munmap(memory, size); }

ServerProcess::ServerProcess(const EchoServer& server, bool spin, SystemCalls* system_calls) {
  int ends[2];
  if (pipe(ends) != 0) throw std::runtime_error("pipe failed");
  std::fflush(nullptr);
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ == 0) {
    close(ends[0]);
    const auto ready = [writing = ends[1]](std::uint16_t port) {
      if (write(writing, &port, sizeof(port)) != sizeof(port)) _exit(1);
      close(writing);
    };
    serve(server, {.spin = spin, .ready = ready}, system_calls);
  }
  close(ends[1]);
  const bool ready = read(ends[0], &port_, sizeof(port_)) == sizeof(port_);
  close(ends[0]);
  if (!ready) {
    end();
    throw std::runtime_error(std::string(server.name) + " does not start");
  }
}

ServerProcess::~ServerProcess() {
  if (pid_ >= 0) end();
}

double ServerProcess::resident_bytes() const { return status_bytes("VmRSS", pid_); }

void ServerProcess::freeze() {
  if (std::exchange(frozen_, true)) return;
  kill(pid_, SIGSTOP);
  waitpid(pid_, nullptr, WUNTRACED);
}

CpuTime ServerProcess::end() {
  kill(pid_, SIGKILL);
  rusage usage{};
  wait4(std::exchange(pid_, -1), nullptr, 0, &usage);
  return {.user = nanoseconds(usage.ru_utime), .kernel = nanoseconds(usage.ru_stime)};
}

LoadProcess::LoadProcess(std::uint16_t port, std::size_t connections,
                         std::atomic<std::uint64_t>* answered) {
  std::fflush(nullptr);
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ == 0) run_load(port, connections, answered);
}

LoadProcess::~LoadProcess() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

CpuTime Trial::end() {
  if (!load_) return {};
  server_.freeze();
  load_.reset();
  return server_.end();
}

}  // namespace weft::bench
