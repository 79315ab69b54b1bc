// What fibers cost, beside what Boost.Context's own fiber costs. README.md explains each figure.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "bench/lib/harness.h"
#include "bench/lib/raw.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/weft.h"

namespace weft::bench {
namespace {

using namespace std::chrono_literals;

constexpr long kRawSwitches = 200'000;
constexpr long kMillion = 1'000'000;

std::string text(const char* format, double a, double b = 0, double c = 0, double d = 0) {
  char line[256];
  std::snprintf(line, sizeof(line), format, a, b, c, d);
  return line;
}

// Fills the two columns of a row in turn, after a round that does not count.
template <class Weft, class Raw>
void alternate(Row& row, int rounds, Weft weft, Raw raw) {
  raw();
  weft();
  for (int i = 0; i < rounds; ++i) {
    row.raw.add(raw());
    row.weft.add(weft());
  }
}

double raw() { return raw_switch(kRawSwitches); }

// ---- Switching ----------------------------------------------------------------------------------

[[gnu::noinline]] void yield_times(long times) {
  while (times-- > 0) yield();
}

// The same, but compiled to instructions of its own.
[[gnu::noinline]] void yield_as_often(long times) {
  for (long i = 0; i < times; ++i) {
    asm volatile("");
    yield();
  }
}

double yield_switch(Runtime& runtime, void (*one)(long), void (*other)(long)) {
  constexpr long kTimes = 100'000;
  return runtime.run([&] {
    Task<void> first = spawn([=] { one(kTimes); });
    Task<void> second = spawn([=] { other(kTimes); });
    return ns_per(2 * kTimes, [&] {
      first.get();
      second.get();
    });
  });
}

void measure_yield(Bench& bench) {
  Runtime runtime;
  Row same{.what = "yield, two fibers in one function", .goal = 1.3};
  alternate(
      same, bench.rounds(), [&] { return yield_switch(runtime, yield_times, yield_times); }, raw);
  bench.print(same);
  Row different{.what = "yield, two fibers in two functions"};
  alternate(
      different, bench.rounds(), [&] { return yield_switch(runtime, yield_times, yield_as_often); },
      [] { return raw_switch_in_two_functions(kRawSwitches); });
  bench.print(different);
}

// Hands the turn from one fiber to another.
class Baton {
 public:
  void give() {
    internal::WaitQueue::Lock lock(queue_);
    if (internal::Waiter* next = queue_.claim(lock)) {
      lock.unlock();
      next->resume();
    } else {
      here_ = true;
    }
  }

  void take() {
    internal::WaitQueue::Lock lock(queue_);
    if (here_) {
      here_ = false;
    } else {
      queue_.wait(lock, kForever, "Baton::take");
    }
  }

 private:
  internal::WaitQueue queue_;
  bool here_ = false;
};

double wake_switch(Runtime& runtime) {
  constexpr long kTimes = 50'000;
  return runtime.run([&] {
    Baton there;
    Baton back;
    Task<void> first = spawn([&] {
      for (long i = 0; i < kTimes; ++i) {
        there.give();
        back.take();
      }
    });
    Task<void> second = spawn([&] {
      for (long i = 0; i < kTimes; ++i) {
        there.take();
        back.give();
      }
    });
    return ns_per(2 * kTimes, [&] {
      first.get();
      second.get();
    });
  });
}

void measure_wake(Bench& bench) {
  Runtime runtime;
  Row row{.what = "wait and wake, two fibers"};
  alternate(
      row, bench.rounds(), [&] { return wake_switch(runtime); }, raw);
  bench.print(row);
}

// ---- Many that switch ---------------------------------------------------------------------------

double ring_switch(Runtime& runtime, long fibers, long laps) {
  return runtime.run([&] {
    double begin = 0;
    double end = 0;
    TaskGroup group;
    for (long i = 0; i < fibers; ++i) {
      group.spawn([&begin, &end, i, laps] {
        yield_times(2);  // until all have begun
        if (i == 0) begin = cpu_ns();
        yield_times(laps);
        if (i == 0) end = cpu_ns();
      });
    }
    group.join();
    return (end - begin) / static_cast<double>(fibers * laps);
  });
}

void measure_ring(Bench& bench) {
  for (const auto& [fibers, laps] : {std::pair{1'000L, 200L}, std::pair{100'000L, 2L}}) {
    Runtime runtime;
    RawRing ring(static_cast<std::size_t>(fibers));
    Row row{.what = "yield, ring of " + std::to_string(fibers) + " fibers", .goal = 1.3};
    alternate(
        row, bench.rounds(),
        [&, fibers = fibers, laps = laps] { return ring_switch(runtime, fibers, laps); },
        [&, fibers = fibers, laps = laps] {
          return ns_per(static_cast<double>(fibers * laps), [&] { ring.run(laps); });
        });
    bench.print(row);
  }
}

// ---- Spawning -----------------------------------------------------------------------------------

double spawn_and_get(Runtime& runtime, bool eager) {
  constexpr long kTimes = 20'000;
  return runtime.run([&] {
    return ns_per(kTimes, [&] {
      for (long i = 0; i < kTimes; ++i) spawn([] {}, {.eager = eager}).get();
    });
  });
}

void measure_spawn(Bench& bench) {
  Runtime runtime;
  Row row{.what = "spawn and get, one by one", .goal = 10};
  alternate(
      row, bench.rounds(), [&] { return spawn_and_get(runtime, false); }, raw);
  bench.print(row);
  Row eager{.what = "spawn and get, eager"};
  alternate(
      eager, bench.rounds(), [&] { return spawn_and_get(runtime, true); }, raw);
  bench.print(eager);
}

double burst(Runtime& runtime, int times) {
  constexpr std::size_t kTasks = 10'000;
  return runtime.run([&] {
    std::vector<Task<void>> tasks;
    tasks.reserve(kTasks);
    return ns_per(static_cast<double>(kTasks) * times, [&] {
      for (int i = 0; i < times; ++i) {
        for (std::size_t j = 0; j < kTasks; ++j) tasks.push_back(spawn([] {}));
        for (auto& task : tasks) task.get();
        tasks.clear();
      }
    });
  });
}

void measure_burst(Bench& bench) {
  Runtime runtime;
  Row warm{.what = "spawn 10,000, then get all; warm", .goal = 18};
  alternate(
      warm, bench.rounds(), [&] { return burst(runtime, 5); }, raw);
  bench.print(warm);
  Row cold{.what = "spawn 10,000, then get all; first time"};
  for (int i = 0; i < bench.rounds(); ++i) {
    Runtime fresh;
    cold.raw.add(raw());
    cold.weft.add(burst(fresh, 1));
  }
  bench.print(cold);
}

// ---- Traced -------------------------------------------------------------------------------------

// f(), while a trace records.
template <class F>
auto traced(Runtime& runtime, F f) {
  return [&runtime, f] {
    std::unique_ptr<Trace> trace;
    runtime.run([&] { trace = std::make_unique<Trace>(); });
    const double cost = f();
    runtime.run([&] { trace.reset(); });
    return cost;
  };
}

// Beside the same without a trace.
void measure_traced(Bench& bench) {
  Runtime runtime;
  const auto measure = [&](const char* what, auto f) {
    Row row{.what = what};
    alternate(row, bench.rounds(), traced(runtime, f), f);
    bench.print(row);
  };
  measure("yield, two fibers, traced",
          [&] { return yield_switch(runtime, yield_times, yield_times); });
  measure("wait and wake, two fibers, traced", [&] { return wake_switch(runtime); });
  measure("spawn and get, traced", [&] { return spawn_and_get(runtime, false); });
  measure("spawn 10,000, then get all; traced", [&] { return burst(runtime, 5); });
}

// ---- Timeouts -----------------------------------------------------------------------------------

double timeout() {
  constexpr long kTimes = 40'000;
  return ns_per(kTimes, [&] {
    for (long i = 0; i < kTimes; ++i) with_timeout(5s, [] { asm volatile(""); });
  });
}

double clock_reading() {
  constexpr long kTimes = 40'000;
  return ns_per(kTimes, [&] {
    for (long i = 0; i < kTimes; ++i) now();
  });
}

void measure_timeout(Bench& bench) {
  Row row{.what = "with_timeout, 100,000 others pending", .goal = 12};
  Row clock{.what = "of which reading the clock"};
  run([&] {
    std::mt19937_64 random(1);
    std::uniform_int_distribution<std::int64_t> within_an_hour(0, Duration(1h).count());
    TaskGroup others;
    for (long i = 0; i < 100'000; ++i) {
      others.spawn([limit = 10min + Duration(within_an_hour(random))] {
        with_timeout(limit, [] { sleep_for(24h); });
      });
    }
    yield();  // they begin
    alternate(row, bench.rounds(), timeout, raw);
    alternate(clock, bench.rounds(), clock_reading, raw);
  });
  bench.print(row);
  bench.print(clock);
}

// ---- Lateness -----------------------------------------------------------------------------------

void compute_for(Duration time) {
  for (const TimePoint end = now() + time; now() < end;) {
  }
}

// Milliseconds by which a sleep of 10 ms is late. It begins after a long phase in which two fibers
// work for `before` between two yields; from then on they compute for `slice` instead.
double lateness(Runtime& runtime, Duration before, Duration slice) {
  constexpr long kQuick = 50'000;
  constexpr int kMostSlices = 5'000;
  return runtime.run([&] {
    bool quick = true;
    const auto step = [&] {
      if (before > Duration::zero()) compute_for(before);
      yield();
    };
    const auto hurry = [&] {
      while (quick) step();
    };
    Task<void> first = spawn(hurry);
    Task<void> second = spawn(hurry);
    for (long i = 0; i < kQuick; ++i) step();
    quick = false;
    Task<Duration> sleeper = spawn([] {
      const TimePoint end = now() + 10ms;
      sleep_until(end);
      return now() - end;
    });
    const auto compute = [&] {
      for (int i = 0; i < kMostSlices && !sleeper.done(); ++i) {
        compute_for(slice);
        yield();
      }
    };
    Task<void> third = spawn(compute);
    compute();
    return std::chrono::duration<double, std::milli>(sleeper.get()).count();
  });
}

void measure_lateness(Bench& bench) {
  Runtime runtime;
  const auto print = [&](Duration before, Duration slice, int most_slices, const char* after) {
    Samples all;
    for (int i = 0; i < bench.rounds(); ++i) all.add(lateness(runtime, before, slice));
    const double ms = std::chrono::duration<double, std::milli>(slice).count();
    Row row{.what = "late by at most, " + number(ms) + " ms slices" + after,
            .unit = "ms",
            .weft = {all.quantile(1)},
            .goal = 0.1 + most_slices * ms};
    bench.print(row);
    bench.note(text("median %.2f ms", all.median()));
  };
  for (const Duration slice : {Duration(100us), Duration(1ms), Duration(5ms)}) {
    print(1us, slice, 8, "");
    print(0us, slice, 32, ", bare first");
  }
}

// ---- A million ----------------------------------------------------------------------------------

// Seconds until all have woken, seconds of the shutdown, seconds of processor time, seconds of that
// in the kernel, and page faults.
std::vector<double> million_sleepers() {
  const double faults = page_faults();
  const double cpu = cpu_ns();
  const double kernel = kernel_seconds();
  const TimePoint begin = now();
  TimePoint end;
  run([&] {
    std::mt19937_64 random(1);
    std::uniform_int_distribution<std::int64_t> within_a_second(0, Duration(1s).count());
    TaskGroup group;
    for (long i = 0; i < kMillion; ++i) {
      group.spawn([time = Duration(within_a_second(random))] { sleep_for(time); }, {.eager = true});
      if (i % 1000 == 999) yield();
    }
    group.join();
    end = now();
  });
  return {std::chrono::duration<double>(end - begin).count(),
          std::chrono::duration<double>(now() - end).count(), (cpu_ns() - cpu) * 1e-9,
          kernel_seconds() - kernel, page_faults() - faults};
}

void measure_sleepers(Bench& bench) {
  Row row{.what = "1,000,000 sleep 0 to 1 s: time beyond 1 s", .unit = "s", .goal = 1.5};
  Samples shutdown;
  Samples cpu;
  Samples kernel;
  Samples faults;
  for (int i = 0; i < bench.long_rounds(); ++i) {
    // So the host of a virtual machine has found the memory before.
    in_child([] {
      touch_stacks(500'000);
      return std::vector<double>();
    });
    const std::vector<double> one = in_child(million_sleepers);
    row.weft.add(one[0] - 1);
    shutdown.add(one[1]);
    cpu.add(one[2]);
    kernel.add(one[3]);
    faults.add(one[4]);
  }
  bench.print(row);
  bench.note(
      text("processor time %.2f s, of which %.2f s in the kernel; page faults %.2f a fiber; "
           "shutdown afterwards %.2f s",
           cpu.median(), kernel.median(), faults.median() / kMillion, shutdown.median()));
}

// Resident bytes and bytes of page tables, per fiber.
std::vector<double> million_parked() {
  return run([] {
    const double resident = status_bytes("VmRSS");
    const double tables = status_bytes("VmPTE");
    Promise<void> gate;
    const Future<void> open = gate.future();
    TaskGroup group;
    for (long i = 0; i < kMillion; ++i) {
      group.spawn([&open] { open.wait(); });
      if (i % 1000 == 999) yield();
    }
    yield();
    std::vector<double> each{(status_bytes("VmRSS") - resident) / kMillion,
                             (status_bytes("VmPTE") - tables) / kMillion};
    gate.set_value();
    group.join();
    return each;
  });
}

void measure_parked(Bench& bench) {
  Row row{.what = "1,000,000 parked: memory of each", .unit = "KiB", .goal = 4.6};
  Samples tables;
  for (int i = 0; i < bench.long_rounds(); ++i) {
    const std::vector<double> one = in_child(million_parked);
    row.weft.add((one[0] + one[1]) / 1024);
    tables.add(one[1] / 1024);
  }
  bench.print(row);
  bench.note(text("of which page tables %.2f KiB", tables.median()));
}

void run_all(Bench& bench) {
  const std::pair<const char*, void (*)(Bench&)> figures[] = {
      {"yield", measure_yield},     {"wake", measure_wake},         {"ring", measure_ring},
      {"spawn", measure_spawn},     {"burst", measure_burst},       {"traced", measure_traced},
      {"timeout", measure_timeout}, {"lateness", measure_lateness}, {"sleepers", measure_sleepers},
      {"parked", measure_parked},
  };
  for (const auto& [name, measure] : figures) {
    if (bench.wants(name)) measure(bench);
  }
}

}  // namespace
}  // namespace weft::bench

int main(int argc, char** argv) {
  weft::bench::Bench bench(argc, argv);
  weft::bench::Bench::print_machine();
  weft::bench::run_all(bench);
}
