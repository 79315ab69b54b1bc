// What locks, queues and the thread bridge cost. README.md explains each figure.

#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench/lib/harness.h"
#include "weft/weft.h"

namespace weft::bench {
namespace {

using namespace std::chrono_literals;

// Measures weft and, if it is not null, raw in turn, and prints them.
void compare(Bench& bench, Row row, const std::function<double()>& weft,
             const std::function<double()>& raw = nullptr) {
  for (int i = -1; i < bench.rounds(); ++i) {  // the first does not count
    if (const double ns = raw ? raw() : 0; raw && i >= 0) row.raw.add(ns);
    if (const double ns = weft(); i >= 0) row.weft.add(ns);
  }
  bench.print(row);
}

// ---- Among fibers of one thread -----------------------------------------------------------------

template <class Lockable>
[[gnu::noinline]] double lock_and_unlock(Lockable& mutex) {
  constexpr long kTimes = 200'000;
  return ns_per(kTimes, [&] {
    for (long i = 0; i < kTimes; ++i) {
      mutex.lock();
      asm volatile("" ::: "memory");
      mutex.unlock();
    }
  });
}

void measure_lock(Bench& bench, const std::string& where) {
  Runtime runtime;
  Mutex mutex;
  std::mutex std_mutex;
  compare(
      bench, {.what = "Mutex, lock and unlock" + where, .goal = 1},
      [&] { return runtime.run([&] { return lock_and_unlock(mutex); }); },
      [&] { return lock_and_unlock(std_mutex); });
}

double pass(Runtime& runtime, int fibers) {
  constexpr long kTimes = 50'000;
  return runtime.run([&] {
    Mutex mutex;
    return ns_per(kTimes, [&] {
      TaskGroup group;
      for (int i = 0; i < fibers; ++i) {
        group.spawn([&] {
          for (long j = 0; j < kTimes / fibers; ++j) {
            const std::lock_guard lock(mutex);
            yield();
          }
        });
      }
      group.join();
    });
  });
}

void measure_pass(Bench& bench, const std::string& where) {
  Runtime runtime;
  for (const int fibers : {2, 100}) {
    compare(
        bench,
        {.what = "Mutex passed among " + std::to_string(fibers) + " fibers" + where, .goal = 30},
        [&] { return pass(runtime, fibers); });
  }
}

double queue(Runtime& runtime, std::size_t capacity) {
  constexpr long kTimes = 100'000;
  return runtime.run([&] {
    Queue<long> items(capacity);
    return ns_per(kTimes, [&] {
      Task<void> producer = spawn([&] {
        for (long i = 0; i < kTimes; ++i) items.push(i);
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

void measure_queue(Bench& bench, const std::string& where) {
  Runtime runtime;
  for (const auto& [capacity, goal] : {std::pair{std::size_t{128}, 15}, {std::size_t{1}, 25}}) {
    compare(bench,
            {.what = "Queue of " + std::to_string(capacity) + ", an item" + where,
             .goal = static_cast<double>(goal)},
            [&, capacity = capacity] { return queue(runtime, capacity); });
  }
}

// Takes items by pop(queue, other) from a queue that has them.
template <class Pop>
double pop_ready(Runtime& runtime, Pop pop) {
  constexpr long kTimes = 100'000;
  return runtime.run([&] {
    Queue<long> queue, other;
    for (long i = 0; i < kTimes; ++i) queue.push(i);
    return ns_per(kTimes, [&] {
      for (long i = 0; i < kTimes; ++i) pop(queue, other);
    });
  });
}

// A fiber takes by pop(first, second) what another pushes to one and the other in turn; it waits
// each time.
template <class Pop>
double pop_waiting(Runtime& runtime, Pop pop) {
  constexpr long kTimes = 50'000;
  return runtime.run([&] {
    Queue<long> first(1), second(1);
    Task<void> taking = spawn([&] {
      for (long i = 0; i < kTimes; ++i) pop(first, second);
    });
    yield();
    return ns_per(kTimes, [&] {
      for (long i = 0; i < kTimes; ++i) {
        (i % 2 == 0 ? first : second).push(i);
        yield();
      }
      taking.get();
    });
  });
}

long select_of_two(Queue<long>& first, Queue<long>& second) {
  long item;
  weft::select(on_pop(first, item), on_pop(second, item));
  return item;
}

// Beside the same with a plain pop().
void measure_select(Bench& bench, const std::string& where) {
  Runtime runtime;
  Row ready{.what = "select of 2 queues, the first ready" + where, .goal = 2};
  Row second{.what = "select of 2 queues, the second ready" + where};
  Row waiting{.what = "select of 2 queues, waiting" + where, .goal = 1.6};
  const auto pop = [](Queue<long>& queue, Queue<long>&) { return queue.pop(); };
  bool of_first = false;
  const auto pop_in_turn = [&](Queue<long>& first, Queue<long>& second_queue) {
    return ((of_first = !of_first) ? first : second_queue).pop();
  };
  for (int i = -1; i < bench.rounds(); ++i) {
    const double plain = pop_ready(runtime, pop);
    const double one = pop_ready(runtime, select_of_two);
    const double two = pop_ready(runtime, [](Queue<long>& queue, Queue<long>& other) {
      return select_of_two(other, queue);
    });
    of_first = false;
    const double plain_wait = pop_waiting(runtime, pop_in_turn);
    const double wait = pop_waiting(runtime, select_of_two);
    if (i < 0) continue;
    ready.weft.add(one), ready.raw.add(plain);
    second.weft.add(two), second.raw.add(plain);
    waiting.weft.add(wait), waiting.raw.add(plain_wait);
  }
  for (const Row& row : {ready, second, waiting}) bench.print(row);
}

// ---- Between threads ----------------------------------------------------------------------------

// The median of the round trips, by the wall clock.
template <class F>
double median_ns(int times, F round_trip) {
  Samples samples;
  for (int i = 0; i < times; ++i) {
    const double begin = wall_ns();
    round_trip();
    samples.add(wall_ns() - begin);
  }
  return samples.median();
}

// A pool with its threads on the last core; the caller is on the first.
std::unique_ptr<ThreadPool> distant_pool(unsigned threads, Duration spin) {
  auto pool = std::make_unique<ThreadPool>(ThreadPoolOptions{.threads = threads, .spin = spin});
  const OnCore last(OnCore::kLast);
  Barrier all(threads);
  Event started;
  for (unsigned i = 0; i < threads; ++i) {
    pool->post([&] {
      if (all.arrive_and_wait()) started.set();
    });
  }
  started.wait();
  return pool;
}

// Two threads that hand over to each other, each by an eventfd that the other sleeps on.
class EventfdPair {
 public:
  EventfdPair() {
    const OnCore last(OnCore::kLast);
    other_ = std::thread([this] {
      while (take(there_) == 1) post(back_, 1);
    });
  }
  ~EventfdPair() {
    post(there_, 2);
    other_.join();
    close(there_);
    close(back_);
  }

  void round_trip() {
    post(there_, 1);
    take(back_);
  }

 private:
  static void post(int fd, std::uint64_t value) {
    if (write(fd, &value, sizeof(value)) != sizeof(value)) std::abort();
  }
  static std::uint64_t take(int fd) {
    std::uint64_t value;
    if (read(fd, &value, sizeof(value)) != sizeof(value)) std::abort();
    return value;
  }

  const int there_ = eventfd(0, 0);
  const int back_ = eventfd(0, 0);
  std::thread other_;
};

void measure_round_trip(Bench& bench) {
  constexpr int kTimes = 200;
  const OnCore first(OnCore::kFirst);
  {
    EventfdPair pair;
    Runtime runtime;
    const auto pool = distant_pool(1, ThreadPoolOptions().spin);
    compare(
        bench, {.what = "run_in_executor and back, threads asleep", .goal = 1.05},
        [&] {
          return runtime.run(
              [&] { return median_ns(kTimes, [&] { run_in_executor(*pool, [] {}); }); });
        },
        [&] { return median_ns(kTimes, [&] { pair.round_trip(); }); });
  }
  Runtime runtime({.spin = 100us});
  const auto pool = distant_pool(1, 100us);
  Row row{.what = "the same with a spin of 100 us", .goal = 3000};
  for (int i = 0; i < bench.rounds(); ++i) {
    row.weft.add(
        runtime.run([&] { return median_ns(kTimes, [&] { run_in_executor(*pool, [] {}); }); }));
  }
  bench.print(row);
}

double jobs(Runtime& runtime, ThreadPool& pool) {
  constexpr int kFlying = 100;
  constexpr int kEach = 400;
  return runtime.run([&] {
    const double begin = wall_ns();
    TaskGroup group;
    for (int i = 0; i < kFlying; ++i) {
      group.spawn([&] {
        for (int j = 0; j < kEach; ++j) run_in_executor(pool, [] {});
      });
    }
    group.join();
    return (wall_ns() - begin) / (kFlying * kEach);
  });
}

void measure_jobs(Bench& bench) {
  for (const auto& [threads, millions] : {std::pair{1U, 3.3}, {4U, 1.9}}) {
    // One worker has a core of its own; four are where the kernel puts them.
    std::optional<OnCore> first;
    if (threads == 1) first.emplace(OnCore::kFirst);
    Runtime runtime;
    const auto pool = threads == 1 ? distant_pool(1, ThreadPoolOptions().spin)
                                   : std::make_unique<ThreadPool>(threads);
    compare(bench,
            {.what = "a job, 100 fibers, " + std::to_string(threads) + " workers",
             .goal = 1000 / millions},
            [&] { return jobs(runtime, *pool); });
  }
}

// In a process with one thread, atomic operations are plain ones: in std::mutex, too.
void measure_among_fibers(Bench& bench, const std::string& where) {
  if (bench.wants("lock")) measure_lock(bench, where);
  if (bench.wants("pass")) measure_pass(bench, where);
  if (bench.wants("queue")) measure_queue(bench, where);
  if (bench.wants("select")) measure_select(bench, where);
}

}  // namespace
}  // namespace weft::bench

int main(int argc, char** argv) {
  using namespace weft::bench;
  Bench bench(argc, argv);
  Bench::print_machine();
  measure_among_fibers(bench, ", alone");
  std::thread([] {}).join();
  measure_among_fibers(bench, "");
  if (bench.wants("executor")) measure_round_trip(bench);
  if (bench.wants("jobs")) measure_jobs(bench);
}
