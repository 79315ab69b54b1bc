// weft beside what the machine allows and beside its peers: a table for each workload.
// README.md explains how it measures, ../contestants/README.md what is done.

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/compare/process.h"
#include "bench/compare/results.h"
#include "bench/lib/echo_load.h"
#include "bench/lib/harness.h"

namespace weft::bench {
namespace {

struct Contestant {
  std::string name;
  std::vector<std::string> command;

  std::vector<std::string> with(std::initializer_list<std::string> arguments) const {
    std::vector<std::string> all = command;
    all.insert(all.end(), arguments);
    return all;
  }
};

struct Options {
  bool quick = false;
  std::string results;
  std::vector<Contestant> contestants;
  std::vector<std::string> remarks;
  std::vector<std::string> filters;

  bool wants(std::string_view table) const { return passes(table, filters); }
};

// ---- One run ------------------------------------------------------------------------------------

// A number, or the reason why it is missing.
struct Outcome {
  double number = 0;
  std::string why = {};
};

constexpr double kPatience = 20;  // seconds

Outcome run_once(const Contestant& contestant, const std::string& workload, long times) {
  Process process(contestant.with({workload, std::to_string(times)}));
  const std::string output = process.read_all(kPatience);
  const int status = process.status();
  if (status == 0) return {.number = std::strtod(output.c_str(), nullptr)};
  if (status == 3) return {.why = "has none"};
  if (status == 128 + SIGKILL) return {.why = "took more than 20 s, or was killed"};
  const std::string reason = output.substr(0, output.find_last_not_of('\n') + 1);
  return {.why = "failed: " + reason.substr(reason.rfind('\n') + 1)};
}

// ---- Workloads that a contestant does by itself -------------------------------------------------

struct Workload {
  std::string_view name;
  std::string_view title;
  std::string_view unit = "ns";
  long times = 0;                  // 0: as many as one run needs to take a while
  std::string_view argument = {};  // as part of the table's name
  bool all_cores = false;
  double scale = 1;    // from the contestant's unit to the table's
  bool brief = false;  // `times` take well below a second
};

constexpr Workload kWorkloads[] = {
    {"switch", "two fibers yield to each other", "ns per switch"},
    {"spawn", "start one that does nothing, wait for its result", "ns"},
    {"skynet", "a million leaves and 111,111 inner nodes, a fiber each, one thread", "ms", 1, "1"},
    {"skynet", "the same with two threads", "ms", 2, "2", true},
    {"queue1", "a queue of capacity 1 between two fibers", "ns per item"},
    {"queue128", "a queue of capacity 128 between two fibers", "ns per item"},
    {"pop", "an item is taken from a queue that has it", "ns"},
    {"select_ready", "the same, by a select of two queues, one of which has it", "ns"},
    {"select_biased", "the same, by a select that tries them in order", "ns"},
    {"pop_wait", "two fibers push to each other in turn, and wait for it", "ns per turn"},
    {"select_wait", "the same, each by a select of two queues", "ns per turn"},
    {"mpsc", "4 push to a queue of 100, one pops", "ns per item"},
    {"mpsc_cores", "the same with two threads", "ns per item", 0, "", true},
    {"broadcast", "each of 10 receives each value", "ns per value"},
    {"mutex", "lock and unlock what nobody else wants", "ns"},
    {"mutex2", "passed between 2 fibers that yield while they hold it", "ns per section"},
    {"mutex100", "passed among 100 fibers that yield while they hold it", "ns per section"},
    {"timers", "a million sleep up to a second, the time beyond that second", "ms", 1'000'000},
    {"ticker", "1,000 tickers of 10 ms in step, processor time", "ns per tick", 25'000, "", false,
     1, true},
    {"ticker_apart", "the same, scattered over the 10 ms", "ns per tick", 25'000, "", false, 1,
     true},
    {"ticker_late", "the same: how late a tick is on average", "us", 25'000, "", false, 1, true},
    {"timeout", "a timeout set and over in time, while 100,000 others are pending", "ns"},
    {"parked", "100,000 wait, memory", "KiB each", 100'000, "100k", false, 1.0 / 1024},
    {"parked", "1,000,000 wait, memory", "KiB each", 1'000'000, "1m", false, 1.0 / 1024},
    {"executor", "an empty function on a thread of another core", "us per round trip", 0, "", true,
     1e-3},
    {"post", "a million functions from a thread of another core, until all have run", "ms",
     1'000'000, "", true},
    {"posted", "the same, while the loop is held up: memory", "bytes each", 1'000'000, "", true},
    {"queries", "ten queries of one second each at the same time", "ms", 10},
    {"process", "start /bin/true and wait for its end", "us", 100, "", false, 1e-3, true},
    {"processes", "200 of them at once, on two cores", "us each", 200, "", true, 1e-3, true},
    {"pipe_out", "the same with a program that writes 1 MiB to a pipe", "us", 50, "", false, 1e-3,
     true},
    {"pool_job", "a function of an int in another process, one worker", "us per round trip", 0, "",
     false, 1e-3},
};

// The rounds of short workloads, and of those that take a second or more.
struct Rounds {
  int brief;
  int lengthy;
  double seconds;  // after these a contestant has no further round of a workload
};

class Competitor {
 public:
  Competitor(const Contestant& contestant, const Workload& workload)
      : contestant_(contestant), workload_(workload), times_(workload.times) {
    entry.contestant = contestant.name;
  }

  // The number of repetitions for a run of some 40 ms.
  void calibrate() {
    constexpr double kWanted = 40e6;
    for (times_ = 1'000; !has_failed() && times_ < 1'000'000'000;) {
      const Outcome outcome = run();
      const double wanted = kWanted / std::max(outcome.number, 1.0);
      if (outcome.number * static_cast<double>(times_) > kWanted / 20) {
        const double digit = std::pow(10, std::floor(std::log10(wanted)));
        times_ = std::max(static_cast<long>(std::round(wanted / digit) * digit), 200L);
        return;
      }
      times_ *= 20;
    }
  }

  void measure(double seconds) {
    if (has_failed() || used_ns_ > seconds * 1e9) return;
    const double begin = wall_ns();
    const Outcome outcome = run();
    used_ns_ += wall_ns() - begin;
    if (!has_failed()) entry.samples.add(outcome.number * workload_.scale);
  }

  bool has_failed() const noexcept { return !entry.why.empty(); }

  Entry entry;

 private:
  Outcome run() {
    const Outcome outcome = run_once(contestant_, std::string(workload_.name), times_);
    entry.why = outcome.why;
    return outcome;
  }

  const Contestant& contestant_;
  const Workload& workload_;
  long times_;
  double used_ns_ = 0;
};

std::string table_name(const Workload& workload) {
  std::string name(workload.name);
  return workload.argument.empty() ? name : name + " " + std::string(workload.argument);
}

// The first contestant is weft.
void relate_to_first(std::vector<Entry>& entries) {
  for (Entry& entry : entries) entry.times_weft = ratios(entry.samples, entries.front().samples);
}

Table compare(const Workload& workload, const std::vector<Contestant>& contestants,
              const Rounds& rounds) {
  std::optional<OnCore> first;
  if (!workload.all_cores) first.emplace(OnCore::kFirst);
  std::vector<Competitor> all;
  for (const Contestant& contestant : contestants) all.emplace_back(contestant, workload);
  if (workload.times == 0) {
    for (Competitor& competitor : all) competitor.calibrate();
  }
  const bool brief = workload.times == 0 || workload.brief;
  const int count = brief ? rounds.brief : rounds.lengthy;
  for (int i = 0; i < count; ++i) {
    for (Competitor& competitor : all) competitor.measure(rounds.seconds);
  }
  Table table{table_name(workload), std::string(workload.title), std::string(workload.unit)};
  for (Competitor& competitor : all) table.entries.push_back(std::move(competitor.entry));
  relate_to_first(table.entries);
  return table;
}

// ---- Echo ---------------------------------------------------------------------------------------

// A contestant's server, on the first core, and its clients, on the last core, in this thread.
class EchoTrial {
 public:
  EchoTrial(const Contestant& contestant, std::size_t connections) {
    {
      const OnCore first(OnCore::kFirst);
      server_.emplace(contestant.with({"echo"}));
    }
    const std::string line = server_->read_line(kStart);
    const long port = std::strtol(line.c_str(), nullptr, 10);
    if (port <= 0) {
      server_->read_all(kStart);
      why = server_->status() == 3 ? "has none" : "failed: " + line;
      return;
    }
    attempt([&] { load_.emplace(static_cast<std::uint16_t>(port), connections); });
  }

  // Nullopt if the server has failed, now or before.
  std::optional<LoadResult> run() {
    std::optional<LoadResult> result;
    if (why.empty()) attempt([&] { result = load_->run(0.03, 0.12); });
    return result;
  }

  std::string why;

 private:
  static constexpr double kStart = 10;  // seconds

  template <class F>
  void attempt(F f) {
    try {
      f();
    } catch (const std::runtime_error& error) {
      why = std::string("failed: ") + error.what();
    }
  }

  std::optional<Process> server_;
  std::optional<Load> load_;  // is destroyed before the server
};

std::vector<Table> compare_echo(std::size_t connections, const std::vector<Contestant>& contestants,
                                int rounds) {
  const OnCore last(OnCore::kLast);
  const std::string what =
      std::to_string(connections) + (connections == 1 ? " connection" : " connections");
  const std::string name = "echo " + std::to_string(connections);
  std::vector<Table> tables = {
      {name, what + ", requests of 64 bytes", "1,000 per second", true},
      {name + " p99", what + ", 99th percentile of the latency", "us"},
  };
  // All servers run at the same time, and sleep while it is not their turn.
  std::deque<EchoTrial> trials;
  for (const Contestant& contestant : contestants) {
    trials.emplace_back(contestant, connections);
    for (Table& table : tables) table.entries.push_back({contestant.name});
  }
  for (int i = 0; i < rounds; ++i) {
    for (std::size_t j = 0; j < trials.size(); ++j) {
      const std::optional<LoadResult> result = trials[j].run();
      if (!result) continue;
      const double requests = static_cast<double>(result->requests) / result->seconds;
      tables[0].entries[j].samples.add(requests * 1e-3);
      tables[1].entries[j].samples.add(result->latencies.quantile(0.99) * 1e-3);
    }
  }
  for (Table& table : tables) {
    for (std::size_t j = 0; j < trials.size(); ++j) table.entries[j].why = trials[j].why;
  }
  for (Table& table : tables) relate_to_first(table.entries);
  return tables;
}

// ---- All ----------------------------------------------------------------------------------------

// Enough descriptors for a thousand connections to each of ten servers.
void raise_descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void run_all(const Options& options) {
  Results results(options.results);
  results.remark(machine_text());
  for (const Contestant& contestant : options.contestants) {
    results.remark(Process(contestant.with({"version"})).read_line(kPatience));
  }
  for (const std::string& remark : options.remarks) results.remark(remark);
  const Rounds rounds = options.quick ? Rounds{3, 1, 1} : Rounds{7, 3, 4};
  for (const Workload& workload : kWorkloads) {
    if (!options.wants(table_name(workload))) continue;
    results.add(compare(workload, options.contestants, rounds));
  }
  for (const std::size_t connections : {1, 100, 1'000}) {
    if (!options.wants("echo " + std::to_string(connections))) continue;
    for (const Table& table :
         compare_echo(connections, options.contestants, options.quick ? 3 : 11)) {
      results.add(table);
    }
  }
}

[[noreturn]] void usage(int status) {
  std::fputs(
      "usage: compare [--quick] [--results FILE] [part of a table's name]...\n"
      "               --contestant NAME 'COMMAND [ARGUMENT]...' ...   the first is weft\n"
      "               [--remark TEXT]...\n",
      stderr);
  std::exit(status);
}

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> all;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    all.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return all;
}

Options parse(std::vector<std::string> arguments) {
  Options options;
  for (auto next = arguments.begin(); next != arguments.end();) {
    const auto take = [&] {
      if (next == arguments.end()) usage(2);
      return *next++;
    };
    const std::string argument = take();
    if (argument == "--quick") {
      options.quick = true;
    } else if (argument == "--results") {
      options.results = take();
    } else if (argument == "--contestant") {
      const std::string name = take();
      options.contestants.push_back({name, words(take())});
    } else if (argument == "--remark") {
      options.remarks.push_back(take());
    } else if (argument.starts_with("-")) {
      usage(argument == "--help" ? 0 : 2);
    } else {
      options.filters.push_back(argument);
    }
  }
  if (options.contestants.empty()) usage(2);
  return options;
}

}  // namespace
}  // namespace weft::bench

int main(int argc, char** argv) {
  using namespace weft::bench;
  const Options options = parse({argv + 1, argv + argc});
  raise_descriptor_limit();
  run_all(options);
}
