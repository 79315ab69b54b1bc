// The State Threads library, one of the oldest of its kind, on one thread, as it always is.
//
// - ST_EVENTSYS_ALT, which is epoll: select() is the default.
// - st_usleep(0) is its yield, and goes through the timeout heap and the event system each time.
// For
//   `switch` two threads signal a condition variable to each other instead: the shortest way from
//   one to the other.
// - Stacks are of the default size, 64 KiB, and those of threads that have ended are used again.
// - The queue is a ring buffer with two condition variables and without a mutex: "process-specific
//   global data need not to be protected by locks", and st_cond_wait() takes no mutex.
// - There are no timeouts around other code, nor helper threads: blocking work is for a process at
//   the other end of a pipe.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <st.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <vector>

#include "bench/contestants/contestant.h"
#include "bench/lib/echo.h"
#include "bench/lib/skynet.h"

namespace weft::bench {
namespace {

// ---- The library's functions, with what C++ expects ---------------------------------------------

[[noreturn]] void fail(const char* call) {
  throw std::system_error(errno, std::generic_category(), call);
}

void initialize() {
  static const bool done = [] {
    if (st_set_eventsys(ST_EVENTSYS_ALT) != 0) fail("st_set_eventsys");
    if (st_init() != 0) fail("st_init");
    return true;
  }();
  static_cast<void>(done);
}

// REQUIRES: what f refers to outlives the thread.
template <class F>
st_thread_t start(F& f) {
  const st_thread_t thread = st_thread_create(
      [](void* argument) -> void* {
        (*static_cast<F*>(argument))();
        return nullptr;
      },
      &f, 1, 0);
  if (!thread) fail("st_thread_create");
  return thread;
}

void join(st_thread_t thread) {
  if (st_thread_join(thread, nullptr) != 0) fail("st_thread_join");
}

class Condition {
 public:
  Condition() = default;
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;
  ~Condition() { st_cond_destroy(handle_); }

  void wait() { st_cond_wait(handle_); }
  void notify_one() { st_cond_signal(handle_); }
  void notify_all() { st_cond_broadcast(handle_); }

 private:
  st_cond_t handle_ = st_cond_new();
};

class Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  ~Mutex() { st_mutex_destroy(handle_); }

  void lock() { st_mutex_lock(handle_); }
  void unlock() { st_mutex_unlock(handle_); }

 private:
  st_mutex_t handle_ = st_mutex_new();
};

// ---- Threads ------------------------------------------------------------------------------------

double switches(long times) {
  initialize();
  Condition turns[2];
  const auto turn = [&](int mine) {
    for (long i = 0; i < times / 2; ++i) {
      turns[1 - mine].notify_one();
      turns[mine].wait();
    }
    turns[1 - mine].notify_one();
  };
  auto first_turns = [&] { turn(0); };
  auto second_turns = [&] { turn(1); };
  return wall_ns_per(times, [&] {
    const st_thread_t first = start(first_turns);
    const st_thread_t second = start(second_turns);
    join(first);
    join(second);
  });
}

double spawn_and_get(long times) {
  initialize();
  auto nothing = [] {};
  return wall_ns_per(times, [&] {
    for (long i = 0; i < times; ++i) join(start(nothing));
  });
}

struct Part {
  long first;
  long leaves;
  long sum = 0;

  void operator()() {
    if (leaves == 1) {
      sum = first;
      return;
    }
    const long part = leaves / kChildren;
    std::array<Part, kChildren> children;
    std::array<st_thread_t, kChildren> threads;
    for (long i = 0; i < kChildren; ++i) {
      const auto n = static_cast<std::size_t>(i);
      children[n] = {.first = first + i * part, .leaves = part};
      threads[n] = start(children[n]);
    }
    for (std::size_t n = 0; n < kChildren; ++n) {
      join(threads[n]);
      sum += children[n].sum;
    }
  }
};

double skynet(long threads) {
  if (threads != 1) return kNothing;
  initialize();
  const auto tree = [] {
    Part root{.first = 0, .leaves = kLeaves};
    root();
    return root.sum;
  };
  skynet_ms(tree);
  return skynet_ms(tree);
}

double parked(long times) {
  initialize();
  std::vector<st_thread_t> all(static_cast<std::size_t>(times));
  const double before = memory_bytes();
  Condition event;
  auto wait = [&] { event.wait(); };
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i] = start(wait);
    if (i % 1000 == 999) st_usleep(0);
  }
  st_usleep(0);
  const double each = (memory_bytes() - before) / static_cast<double>(times);
  event.notify_all();
  for (const st_thread_t thread : all) join(thread);
  return each;
}

// ---- Synchronization ----------------------------------------------------------------------------

template <std::size_t Capacity>
class Queue {
 public:
  void push(long item) {
    while (size_ == Capacity) not_full_.wait();
    items_[(head_ + size_++) % Capacity] = item;
    not_empty_.notify_one();
  }

  // True if there was an item; false if the queue is closed and empty.
  bool pop(long& item) {
    while (size_ == 0) {
      if (closed_) return false;
      not_empty_.wait();
    }
    item = items_[head_];
    head_ = (head_ + 1) % Capacity;
    --size_;
    not_full_.notify_one();
    return true;
  }

  void close() {
    closed_ = true;
    not_empty_.notify_all();
  }

 private:
  std::array<long, Capacity> items_;
  std::size_t head_ = 0;
  std::size_t size_ = 0;
  bool closed_ = false;
  Condition not_full_;
  Condition not_empty_;
};

template <std::size_t Capacity>
double queue(long times) {
  initialize();
  Queue<Capacity> items;
  auto produce = [&] {
    for (long i = 0; i < times; ++i) items.push(i);
    items.close();
  };
  auto consume = [&] {
    long item;
    while (items.pop(item)) asm volatile("" ::"r"(item));
  };
  return wall_ns_per(times, [&] {
    const st_thread_t producer = start(produce);
    const st_thread_t consumer = start(consume);
    join(producer);
    join(consumer);
  });
}

double mutex(long times) {
  initialize();
  Mutex mutex;
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
  initialize();
  Mutex mutex;
  auto pass = [&] {
    for (long i = 0; i < times / Threads; ++i) {
      mutex.lock();
      st_usleep(0);
      mutex.unlock();
    }
  };
  return wall_ns_per(times, [&] {
    std::array<st_thread_t, Threads> all;
    for (st_thread_t& thread : all) thread = start(pass);
    for (const st_thread_t thread : all) join(thread);
  });
}

// ---- Time ---------------------------------------------------------------------------------------

struct Sleep {
  st_utime_t us;
  void operator()() const { st_usleep(us); }
};

// A sleep counts from the last switch, so the main thread yields now and then.
double sleep_all(std::vector<Sleep>& sleeps) {
  const double begin = wall_ns();
  std::vector<st_thread_t> all(sleeps.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i] = start(sleeps[i]);
    if (i % 1000 == 999) st_usleep(0);
  }
  for (const st_thread_t thread : all) join(thread);
  return (wall_ns() - begin) * 1e-6;
}

double timers(long times) {
  initialize();
  std::vector<Sleep> sleeps;
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(times); ++i) {
    sleeps.push_back({scattered(i, 1'000'000)});
  }
  return sleep_all(sleeps) - 1000;
}

double queries(long times) {
  initialize();
  std::vector<Sleep> sleeps(static_cast<std::size_t>(times), Sleep{1'000'000});
  return sleep_all(sleeps);
}

// ---- TCP ----------------------------------------------------------------------------------------

void serve(st_netfd_t connection) {
  char buffer[kEchoBuffer];
  for (;;) {
    const ssize_t size = st_read(connection, buffer, kEchoBuffer, ST_UTIME_NO_TIMEOUT);
    if (size <= 0) break;
    const auto count = static_cast<std::size_t>(size);
    if (st_write(connection, buffer, count, ST_UTIME_NO_TIMEOUT) != size) break;
  }
  st_netfd_close(connection);
}

double echo(long) {
  initialize();
  const int fd = listen_on_loopback();
  const st_netfd_t listener = st_netfd_open_socket(fd);
  if (!listener) fail("st_netfd_open_socket");
  print_port(port_of(fd));
  for (;;) {
    const st_netfd_t connection = st_accept(listener, nullptr, nullptr, ST_UTIME_NO_TIMEOUT);
    if (!connection) continue;
    set_no_delay(st_netfd_fileno(connection));
    const auto begin = [](void* argument) -> void* {
      serve(static_cast<st_netfd_t>(argument));
      return nullptr;
    };
    if (!st_thread_create(begin, connection, 0, 0)) st_netfd_close(connection);
  }
}

constexpr Workload kWorkloads[] = {
    {"switch", switches},        {"spawn", spawn_and_get},
    {"skynet", skynet},          {"queue1", queue<1>},
    {"queue128", queue<128>},    {"mutex", mutex},
    {"mutex2", mutex_passed<2>}, {"mutex100", mutex_passed<100>},
    {"timers", timers},          {"parked", parked},
    {"queries", queries},        {"echo", echo},
};

}  // namespace

std::string version() { return "State Threads " ST_VERSION; }

std::span<const Workload> workloads() { return kWorkloads; }

}  // namespace weft::bench
