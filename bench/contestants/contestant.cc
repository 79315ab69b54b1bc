#include "bench/contestants/contestant.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>

namespace weft::bench {
namespace {

// Workloads of many small steps, or of programs that are started. A tenth of them is done before,
// to warm up.
constexpr std::string_view kSteps[] = {
    "switch",        "wake",      "spawn",       "queue1",   "queue128",   "mutex",
    "mutex2",        "mutex100",  "timeout",     "executor", "pop",        "select_ready",
    "select_biased", "pop_wait",  "select_wait", "mpsc",     "mpsc_cores", "broadcast",
    "process",       "processes", "pipe_out",    "pool_job"};

int compete(std::string_view name, long times) {
  for (const Workload& workload : workloads()) {
    if (workload.name != name) continue;
    if (std::ranges::find(kSteps, name) != std::end(kSteps)) workload.measure(times / 10 + 1);
    const double number = workload.measure(times);
    if (number == kNothing) return 3;
    std::printf("%.4g\n", number);
    return 0;
  }
  return 3;
}

}  // namespace

void print_port(std::uint16_t port) {
  std::printf("%d\n", port);
  std::fflush(stdout);
}

double memory_bytes() { return status_bytes("VmRSS") + status_bytes("VmPTE"); }

double process_ns() {
  timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) * 1e9 + static_cast<double>(used.tv_nsec);
}

}  // namespace weft::bench

int main(int argc, char** argv) {
  using namespace weft::bench;
  const std::string_view name = argc > 1 ? argv[1] : "";
  if (name == "version") {
    std::puts(version().c_str());
    return 0;
  }
  const long times = argc > 2 ? std::strtol(argv[2], nullptr, 10) : 1;
  if (name.empty() || times <= 0) {
    std::fprintf(stderr, "usage: %s WORKLOAD [TIMES] | echo | version\n", argv[0]);
    return 2;
  }
  try {
    return compete(name, times);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
