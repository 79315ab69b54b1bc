// weft, as its README teaches: the default runtime, one thread.

#include "weft/weft.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench/contestants/contestant.h"
#include "bench/lib/echo.h"
#include "bench/lib/harness.h"
#include "bench/lib/skynet.h"

namespace weft::bench {
namespace {

using namespace std::chrono_literals;

// bench/count_instructions sets this: how often the loop looks at clock and kernel depends on how
// fast it runs, and on virtual time does not.
template <class F>
double run(F&& main) {
  static const bool virtual_time = std::getenv("WEFT_BENCH_VIRTUAL_TIME") != nullptr;
  return weft::run(std::forward<F>(main), {.virtual_time = virtual_time});
}

// Two loops in one function, as raw has them: weft's README.md explains what two functions cost.
[[gnu::noinline]] void yield_times(long times) {
  while (times-- > 0) yield();
}

double switches(long times) {
  return run([times] {
    Task<void> first = spawn([=] { yield_times(times / 2); });
    Task<void> second = spawn([=] { yield_times(times / 2); });
    return wall_ns_per(times, [&] {
      first.get();
      second.get();
    });
  });
}

double spawn_and_get(long times) {
  return run([times] {
    return wall_ns_per(times, [&] {
      for (long i = 0; i < times; ++i) spawn([] {}).get();
    });
  });
}

double skynet(long threads) {
  const auto part = [] { return skynet_tasks(0, kLeaves, true); };
  Runtime runtime({.threads = static_cast<unsigned>(threads)});
  const auto tree = [&] { return threads == 1 ? runtime.run(part) : runtime.run(skynet_spread); };
  skynet_ms(tree);
  return skynet_ms(tree);
}

template <std::size_t Capacity>
double queue(long times) {
  return run([times] {
    Queue<long> items(Capacity);
    return wall_ns_per(times, [&] {
      Task<void> producer = spawn([&] {
        for (long i = 0; i < times; ++i) items.push(i);
        items.close();
      });
      Task<void> consumer = spawn([&] {
        for (const long item : items) asm volatile("" ::"r"(item));
      });
      producer.get();
      consumer.get();
    });
  });
}

// Each turn is a wait that a wake ends.
double wake(long times) {
  return run([times] {
    Semaphore mine(1);
    Semaphore its(0);
    const auto take_turns = [times](Semaphore& own, Semaphore& other) {
      return [&own, &other, times] {
        for (long i = 0; i < times / 2; ++i) {
          own.acquire();
          other.release();
        }
      };
    };
    return wall_ns_per(times, [&] {
      Task<void> first = spawn(take_turns(mine, its));
      Task<void> second = spawn(take_turns(its, mine));
      first.get();
      second.get();
    });
  });
}

// Takes what is in the first queue or in the second, batch by batch in turn.
template <class Take>
double take_ready(long times, Take take) {
  return run([=] {
    Queue<long> queues[2] = {Queue<long>(kBatch), Queue<long>(kBatch)};
    return wall_ns_per_take(
        times,
        [&](long batch, long size) {
          for (long i = 0; i < size; ++i) queues[batch % 2].push(i);
        },
        [&](long batch) { asm volatile("" ::"r"(take(queues, batch % 2))); });
  });
}

// Two fibers take turns: each takes from one of its two queues, and pushes to one of the other's.
template <class Take>
double take_turns(long times, Take take) {
  return run([=] {
    Queue<long> queues[2][2] = {{Queue<long>(1), Queue<long>(1)}, {Queue<long>(1), Queue<long>(1)}};
    queues[0][0].push(0);
    const auto turns = [&](int mine) {
      for (long turn = mine; turn < times; turn += 2) {
        asm volatile("" ::"r"(take(queues[mine], turn / 2 % 2)));
        queues[1 - mine][(turn + 1) / 2 % 2].push(turn);
      }
    };
    return wall_ns_per(times, [&] {
      Task<void> first = spawn([&] { turns(0); });
      Task<void> second = spawn([&] { turns(1); });
      first.get();
      second.get();
    });
  });
}

long pop_from(Queue<long>* queues, long which) { return queues[which].pop(); }

long pop_from_either(Queue<long>* queues, long) {
  long item;
  select(on_pop(queues[0], item), on_pop(queues[1], item));
  return item;
}

double pop(long times) { return take_ready(times, pop_from); }
double select_ready(long times) { return take_ready(times, pop_from_either); }
double pop_wait(long times) { return take_turns(times, pop_from); }
double select_wait(long times) { return take_turns(times, pop_from_either); }

// The receiver is on this thread; of two threads each has two senders.
double send_and_receive(long times) {
  Queue<long> items(kBuffer);
  return wall_ns_per(times, [&] {
    Task<void> receiver = spawn([&] {
      for (const long item : items) asm volatile("" ::"r"(item));
    });
    TaskGroup senders;
    for (int i = 0; i < kSenders; ++i) {
      senders.spawn(
          [&, i] {
            for (long item = i; item < times; item += kSenders) items.push(item);
          },
          {.on = round_robin()});
    }
    senders.join();
    items.close();
    receiver.get();
  });
}

double mpsc(long times) {
  return run([=] { return send_and_receive(times); });
}

double mpsc_cores(long times) {
  return weft::run([=] { return send_and_receive(times); }, {.threads = 2});
}

// A queue for each receiver.
double broadcast(long times) {
  return run([times] {
    std::deque<Queue<long>> queues;
    for (int i = 0; i < kReceivers; ++i) queues.emplace_back(kBuffer);
    Barrier all_taken(kReceivers + 1);
    const auto for_each = [&](auto step) {
      for (long i = 0; i < times; ++i) {
        step(i);
        if (i % kBuffer == kBuffer - 1) all_taken.arrive_and_wait();
      }
    };
    return wall_ns_per(times, [&] {
      TaskGroup receivers;
      for (Queue<long>& queue : queues) {
        receivers.spawn([&] { for_each([&](long) { asm volatile("" ::"r"(queue.pop())); }); });
      }
      for_each([&](long value) {
        for (Queue<long>& queue : queues) queue.push(value);
      });
      receivers.join();
    });
  });
}

double mutex(long times) {
  return run([times] {
    Mutex mutex;
    return wall_ns_per(times, [&] {
      for (long i = 0; i < times; ++i) {
        mutex.lock();
        asm volatile("" ::: "memory");
        mutex.unlock();
      }
    });
  });
}

template <int Fibers>
double mutex_passed(long times) {
  return run([times] {
    Mutex mutex;
    return wall_ns_per(times, [&] {
      TaskGroup group;
      for (int i = 0; i < Fibers; ++i) {
        group.spawn([&] {
          for (long j = 0; j < times / Fibers; ++j) {
            const std::lock_guard lock(mutex);
            yield();
          }
        });
      }
      group.join();
    });
  });
}

double timers(long times) {
  const double begin = wall_ns();
  return run([&] {
    TaskGroup group;
    for (long i = 0; i < times; ++i) {
      group.spawn(
          [=] {
            sleep_for(
                std::chrono::microseconds(scattered(static_cast<std::uint64_t>(i), 1'000'000)));
          },
          {.eager = true});
      if (i % 1000 == 999) yield();  // sleepers that are due end, and leave their stacks
    }
    group.join();
    return (wall_ns() - begin) * 1e-6 - 1000;
  });
}

double timeout(long times) {
  return run([times] {
    TaskGroup others;
    for (std::uint64_t i = 0; i < 100'000; ++i) {
      others.spawn([limit = 10min + std::chrono::seconds(scattered(i, 3600))] {
        with_timeout(limit, [] { sleep_for(24h); });
      });
    }
    yield();  // they begin
    return wall_ns_per(times, [&] {
      for (long i = 0; i < times; ++i) with_timeout(5s, [] { asm volatile(""); });
    });
  });
}

double parked(long times) {
  return run([times] {
    const double before = memory_bytes();
    Event event;
    TaskGroup group;
    for (long i = 0; i < times; ++i) {
      group.spawn([&event] { event.wait(); });
      if (i % 1000 == 999) yield();
    }
    yield();
    const double each = (memory_bytes() - before) / static_cast<double>(times);
    event.set();
    group.join();
    return each;
  });
}

double executor(long times) {
  return run([times] {
    std::unique_ptr<ThreadPool> pool;
    {
      const OnCore last(OnCore::kLast);
      pool = std::make_unique<ThreadPool>(1);
      run_in_executor(*pool, [] {});  // starts the thread, which stays on this core
    }
    const OnCore first(OnCore::kFirst);
    return wall_ns_per(times, [&] {
      for (long i = 0; i < times; ++i) run_in_executor(*pool, [] {});
    });
  });
}

// Calls meanwhile() once the thread has begun to post.
template <class F>
void post_from_thread(long times, F meanwhile) {
  Scheduler& here = Scheduler::current();
  Event all_ran;
  long ran = 0;
  std::thread poster([&] {
    const OnCore last(OnCore::kLast);
    for (long i = 0; i < times; ++i) {
      here.post([&] {
        if (++ran == times) all_ran.set();
      });
    }
  });
  meanwhile(poster);
  all_ran.wait();
  if (poster.joinable()) poster.join();
}

double post(long times) {
  return run([times] {
    const OnCore first(OnCore::kFirst);
    const double begin = wall_ns();
    post_from_thread(times, [](std::thread&) {});
    return (wall_ns() - begin) * 1e-6;
  });
}

double posted(long times) {
  return run([times] {
    const OnCore first(OnCore::kFirst);
    const double before = memory_bytes();
    double after = 0;
    post_from_thread(times, [&](std::thread& poster) { poster.join(), after = memory_bytes(); });
    return (after - before) / static_cast<double>(times);
  });
}

struct Ticks {
  double ns = 0;       // of processor time for each
  double late_us = 0;  // on average
};

// All begin at once, or scattered over one tick.
Ticks run_tickers(long times, bool apart) {
  Ticks ticks;
  const long each = std::max(times / kTickers, 1L);
  weft::run([&] {
    const TimePoint begin = now() + 50ms;
    TaskGroup tickers;
    for (std::uint64_t i = 0; i < kTickers; ++i) {
      const std::chrono::microseconds offset(apart ? scattered(i, kTick / 1us) : 0);
      tickers.spawn([&ticks, each, due = begin + offset]() mutable {
        for (long tick = 0; tick < each; ++tick, due += kTick) {
          sleep_until(due);
          ticks.late_us += std::chrono::duration<double, std::micro>(now() - due).count();
        }
      });
    }
    sleep_until(begin - 10ms);
    const double used = process_ns();
    tickers.join();
    ticks.ns = process_ns() - used;
  });
  ticks.ns /= static_cast<double>(each * kTickers);
  ticks.late_us /= static_cast<double>(each * kTickers);
  return ticks;
}

double ticker(long times) { return run_tickers(times, false).ns; }
double ticker_apart(long times) { return run_tickers(times, true).ns; }
double ticker_late(long times) { return run_tickers(times, true).late_us; }

std::vector<std::string> words(const char* const* command) {
  std::vector<std::string> all;
  for (; *command; ++command) all.emplace_back(*command);
  return all;
}

void require(bool truth, const char* otherwise) {
  if (!truth) throw std::runtime_error(otherwise);
}

void run_true() {
  static const std::vector<std::string> command = words(kTrue);
  require(Process::start(command).wait().ok(), "it failed");
}

double process(long times) {
  return run([times] {
    return wall_ns_per(times, [&] {
      for (long i = 0; i < times; ++i) run_true();
    });
  });
}

double processes(long times) {
  return run([times] {
    return wall_ns_per(times, [&] {
      TaskGroup group;
      for (long i = 0; i < times; ++i) group.spawn(run_true);
      group.join();
    });
  });
}

void read_mebibyte(std::span<char> buffer) {
  static const std::vector<std::string> command = words(kMebibyte);
  Process process = Process::start(command, {.output = Stdio::pipe()});
  std::size_t size = 0;
  while (const std::size_t more = process.output().read_some(buffer)) size += more;
  require(size == kMebibyteSize, "a wrong size");
  process.wait();
}

double pipe_out(long times) {
  return run([times] {
    const auto buffer = std::make_unique<char[]>(kReadSize);
    return wall_ns_per(times, [&] {
      for (long i = 0; i < times; ++i) read_mebibyte({buffer.get(), kReadSize});
    });
  });
}

double pool_job(long times) {
  ProcessPool pool({.workers = 1});
  return run([&] {
    const auto round_trip = [&](int i) {
      require(run_in_process(
                  pool, [](int n) { return n + 1; }, i) == i + 1,
              "a wrong result");
    };
    round_trip(0);  // starts the worker
    return wall_ns_per(times, [&] {
      for (int i = 0; i < times; ++i) round_trip(i);
    });
  });
}

double queries(long times) {
  const double begin = wall_ns();
  return run([&] {
    TaskGroup group;
    for (long i = 0; i < times; ++i) group.spawn([] { sleep_for(1s); });
    group.join();
    return (wall_ns() - begin) * 1e-6;
  });
}

double echo(long) {
  weft_echo({.ready = print_port});
  return 0;
}

constexpr Workload kWorkloads[] = {
    {"switch", switches},
    {"wake", wake},
    {"spawn", spawn_and_get},
    {"skynet", skynet},
    {"queue1", queue<1>},
    {"queue128", queue<128>},
    {"pop", pop},
    {"select_ready", select_ready},
    {"select_biased", select_ready},  // in the order of the cases, as always
    {"pop_wait", pop_wait},
    {"select_wait", select_wait},
    {"mpsc", mpsc},
    {"mpsc_cores", mpsc_cores},
    {"broadcast", broadcast},
    {"mutex", mutex},
    {"mutex2", mutex_passed<2>},
    {"mutex100", mutex_passed<100>},
    {"timers", timers},
    {"timeout", timeout},
    {"parked", parked},
    {"executor", executor},
    {"post", post},
    {"posted", posted},
    {"ticker", ticker},
    {"ticker_apart", ticker_apart},
    {"ticker_late", ticker_late},
    {"queries", queries},
    {"process", process},
    {"processes", processes},
    {"pipe_out", pipe_out},
    {"pool_job", pool_job},
    {"echo", echo},
};

}  // namespace

std::string version() { return "weft, this source tree"; }

std::span<const Workload> workloads() { return kWorkloads; }

}  // namespace weft::bench
