// Boost.Fiber, on one thread.
//
// - The default scheduler, round_robin, which never shares fibers with another thread.
// - pooled_fixedsize_stack, of the default size: faster than the default allocator if many fibers
//   sleep. Only `parked`, which measures memory, takes the default allocator.
// - launch::dispatch, which enters a fiber at once: the library's own skynet does so, and a fiber
//   that does nothing is through sooner.
// - fiber and join() rather than async() and a future, which allocates its shared state.
// - buffered_channel has a capacity that is a power of two, one of which stays empty: 2 holds one
//   item, 128 hold 127.
// - There is no select. To wait for the first of several, the documentation's when_any starts a
//   fiber for each; of queues that would take, and lose, an item of each: no `select_ready` and
//   kin.
// - mpsc_cores: a second thread with half of the senders, as a channel may have users on any.
// - broadcast: a channel for each receiver.
// - executor: a thread that fulfils promises, as in "Integrating Fibers with Asynchronous
//   Callbacks". It sleeps at a queue of the standard library: a round trip takes longer with a
//   buffered_channel, at which a fiber would wait.
// - Each wait can have a limit, but nothing sets one around other code: no `timeout`.

#include <algorithm>
#include <boost/fiber/all.hpp>
#include <boost/version.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench/contestants/boost_fiber_echo.h"
#include "bench/contestants/contestant.h"
#include "bench/lib/harness.h"
#include "bench/lib/skynet.h"

namespace weft::bench {
namespace {

namespace fibers = boost::fibers;
using boost::this_fiber::sleep_for;
using boost::this_fiber::yield;

template <class F>
fibers::fiber start(F f) {
  thread_local fibers::pooled_fixedsize_stack stacks;  // it has no lock
  return fibers::fiber(fibers::launch::dispatch, std::allocator_arg, stacks, std::move(f));
}

void join_all(std::vector<fibers::fiber>& all) {
  for (fibers::fiber& one : all) one.join();
}

// ---- Fibers -------------------------------------------------------------------------------------

double switches(long times) {
  const auto yield_times = [times] {
    for (long i = 0; i < times / 2; ++i) yield();
  };
  return wall_ns_per(times, [&] {
    fibers::fiber first = start(yield_times);
    fibers::fiber second = start(yield_times);
    first.join();
    second.join();
  });
}

double spawn_and_get(long times) {
  return wall_ns_per(times, [&] {
    for (long i = 0; i < times; ++i) start([] {}).join();
  });
}

long sum_of_part(long first, long leaves) {
  if (leaves == 1) return first;
  const long part = leaves / kChildren;
  long results[kChildren];
  fibers::fiber children[kChildren];
  for (long i = 0; i < kChildren; ++i) {
    children[i] = start([=, &results] { results[i] = sum_of_part(first + i * part, part); });
  }
  long sum = 0;
  for (long i = 0; i < kChildren; ++i) {
    children[i].join();
    sum += results[i];
  }
  return sum;
}

double skynet(long threads) {
  if (threads != 1) return kNothing;
  const auto tree = [] { return sum_of_part(0, kLeaves); };
  skynet_ms(tree);
  return skynet_ms(tree);
}

double parked(long times) {
  std::vector<fibers::fiber> all(static_cast<std::size_t>(times));
  const double before = memory_bytes();
  fibers::mutex mutex;
  fibers::condition_variable event;
  bool happened = false;
  for (fibers::fiber& one : all) {
    one = fibers::fiber(fibers::launch::dispatch, [&] {
      std::unique_lock lock(mutex);
      event.wait(lock, [&] { return happened; });
    });
  }
  const double each = (memory_bytes() - before) / static_cast<double>(times);
  happened = true;
  event.notify_all();
  join_all(all);
  return each;
}

// ---- Synchronization ----------------------------------------------------------------------------

template <std::size_t Capacity>
double queue(long times) {
  fibers::buffered_channel<long> items(Capacity == 1 ? 2 : Capacity);
  return wall_ns_per(times, [&] {
    fibers::fiber producer = start([&] {
      for (long i = 0; i < times; ++i) items.push(i);
      items.close();
    });
    fibers::fiber consumer = start([&] {
      long item;
      while (items.pop(item) == fibers::channel_op_status::success) asm volatile("" ::"r"(item));
    });
    producer.join();
    consumer.join();
  });
}

using Channel = fibers::buffered_channel<long>;

constexpr std::size_t kChannelOfOne = 2;
constexpr std::size_t kChannelOfBuffer = 128;

double pop(long times) {
  Channel items(1'024);
  return wall_ns_per_take(
      times,
      [&](long, long size) {
        for (long i = 0; i < size; ++i) items.push(i);
      },
      [&](long) { asm volatile("" ::"r"(items.value_pop())); });
}

double pop_wait(long times) {
  Channel channels[2][2] = {{Channel(kChannelOfOne), Channel(kChannelOfOne)},
                            {Channel(kChannelOfOne), Channel(kChannelOfOne)}};
  channels[0][0].push(0);
  const auto turns = [&](int mine) {
    for (long turn = mine; turn < times; turn += 2) {
      asm volatile("" ::"r"(channels[mine][turn / 2 % 2].value_pop()));
      channels[1 - mine][(turn + 1) / 2 % 2].push(turn);
    }
  };
  return wall_ns_per(times, [&] {
    fibers::fiber first = start([&] { turns(0); });
    fibers::fiber second = start([&] { turns(1); });
    first.join();
    second.join();
  });
}

// Starts the senders from the first to the one before the last, and waits for them.
void send(Channel& items, long times, int first, int last) {
  std::vector<fibers::fiber> senders;
  for (int i = first; i < last; ++i) {
    senders.push_back(start([&items, times, i] {
      for (long item = i; item < times; item += kSenders) items.push(item);
    }));
  }
  join_all(senders);
}

void receive(Channel& items) {
  long item;
  while (items.pop(item) == fibers::channel_op_status::success) asm volatile("" ::"r"(item));
}

double mpsc(long times) {
  Channel items(kChannelOfBuffer);
  return wall_ns_per(times, [&] {
    fibers::fiber receiver = start([&] { receive(items); });
    send(items, times, 0, kSenders);
    items.close();
    receiver.join();
  });
}

double mpsc_cores(long times) {
  Channel items(kChannelOfBuffer);
  return wall_ns_per(times, [&] {
    fibers::fiber receiver = start([&] { receive(items); });
    fibers::promise<void> sent;
    std::thread other([&] {
      send(items, times, 0, kSenders / 2);
      sent.set_value();
    });
    send(items, times, kSenders / 2, kSenders);
    sent.get_future().get();  // join() alone would keep the receiver from its thread
    other.join();
    items.close();
    receiver.join();
  });
}

double broadcast(long times) {
  std::deque<Channel> channels;
  for (int i = 0; i < kReceivers; ++i) channels.emplace_back(kChannelOfBuffer);
  fibers::barrier all_taken(kReceivers + 1);
  const auto for_each = [&](auto step) {
    for (long i = 0; i < times; ++i) {
      step(i);
      if (i % kBuffer == kBuffer - 1) all_taken.wait();
    }
  };
  return wall_ns_per(times, [&] {
    std::vector<fibers::fiber> receivers;
    for (Channel& channel : channels) {
      receivers.push_back(
          start([&] { for_each([&](long) { asm volatile("" ::"r"(channel.value_pop())); }); }));
    }
    for_each([&](long value) {
      for (Channel& channel : channels) channel.push(value);
    });
    join_all(receivers);
  });
}

double mutex(long times) {
  fibers::mutex mutex;
  return wall_ns_per(times, [&] {
    for (long i = 0; i < times; ++i) {
      mutex.lock();
      asm volatile("" ::: "memory");
      mutex.unlock();
    }
  });
}

template <int Fibers>
double mutex_passed(long times) {
  fibers::mutex mutex;
  return wall_ns_per(times, [&] {
    std::vector<fibers::fiber> all;
    for (int i = 0; i < Fibers; ++i) {
      all.push_back(start([&] {
        for (long j = 0; j < times / Fibers; ++j) {
          const std::lock_guard lock(mutex);
          yield();
        }
      }));
    }
    join_all(all);
  });
}

// One thread, which sleeps at a queue of its own.
class Worker {
 public:
  ~Worker() {
    submit(nullptr);
    thread_.join();
  }

  void run(void (*f)()) {
    fibers::promise<void> promise;
    fibers::future<void> done = promise.get_future();
    submit(f, std::move(promise));
    done.get();
  }

 private:
  struct Job {
    void (*f)();
    fibers::promise<void> done;
  };

  void submit(void (*f)(), fibers::promise<void> done = {}) {
    {
      const std::lock_guard lock(mutex_);
      jobs_.push_back({f, std::move(done)});
    }
    there_are_jobs_.notify_one();
  }

  void work() {
    const OnCore last(OnCore::kLast);
    for (;;) {
      std::unique_lock lock(mutex_);
      there_are_jobs_.wait(lock, [this] { return !jobs_.empty(); });
      Job job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      if (!job.f) return;
      job.f();
      job.done.set_value();
    }
  }

  std::mutex mutex_;
  std::condition_variable there_are_jobs_;
  std::deque<Job> jobs_;
  std::thread thread_{[this] { work(); }};
};

double executor(long times) {
  Worker worker;
  worker.run([] {});
  const OnCore first(OnCore::kFirst);
  return wall_ns_per(times, [&] {
    for (long i = 0; i < times; ++i) worker.run([] {});
  });
}

// ---- Time ---------------------------------------------------------------------------------------

double timers(long times) {
  const double begin = wall_ns();
  std::vector<fibers::fiber> all;
  all.reserve(static_cast<std::size_t>(times));
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(times); ++i) {
    all.push_back(start([i] { sleep_for(std::chrono::microseconds(scattered(i, 1'000'000))); }));
  }
  join_all(all);
  return (wall_ns() - begin) * 1e-6 - 1000;
}

struct Ticks {
  double ns = 0;       // of processor time for each
  double late_us = 0;  // on average
};

Ticks run_tickers(long times, bool apart) {
  using std::chrono::steady_clock, std::chrono::microseconds, std::chrono::milliseconds;
  Ticks ticks;
  const long each = std::max(times / kTickers, 1L);
  const auto begin = steady_clock::now() + milliseconds(50);
  std::vector<fibers::fiber> tickers;
  for (std::uint64_t i = 0; i < kTickers; ++i) {
    const microseconds offset(apart ? scattered(i, kTick / microseconds(1)) : 0);
    tickers.push_back(start([&ticks, each, due = begin + offset]() mutable {
      for (long tick = 0; tick < each; ++tick, due += kTick) {
        boost::this_fiber::sleep_until(due);
        const auto late = steady_clock::now() - due;
        ticks.late_us += std::chrono::duration<double, std::micro>(late).count();
      }
    }));
  }
  boost::this_fiber::sleep_until(begin - milliseconds(10));
  const double used = process_ns();
  join_all(tickers);
  ticks.ns = (process_ns() - used) / static_cast<double>(each * kTickers);
  ticks.late_us /= static_cast<double>(each * kTickers);
  return ticks;
}

double ticker(long times) { return run_tickers(times, false).ns; }
double ticker_apart(long times) { return run_tickers(times, true).ns; }
double ticker_late(long times) { return run_tickers(times, true).late_us; }

double queries(long times) {
  const double begin = wall_ns();
  std::vector<fibers::fiber> all;
  all.reserve(static_cast<std::size_t>(times));
  for (long i = 0; i < times; ++i) {
    all.push_back(start([] { sleep_for(std::chrono::seconds(1)); }));
  }
  join_all(all);
  return (wall_ns() - begin) * 1e-6;
}

// ---- TCP ----------------------------------------------------------------------------------------

double echo(long) {
  boost_fiber_echo();
  return 0;
}

constexpr Workload kWorkloads[] = {
    {"switch", switches},
    {"spawn", spawn_and_get},
    {"skynet", skynet},
    {"queue1", queue<1>},
    {"queue128", queue<128>},
    {"pop", pop},
    {"pop_wait", pop_wait},
    {"mpsc", mpsc},
    {"mpsc_cores", mpsc_cores},
    {"broadcast", broadcast},
    {"mutex", mutex},
    {"mutex2", mutex_passed<2>},
    {"mutex100", mutex_passed<100>},
    {"timers", timers},
    {"parked", parked},
    {"executor", executor},
    {"ticker", ticker},
    {"ticker_apart", ticker_apart},
    {"ticker_late", ticker_late},
    {"queries", queries},
    {"echo", echo},
};

}  // namespace

std::string version() {
  return "Boost.Fiber " + std::to_string(BOOST_VERSION / 100000) + "." +
         std::to_string(BOOST_VERSION / 100 % 1000);
}

std::span<const Workload> workloads() { return kWorkloads; }

}  // namespace weft::bench
