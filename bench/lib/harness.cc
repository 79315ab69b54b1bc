#include "bench/lib/harness.h"

#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/version.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <fstream>
#include <stdexcept>

namespace weft::bench {
namespace {

constexpr int kWhatWidth = 45;
constexpr int kFigureWidth = 25;
constexpr int kGoalWidth = 14;

// The median with the quartiles, or with the extremes if there are fewer than five rounds.
std::string spread(const Samples& samples) {
  if (samples.empty()) return "-";
  std::string text = number(samples.median());
  if (samples.size() > 1) {
    const double edge = samples.size() < 5 ? 0 : 0.25;
    text += " (" + number(samples.quantile(edge)) + ".." + number(samples.quantile(1 - edge)) + ")";
  }
  return text;
}

// The samples that the goal of a row limits.
Samples judged(const Row& row) {
  const bool alone = row.raw.empty() || row.kind == Goal::kFigureAtMost;
  if (row.kind == Goal::kAboveRawAtMost) return differences(row.weft, row.raw);
  return alone ? row.weft : ratios(row.weft, row.raw);
}

// The goal of a row that has one.
std::string goal_text(const Row& row) {
  const std::string value = number(*row.goal);
  if (row.kind == Goal::kAboveRawAtMost) return "<= raw + " + value;
  const bool alone = row.raw.empty() || row.kind == Goal::kFigureAtMost;
  return (row.kind == Goal::kAtLeast ? ">= " : "<= ") + value +
         (alone ? std::string(" ") + row.unit : " x");
}

bool is_met(const Row& row) {
  const double median = judged(row).median();
  return row.kind == Goal::kAtLeast ? median >= *row.goal : median <= *row.goal;
}

// The value of a "key : value" line.
std::string look_up(const std::string& file, std::string_view key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || line.compare(0, key.size(), key) != 0) continue;
    const std::size_t value = line.find_first_not_of(" \t", colon + 1);
    return value == std::string::npos ? "" : line.substr(value);
  }
  return "";
}

}  // namespace

std::string number(double value) {
  char text[32];
  const int digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

double Samples::quantile(double part) const {
  std::vector<double> sorted = values_;
  std::sort(sorted.begin(), sorted.end());
  const double place = part * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], place - static_cast<double>(below));
}

Samples ratios(const Samples& weft, const Samples& raw) {
  Samples all;
  for (std::size_t i = 0; i < std::min(weft.size(), raw.size()); ++i) all.add(weft[i] / raw[i]);
  return all;
}

Samples differences(const Samples& weft, const Samples& raw) {
  Samples all;
  for (std::size_t i = 0; i < std::min(weft.size(), raw.size()); ++i) all.add(weft[i] - raw[i]);
  return all;
}

bool passes(std::string_view name, const std::vector<std::string>& filters) {
  return filters.empty() || std::ranges::any_of(filters, [&](const std::string& filter) {
           return name.find(filter) != std::string_view::npos;
         });
}

Bench::Bench(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--quick") {
      quick_ = true;
    } else if (argument.starts_with("-")) {
      std::fprintf(stderr, "usage: %s [--quick] [part of a figure's name]...\n", argv[0]);
      std::exit(argument == "--help" ? 0 : 2);
    } else {
      filters_.emplace_back(argument);
    }
  }
}

void Bench::print(const Row& row) {
  const std::string goal = row.goal ? goal_text(row) : "";
  const char* met = !row.goal ? "" : is_met(row) ? "yes" : "NO";
  std::printf("%-*s %4s %-*s %-*s %-*s %-*s %s\n", kWhatWidth, row.what.c_str(), row.unit,
              kFigureWidth, spread(row.weft).c_str(), kFigureWidth, spread(row.raw).c_str(),
              kFigureWidth, spread(ratios(row.weft, row.raw)).c_str(), kGoalWidth, goal.c_str(),
              met);
  std::fflush(stdout);
}

void Bench::print_peer(const std::string& name, const Samples& samples) {
  std::printf("%*s %s\n", kWhatWidth + 5, name.c_str(), spread(samples).c_str());
  std::fflush(stdout);
}

void Bench::note(const std::string& text) {
  std::printf("    %s\n", text.c_str());
  std::fflush(stdout);
}

std::string machine_text() {
  utsname kernel{};
  uname(&kernel);
  char text[512];
  std::snprintf(text, sizeof(text), "%s, %ld cores | Linux %s | %s %s | Boost %d.%d%s",
                look_up("/proc/cpuinfo", "model name").c_str(), sysconf(_SC_NPROCESSORS_ONLN),
                kernel.release,
#if defined(__clang__)
                "clang", __clang_version__,
#else
                "gcc", __VERSION__,
#endif
                BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000,
#if defined(__OPTIMIZE__)
                "");
#else
                " | NOT OPTIMIZED: run with -c opt");
#endif
  return text;
}

void Bench::print_machine() {
  std::printf("%s\n", machine_text().c_str());
  std::printf("Medians of the rounds, with quartiles (extremes where there are few rounds).\n\n");
  std::printf("%-*s %4s %-*s %-*s %-*s %-*s %s\n", kWhatWidth, "what", "unit", kFigureWidth, "weft",
              kFigureWidth, "raw", kFigureWidth, "ratio", kGoalWidth, "goal", "met");
}

OnCore::OnCore(Which which) {
  sched_getaffinity(0, sizeof(before_), &before_);
  static const cpu_set_t all = before_;  // of the first call, when no thread keeps to one core yet
  int core = -1;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &all) && (core < 0 || which == kLast)) core = i;
  }
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(core, &one);
  sched_setaffinity(0, sizeof(one), &one);
}

OnCore::~OnCore() { sched_setaffinity(0, sizeof(before_), &before_); }

std::vector<double> in_child(const std::function<std::vector<double>()>& f) {
  int ends[2];
  if (pipe(ends) != 0) throw std::runtime_error("pipe failed");
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) {
    close(ends[0]);
    try {
      const std::vector<double> numbers = f();
      const auto size = static_cast<ssize_t>(numbers.size() * sizeof(double));
      _exit(write(ends[1], numbers.data(), numbers.size() * sizeof(double)) == size ? 0 : 1);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      _exit(1);
    }
  }
  close(ends[1]);
  std::vector<double> numbers;
  double one;
  while (read(ends[0], &one, sizeof(one)) == static_cast<ssize_t>(sizeof(one))) {
    numbers.push_back(one);
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) throw std::runtime_error("a child process failed");
  return numbers;
}

namespace {

double clock_ns(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

}  // namespace

double cpu_ns() { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

double wall_ns() { return clock_ns(CLOCK_MONOTONIC); }

namespace {

rusage usage_so_far() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage;
}

}  // namespace

double kernel_seconds() {
  const timeval time = usage_so_far().ru_stime;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

double page_faults() { return static_cast<double>(usage_so_far().ru_minflt); }

double status_bytes(std::string_view key, pid_t process) {
  const std::string of = process == 0 ? "self" : std::to_string(process);
  return std::strtod(look_up("/proc/" + of + "/status", key).c_str(), nullptr) * 1024;
}

}  // namespace weft::bench
