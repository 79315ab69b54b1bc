// What fibers on one core and on many cost, beside others. README.md explains each figure.

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bench/lib/harness.h"
#include "bench/lib/skynet.h"
#include "bench/parts/wake.h"
#include "weft/weft.h"

namespace weft::bench {
namespace {

using namespace std::chrono_literals;

// ---- Skynet -------------------------------------------------------------------------------------

void measure_one_thread(Bench& bench) {
  Row tasks{.what = "skynet, one thread, tasks, eager", .unit = "ms", .goal = 4};
  Row groups{.what = "skynet, one thread, groups, eager", .unit = "ms", .goal = 4};
  {
    Runtime runtime;
    for (int i = -1; i < bench.rounds(); ++i) {  // the first does not count
      const double raw = skynet_ms([] { return skynet_raw(0, kLeaves); });
      const double task =
          skynet_ms([&] { return runtime.run([] { return skynet_tasks(0, kLeaves, true); }); });
      const double group =
          skynet_ms([&] { return runtime.run([] { return skynet_groups(0, kLeaves, true); }); });
      if (i < 0) continue;
      for (Row* row : {&tasks, &groups}) row->raw.add(raw);
      tasks.weft.add(task);
      groups.weft.add(group);
    }
  }
  bench.print(tasks);
  bench.print(groups);
  bench.print({.what = "the same tasks, alone", .unit = "ms", .weft = tasks.weft, .goal = 150});
}

// All nodes are there at once: 4.5 GB of stacks, which go with their process. The first run is the
// first to touch them.
void measure_breadth_first(Bench& bench) {
  Row cold{.what = "skynet, one thread, breadth first; first time", .unit = "ms"};
  Row warm{.what = "skynet, one thread, breadth first; warm", .unit = "ms"};
  for (int i = 0; i < bench.long_rounds(); ++i) {
    const std::vector<double> all = in_child([] {
      Runtime runtime;
      std::vector<double> times;
      for (int j = 0; j < 3; ++j) {
        times.push_back(
            skynet_ms([&] { return runtime.run([] { return skynet_tasks(0, kLeaves, false); }); }));
      }
      return times;
    });
    cold.weft.add(all[0]);
    warm.weft.add(all[1]);
    warm.weft.add(all[2]);
  }
  bench.print(cold);
  bench.print(warm);
}

void measure_two_threads(Bench& bench) {
  Row row{.what = "skynet, two threads; raw: weft with one", .unit = "ms", .goal = 1};
  for (int i = -1; i < bench.rounds(); ++i) {
    const auto with = [](unsigned threads) {
      Runtime runtime({.threads = threads});
      runtime.run(skynet_spread);  // the first touch of the stacks does not count
      return skynet_ms([&] { return runtime.run(skynet_spread); });
    };
    const double one = with(1);
    const double two = with(2);
    if (i < 0) continue;
    row.raw.add(one);
    row.weft.add(two);
  }
  bench.print(row);
}

// ---- Wake-ups across schedulers -----------------------------------------------------------------

// How plain threads hand over.
struct Threads {
  const char* name;
  double (*hand_over)(bool one_core, long times);
  bool sleep;
  Samples samples = {};
};

double fibers_hand_over(RunOptions options, bool one_core, long times, double& writes) {
  std::optional<OnCore> first;
  if (one_core) first.emplace(OnCore::kFirst);
  options.threads = 2;
  Runtime runtime(options);
  return hand_over_fibers(runtime, times, writes);
}

// The goal is to be as fast as the first of the threads.
void measure_wake(Bench& bench, const std::string& what, const RunOptions& options, bool one_core,
                  std::vector<Threads> threads) {
  const auto times = [](bool sleep) { return sleep ? 1'000 : 20'000; };
  Row row{.what = "hand-over, " + what, .goal = 1};
  Samples writes;
  for (int i = -1; i < bench.rounds(); ++i) {  // the first does not count
    double written = 0;
    const bool sleep = options.spin == Duration::zero();
    const double fibers = fibers_hand_over(options, one_core, times(sleep), written);
    if (i >= 0) row.weft.add(fibers);
    if (i >= 0) writes.add(written);
    for (Threads& other : threads) {
      const double ns = other.hand_over(one_core, times(other.sleep));
      if (i >= 0) other.samples.add(ns);
    }
  }
  const std::string beside = row.what + "; ";
  for (const Threads& other : threads) {
    row.what = beside + other.name;
    row.raw = other.samples;
    bench.print(row);
    row.goal.reset();
  }
  bench.print_peer("weft's writes to an eventfd, each way", writes);
}

void measure_wakes(Bench& bench) {
  const Threads condition_variable = {"condvar", hand_over_condition_variable, true};
  const Threads eventfd = {"eventfd", hand_over_eventfd, true};
  const Threads epoll = {"eventfd, epoll", hand_over_epoll, true};
  const Threads atomic = {"atomic", hand_over_atomic, false};
  RunOptions options;
  measure_wake(bench, "one core, asleep", options, true, {condition_variable, epoll, eventfd});
  options.pin_threads = true;
  measure_wake(bench, "two cores, asleep", options, false, {condition_variable, epoll, eventfd});
  options.spin = 1ms;
  measure_wake(bench, "two cores, awake", options, false, {condition_variable, atomic});
}

}  // namespace
}  // namespace weft::bench

int main(int argc, char** argv) {
  using namespace weft::bench;
  Bench bench(argc, argv);
  Bench::print_machine();
  if (bench.wants("skynet eager")) measure_one_thread(bench);
  if (bench.wants("skynet breadth")) measure_breadth_first(bench);
  if (bench.wants("skynet threads")) measure_two_threads(bench);
  if (bench.wants("wake")) measure_wakes(bench);
}
