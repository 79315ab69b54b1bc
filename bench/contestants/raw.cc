// What the machine allows: Boost.Context without a scheduler, epoll, futexes and threads by hand.
// It is no library: nothing here can be cancelled, throw or wait for anything else. So its figures
// are a limit rather than a goal.
//
// - Contexts are boost::context::fiber on mmap'd stacks, resumed directly, and kept when they end.
// - queue: a plain ring buffer; a fiber that finds it full, or empty, switches to the other.
// - mutex: std::mutex, which cannot be passed among fibers: it is passed among threads, on one
// core.
// - timers: deadlines in a std::priority_queue, and epoll_pwait2() until the next one.
// - timeout: one reading of the clock, which a deadline needs.
// - parked: stacks laid out as weft's, without guards, each written to once.
// - executor: two threads that wake each other by a futex.
// - process, processes, pipe_out: posix_spawn(), by which every descriptor that is not
// close-on-exec and an ignored SIGPIPE reach the program, and waitid() and read(), which block the
// thread.
// - pool_job: a forked process at the other end of a socketpair; both block in recv().

#include "bench/lib/raw.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <boost/version.hpp>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <mutex>
#include <queue>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "bench/contestants/contestant.h"
#include "bench/lib/echo.h"
#include "bench/lib/echo_fd.h"
#include "bench/lib/harness.h"
#include "bench/lib/skynet.h"

namespace weft::bench {
namespace {

namespace bc = boost::context;

bc::fiber make_context(auto f) {
  return bc::fiber(std::allocator_arg, bc::protected_fixedsize_stack(), std::move(f));
}

// ---- Boost.Context ------------------------------------------------------------------------------

double switches(long times) {
  return wall_ns_per(times, [&] { raw_switch(times); });
}

double spawn_and_get(long times) {
  bc::fiber other = make_context([](bc::fiber&& caller) {
    for (;;) caller = std::move(caller).resume();
    return std::move(caller);
  });
  return wall_ns_per(times, [&] {
    for (long i = 0; i < times; ++i) other = std::move(other).resume();
  });
}

double skynet(long threads) {
  if (threads != 1) return kNothing;
  const auto tree = [] { return skynet_raw(0, kLeaves); };
  skynet_ms(tree);
  return skynet_ms(tree);
}

template <std::size_t Capacity>
double queue(long times) {
  long items[Capacity];
  std::size_t head = 0;
  std::size_t size = 0;
  bc::fiber producer = make_context([&](bc::fiber&& consumer) {
    for (long i = 0; i < times; ++i) {
      if (size == Capacity) consumer = std::move(consumer).resume();
      items[(head + size++) % Capacity] = i;
    }
    return std::move(consumer);
  });
  return wall_ns_per(times, [&] {
    for (long i = 0; i < times; ++i) {
      if (size == 0) producer = std::move(producer).resume();
      asm volatile("" ::"r"(items[head]));
      head = (head + 1) % Capacity;
      --size;
    }
  });
}

double parked(long times) {
  const double before = memory_bytes();
  const RawStacks stacks(static_cast<std::size_t>(times));
  for (std::size_t i = 0; i < stacks.count(); ++i) {
    *static_cast<volatile char*>(stacks.top(i) - 1) = 1;
  }
  return (memory_bytes() - before) / static_cast<double>(times);
}

// ---- Threads ------------------------------------------------------------------------------------

double mutex(long times) {
  std::mutex mutex;
  return wall_ns_per(times, [&] {
    for (long i = 0; i < times; ++i) {
      mutex.lock();
      asm volatile("" ::: "memory");
      mutex.unlock();
    }
  });
}

template <int Threads>
double mutex_passed(long times) {
  std::mutex mutex;
  return wall_ns_per(times, [&] {
    std::vector<std::jthread> threads;
    for (int i = 0; i < Threads; ++i) {
      threads.emplace_back([&] {
        for (long j = 0; j < times / Threads; ++j) {
          const std::lock_guard lock(mutex);
          std::this_thread::yield();
        }
      });
    }
  });
}

class Futex {
 public:
  void post() {
    word_.store(1, std::memory_order_release);
    call(FUTEX_WAKE_PRIVATE, 1);
  }
  void take() {
    while (word_.exchange(0, std::memory_order_acquire) == 0) call(FUTEX_WAIT_PRIVATE, 0);
  }

 private:
  void call(int what, int value) { syscall(SYS_futex, &word_, what, value, nullptr, nullptr, 0); }

  alignas(64) std::atomic<int> word_{0};
};

double executor(long times) {
  Futex there;
  Futex back;
  std::jthread other([&] {
    const OnCore last(OnCore::kLast);
    for (long i = 0; i < times; ++i) {
      there.take();
      back.post();
    }
  });
  const OnCore first(OnCore::kFirst);
  return wall_ns_per(times, [&] {
    for (long i = 0; i < times; ++i) {
      there.post();
      back.take();
    }
  });
}

// ---- The kernel's clock and epoll ---------------------------------------------------------------

void sleep_until(int epoll, double deadline) {
  for (;;) {
    const double left = deadline - wall_ns();
    if (left <= 0) return;
    const auto ns = static_cast<long>(left);
    const timespec time = {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
    epoll_event none;
    epoll_pwait2(epoll, &none, 1, &time, nullptr);
  }
}

double timers(long times) {
  const Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  const double begin = wall_ns();
  std::priority_queue<double, std::vector<double>, std::greater<>> deadlines;
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(times); ++i) {
    deadlines.push(wall_ns() + static_cast<double>(scattered(i, 1'000'000)) * 1e3);
  }
  while (!deadlines.empty()) {
    sleep_until(epoll.get(), deadlines.top());
    deadlines.pop();
  }
  return (wall_ns() - begin) * 1e-6 - 1000;
}

double timeout(long times) {
  return wall_ns_per(times, [&] {
    for (long i = 0; i < times; ++i) wall_ns();
  });
}

double queries(long) {
  const Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  const double begin = wall_ns();
  sleep_until(epoll.get(), begin + 1e9);  // all are due at once
  return (wall_ns() - begin) * 1e-6;
}

// ---- Processes ----------------------------------------------------------------------------------

void require(bool truth, const char* otherwise) {
  if (!truth) throw std::runtime_error(otherwise);
}

pid_t start(const char* const* command, const posix_spawn_file_actions_t* actions = nullptr) {
  pid_t pid = 0;
  require(posix_spawn(&pid, command[0], actions, nullptr, const_cast<char* const*>(command),
                      environ) == 0,
          "posix_spawn");
  return pid;
}

void end(pid_t pid) {
  siginfo_t info;
  require(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED) == 0 && info.si_status == 0,
          "waitid");
}

double process(long times) {
  return wall_ns_per(times, [&] {
    for (long i = 0; i < times; ++i) end(start(kTrue));
  });
}

double processes(long times) {
  std::vector<pid_t> pids;
  return wall_ns_per(times, [&] {
    for (long i = 0; i < times; ++i) pids.push_back(start(kTrue));
    for (const pid_t pid : pids) end(pid);
  });
}

double pipe_out(long times) {
  const auto buffer = std::make_unique<char[]>(kReadSize);
  return wall_ns_per(times, [&] {
    for (long i = 0; i < times; ++i) {
      int ends[2];
      require(pipe2(ends, O_CLOEXEC) == 0, "pipe2");
      const Fd output(ends[0]);
      posix_spawn_file_actions_t actions;
      posix_spawn_file_actions_init(&actions);
      posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
      const pid_t pid = start(kMebibyte, &actions);
      posix_spawn_file_actions_destroy(&actions);
      close(ends[1]);
      std::size_t size = 0;
      ssize_t more;
      while ((more = read(output.get(), buffer.get(), kReadSize)) > 0)
        size += static_cast<std::size_t>(more);
      require(size == kMebibyteSize, "a wrong size");
      end(pid);
    }
  });
}

[[noreturn]] void answer(int fd) {
  int number;
  while (recv(fd, &number, sizeof(number), 0) > 0) {
    ++number;
    send(fd, &number, sizeof(number), MSG_NOSIGNAL);
  }
  _exit(0);
}

double pool_job(long times) {
  int ends[2];
  require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
  const pid_t worker = fork();
  require(worker >= 0, "fork");
  if (worker == 0) {
    close(ends[0]);
    answer(ends[1]);
  }
  close(ends[1]);
  const double ns = wall_ns_per(times, [&] {
    for (int i = 0; i < times; ++i) {
      int number = i;
      send(ends[0], &number, sizeof(number), MSG_NOSIGNAL);
      recv(ends[0], &number, sizeof(number), 0);
      require(number == i + 1, "a wrong result");
    }
  });
  close(ends[0]);
  end(worker);
  return ns;
}

double echo(long) {
  raw_echo({.ready = print_port});
  return 0;
}

constexpr Workload kWorkloads[] = {
    {"switch", switches},        {"spawn", spawn_and_get},
    {"skynet", skynet},          {"queue1", queue<1>},
    {"queue128", queue<128>},    {"mutex", mutex},
    {"mutex2", mutex_passed<2>}, {"mutex100", mutex_passed<100>},
    {"timers", timers},          {"timeout", timeout},
    {"parked", parked},          {"executor", executor},
    {"queries", queries},        {"echo", echo},
    {"process", process},        {"processes", processes},
    {"pipe_out", pipe_out},      {"pool_job", pool_job},
};

}  // namespace

std::string version() {
  return "raw: Boost.Context " + std::to_string(BOOST_VERSION / 100000) + "." +
         std::to_string(BOOST_VERSION / 100 % 1000) + ", epoll, futex, std::mutex";
}

std::span<const Workload> workloads() { return kWorkloads; }

}  // namespace weft::bench
