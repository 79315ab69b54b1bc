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

// Eight functions of the program's, the innermost of which waits.
[[gnu::noinline]] void descend(Event& end, int depth) {
  if (depth > 1) {
    descend(end, depth - 1);
  } else {
    end.wait();
  }
  asm volatile("" ::: "memory");  // no tail call
}

void measure_stack(Bench& bench) {
  Row row{.what = "stack of a parked fiber, 8 frames", .goal = 1500};
  row.weft = run([&] {
    Event end;
    auto parked = spawn([&] { descend(end, 4); });
    yield();
    // With weft's own and the task's lambda.
    const std::size_t frames = parked.stack().frames().size();
    if (frames < 8) throw std::logic_error("the stack is too short: " + std::to_string(frames));
    bench.note(std::to_string(frames) + " frames, weft's own included");
    Samples samples;
    constexpr int kTimes = 10'000;
    for (int i = -1; i < bench.rounds(); ++i) {
      const double ns = ns_per(kTimes, [&] {
        for (int j = 0; j < kTimes; ++j) parked.stack();
      });
      if (i >= 0) samples.add(ns);
    }
    end.set();
    parked.get();
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
  constexpr int kTimes = 10'000;
  for (int i = 0; i < bench.rounds(); ++i) {
    next.weft.add(ns_per(kTimes, [&] {
      for (int j = 0; j < kTimes; ++j) internal::find_code(here);
    }));
  }
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
