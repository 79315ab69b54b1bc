// Measuring and printing, for the benchmarks.
#ifndef WEFT_BENCH_LIB_HARNESS_H_
#define WEFT_BENCH_LIB_HARNESS_H_

#include <sched.h>
#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weft::bench {

// The same measurement from several rounds.
class Samples {
 public:
  Samples() = default;
  Samples(std::initializer_list<double> values) : values_(values) {}

  void add(double value) { values_.push_back(value); }
  bool empty() const noexcept { return values_.empty(); }
  std::size_t size() const noexcept { return values_.size(); }
  double operator[](std::size_t i) const { return values_[i]; }

  // The value below which this part of all values lies: 0.5 is the median. REQUIRES: not empty.
  double quantile(double part) const;
  double median() const { return quantile(0.5); }

 private:
  std::vector<double> values_;
};

// With two decimals, fewer for larger values.
std::string number(double value);

// Processor, kernel and compiler, in one line.
std::string machine_text();

// Of each round: weft's value divided by raw's, and weft's value minus raw's.
Samples ratios(const Samples& weft, const Samples& raw);
Samples differences(const Samples& weft, const Samples& raw);

// The meaning of a goal. If there is a raw figure, the first two limit the ratio, otherwise weft's
// figure.
enum class Goal {
  kAtMost,
  kAtLeast,
  kFigureAtMost,   // limits weft's figure, even if there is a raw one
  kAboveRawAtMost  // limits the difference
};

// A line of the table.
struct Row {
  std::string what;
  const char* unit = "ns";
  Samples weft = {};
  Samples raw = {};
  std::optional<double> goal = {};
  Goal kind = Goal::kAtMost;
};

// True if the name contains one of the filters, or if there are no filters.
bool passes(std::string_view name, const std::vector<std::string>& filters);

// The command line, and the table on stdout.
class Bench {
 public:
  // Prints the usage and exits if the arguments are wrong.
  Bench(int argc, char** argv);

  bool quick() const noexcept { return quick_; }

  // True if the command line asks for a figure of this name.
  bool wants(std::string_view name) const { return passes(name, filters_); }

  int rounds() const noexcept { return quick_ ? 9 : 31; }
  // For measurements that take seconds.
  int long_rounds() const noexcept { return quick_ ? 1 : 3; }

  void print(const Row& row);
  // The figure of another program, below the last row.
  void print_peer(const std::string& name, const Samples& samples);
  // A line of explanation below the last row.
  void note(const std::string& text);

  // The machine, and how to read the table.
  static void print_machine();

 private:
  bool quick_ = false;
  std::vector<std::string> filters_;
};

// Nanoseconds of processor time that the calling thread has used: time of other programs does not
// count.
double cpu_ns();

// Nanoseconds of the wall clock.
double wall_ns();

// While it lives, the calling thread and the threads that it starts keep to the first or the last
// core. Otherwise the kernel puts threads that wake each other on one core or on two, and a
// hand-over takes 5 us or 50.
class OnCore {
 public:
  enum Which { kFirst, kLast };
  explicit OnCore(Which which);
  ~OnCore();
  OnCore(const OnCore&) = delete;
  OnCore& operator=(const OnCore&) = delete;

 private:
  cpu_set_t before_;
};

// The processor time of f in nanoseconds, divided by `times`.
template <class F>
double ns_per(double times, F&& f) {
  const double begin = cpu_ns();
  f();
  return (cpu_ns() - begin) / times;
}

// Runs f in a forked child, whose memory is fresh and is released afterwards. Returns what f
// returns. Throws std::runtime_error if the child fails.
std::vector<double> in_child(const std::function<std::vector<double>()>& f);

// Processor time that this process has spent in the kernel, and its page faults without a read from
// disk.
double kernel_seconds();
double page_faults();

// A line such as "VmRSS" of /proc/<pid>/status, in bytes. Process 0 is the calling one.
double status_bytes(std::string_view key, pid_t process = 0);

}  // namespace weft::bench

#endif  // WEFT_BENCH_LIB_HARNESS_H_
