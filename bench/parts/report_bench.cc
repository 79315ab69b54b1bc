// What it costs to ask a service what it does. README.md explains each figure.

#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/lib/harness.h"
#include "weft/fiber/core/symbols.h"
#include "weft/weft.h"

namespace weft::bench {
namespace {

// The time of a call, warm.
template <class F>
Samples time_call(Bench& bench, F f) {
  constexpr int kTimes = 10'000;
  Samples samples;
  for (int i = -1; i < bench.rounds(); ++i) {
    const double ns = ns_per(kTimes, [&] {
      for (int j = 0; j < kTimes; ++j) f();
    });
    if (i >= 0) samples.add(ns);
  }
  return samples;
}

// Waits below as many further calls of itself.
[[gnu::noinline]] void descend(Event& end, int depth) {
  if (depth > 0) {
    descend(end, depth - 1);
  } else {
    end.wait();
  }
  asm volatile("" ::: "memory");  // no tail call
}

void measure_stack(Bench& bench) {
  constexpr std::size_t kFrames = 8;  // weft's own, of the wait and of the start, included
  Row row{.what = "stack of a parked fiber, 8 frames", .goal = 1500};
  row.weft = run([&] {
    Event end;
    Samples samples;
    // How many frames are weft's depends on the compiler.
    for (int depth = 0; samples.empty(); ++depth) {
      end.clear();
      auto parked = spawn([&] { descend(end, depth); });
      yield();
      const std::size_t frames = parked.stack().frames().size();
      if (frames > kFrames) throw std::logic_error(std::to_string(frames) + " frames are too many");
      if (frames == kFrames) samples = time_call(bench, [&] { parked.stack(); });
      end.set();
      parked.get();
    }
    return samples;
  });
  bench.print(row);
}

void measure_print(Bench& bench) {
  constexpr int kFibers = 100'000;
  Row row{.what = "print_tasks of 100,000 parked fibers", .unit = "ms", .goal = 300};
  std::FILE* const nowhere = std::fopen("/dev/null", "w");
  run([&] {
    Event end;
    TaskGroup group;
    for (int i = 0; i < kFibers; ++i) group.spawn([&] { descend(end, 4); }, {.name = "session"});
    yield();
    for (int i = 0; i < bench.rounds(); ++i) {
      const double begin = wall_ns();
      print_tasks(nowhere);
      row.weft.add((wall_ns() - begin) / 1e6);
    }
    end.set();
    group.join();
  });
  std::fclose(nowhere);
  bench.print(row);
}

// The first look-up of a process reads the symbols of the program.
void measure_names(Bench& bench) {
  const void* const here = reinterpret_cast<const void*>(&measure_names);
  Row first{.what = "name of a function, the first", .unit = "ms", .goal = 5};
  for (int i = 0; i < bench.long_rounds(); ++i) {
    first.weft.add(in_child([&] {
      const double begin = wall_ns();
      internal::find_code(here);
      return std::vector{(wall_ns() - begin) / 1e6};
    })[0]);
  }
  bench.print(first);
  Row next{.what = "name of a function, each further", .goal = 1000};
  next.weft = time_call(bench, [&] { internal::find_code(here); });
  bench.print(next);
}

}  // namespace
}  // namespace weft::bench

int main(int argc, char** argv) {
  using namespace weft::bench;
  Bench bench(argc, argv);
  Bench::print_machine();
  if (bench.wants("name")) measure_names(bench);
  if (bench.wants("stack")) measure_stack(bench);
  if (bench.wants("print")) measure_print(bench);
}
