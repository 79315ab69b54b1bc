// What an echo server costs. README.md explains each figure.

#include <sched.h>
#include <sys/resource.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "bench/lib/echo.h"
#include "bench/lib/echo_load.h"
#include "bench/lib/harness.h"
#include "bench/parts/echo_process.h"
#include "bench/parts/instructions.h"
#include "bench/parts/system_calls.h"

namespace weft::bench {
namespace {

constexpr EchoServer kWeft = {"weft", weft_echo};
constexpr EchoServer kRaw = {"raw", raw_echo};

// Measures a server in one round: a number for each row.
using Measure = std::function<std::vector<double>(const EchoServer& server)>;

// Rows of the table.
class Comparison {
 public:
  explicit Comparison(std::vector<Row> rows) : rows_(std::move(rows)) {}

  // Each round measures raw and weft in turn.
  void run(int rounds, const Measure& measure) {
    for (int i = 0; i < rounds; ++i) {
      const std::vector<double> raw = measure(kRaw);
      const std::vector<double> weft = measure(kWeft);
      for (std::size_t row = 0; row < rows_.size(); ++row) {
        rows_[row].raw.add(raw[row]);
        rows_[row].weft.add(weft[row]);
      }
    }
  }

  void print(Bench& bench) const {
    for (const Row& row : rows_) bench.print(row);
  }

 private:
  std::vector<Row> rows_;
};

void compare(Bench& bench, std::vector<Row> rows, int rounds, const Measure& measure) {
  Comparison comparison(std::move(rows));
  comparison.run(rounds, measure);
  comparison.print(bench);
}

std::string connections_text(std::size_t connections) {
  switch (connections) {
    case 1:
      return "1 connection";
    case 1'000:
      return "1,000 connections";
    default:
      return std::to_string(connections) + " connections";
  }
}

// ---- Throughput and latency ---------------------------------------------------------------------

constexpr double kWarmUp = 0.03;
constexpr double kSeconds = 0.12;

double thousands_per_second(const LoadResult& result) {
  return static_cast<double>(result.requests) / result.seconds * 1e-3;
}

// All servers run at the same time, and all but one sleep: so the rounds can be short, and other
// load on the machine meets all alike. New servers start now and then, since some processes are
// lucky with their addresses.
void measure_requests(Bench& bench, std::size_t connections) {
  const std::string what = connections_text(connections);
  Comparison comparison(
      {{.what = what + ", requests", .unit = "k/s", .goal = 0.97, .kind = Goal::kAtLeast},
       {.what = what + ", median latency", .unit = "us"},
       {.what = what + ", 99th percentile latency", .unit = "us", .goal = 1.1}});
  for (int i = 0; i < bench.long_rounds(); ++i) {
    std::map<std::string, Trial> trials;
    comparison.run(15, [&](const EchoServer& server) {
      Trial& trial = trials.try_emplace(server.name, server, connections).first->second;
      const LoadResult result = trial.load().run(kWarmUp, kSeconds);
      return std::vector{thousands_per_second(result), result.latencies.quantile(0.5) * 1e-3,
                         result.latencies.quantile(0.99) * 1e-3};
    });
  }
  comparison.print(bench);
}

void measure_spin(Bench& bench) {
  compare(bench,
          {{.what = "1 connection, never asleep, requests",
            .unit = "k/s",
            .goal = 0.95,
            .kind = Goal::kAtLeast}},
          bench.rounds(), [](const EchoServer& server) {
            Trial trial(server, 1, true);
            return std::vector{thousands_per_second(trial.load().run(kWarmUp, kSeconds))};
          });
}

// ---- What a request costs the server ------------------------------------------------------------

constexpr std::size_t kBusyConnections = 100;

// By the kernel's accounts, which are coarse (see CpuTime): so the rounds are long, a minute in
// all.
void measure_cpu(Bench& bench) {
  constexpr int kRounds = 5;
  constexpr int kServers = 2;
  const double seconds = (bench.quick() ? 10.0 : 60.0) / (kRounds * kServers);
  compare(
      bench,
      {{.what = "100 connections, CPU per request", .unit = "us"},
       {.what = "100 connections, user CPU per request, ticks",
        .unit = "us",
        .goal = 0.25,
        .kind = Goal::kFigureAtMost}},
      kRounds, [&](const EchoServer& server) {
        Trial trial(server, kBusyConnections);
        trial.load().run(0, seconds);
        const double us_per_request = 1e-3 / static_cast<double>(trial.load().answered());
        const CpuTime time = trial.end();
        return std::vector{(time.user + time.kernel) * us_per_request, time.user * us_per_request};
      });
}

// The time outside the kernel, by the time-stamp counter, and the number of calls.
void measure_calls(Bench& bench) {
  compare(bench,
          {{.what = "100 connections, user CPU between calls",
            .unit = "us",
            .goal = 0.25,
            .kind = Goal::kFigureAtMost},
           {.what = "100 connections, system calls per request",
            .unit = "",
            .goal = 0.05,
            .kind = Goal::kAboveRawAtMost}},
          bench.rounds(), [](const EchoServer& server) {
            const Shared<SystemCalls> calls;
            Trial trial(server, kBusyConnections, false, calls.get());
            trial.load().run(0, kWarmUp);
            const std::uint64_t answered = trial.load().answered();
            const std::uint64_t count = calls->count;
            const std::uint64_t ticks = calls->ticks_between;
            trial.load().run(0, 2 * kSeconds);
            const auto requests = static_cast<double>(trial.load().answered() - answered);
            return std::vector{
                static_cast<double>(calls->ticks_between - ticks) / ticks_per_us() / requests,
                static_cast<double>(calls->count - count) / requests};
          });
}

// Steps the server through this many requests.
double instructions_per_request(const EchoServer& server, std::uint64_t requests) {
  const Shared<std::atomic<std::uint64_t>> answered;
  ServerProcess process(server);
  const LoadProcess load(process.port(), kBusyConnections, answered.get());
  while (*answered.get() < 10 * kBusyConnections) sched_yield();
  // On the server's core, since they take turns: waking each other across cores takes longer.
  const OnCore first(OnCore::kFirst);
  std::uint64_t begin = *answered.get();
  const auto count = [&](std::uint64_t answers) {
    begin = *answered.get();
    return count_instructions(process.pid(), [&] { return *answered.get() - begin >= answers; });
  };
  count(kBusyConnections);
  return count(requests) / static_cast<double>(requests);
}

void measure_instructions(Bench& bench) {
  if (instructions_per_request(kRaw, 1) < 0) {
    return bench.note("No instructions per request: this system does not allow to trace a child.");
  }
  compare(bench, {{.what = "100 connections, instructions per request", .unit = ""}},
          bench.long_rounds(), [&](const EchoServer& server) {
            return std::vector{instructions_per_request(server, 200)};
          });
}

// ---- Memory -------------------------------------------------------------------------------------

// 10,000 connections need more descriptors than the usual soft limit, and fewer than the hard one.
void raise_descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void measure_idle(Bench& bench) {
  constexpr std::size_t kIdle = 10'000;
  compare(bench,
          {{.what = "10,000 idle connections, memory of each",
            .unit = "KiB",
            .goal = 6,
            .kind = Goal::kFigureAtMost}},
          bench.long_rounds(), [](const EchoServer& server) {
            Trial trial(server, 1);
            const double before = trial.server().resident_bytes();
            const Load idle(trial.server().port(), kIdle);
            const double bytes = trial.server().resident_bytes() - before;
            trial.server().freeze();
            return std::vector{bytes / kIdle / 1024};
          });
}

void measure_all(Bench& bench) {
  for (const std::size_t connections : {1, 100, 1'000}) {
    if (bench.wants("requests")) measure_requests(bench, connections);
  }
  if (bench.wants("spin")) measure_spin(bench);
  if (bench.wants("cpu")) measure_cpu(bench);
  if (bench.wants("calls")) measure_calls(bench);
  if (bench.wants("instructions")) measure_instructions(bench);
  if (bench.wants("idle")) measure_idle(bench);
}

}  // namespace
}  // namespace weft::bench

int main(int argc, char** argv) {
  using namespace weft::bench;
  Bench bench(argc, argv);
  raise_descriptor_limit();
  Bench::print_machine();
  const OnCore last(OnCore::kLast);
  measure_all(bench);
}
