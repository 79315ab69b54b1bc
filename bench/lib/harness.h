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

  // The value below which this part of all lies: 0.5 is the median. REQUIRES: not empty.
  double quantile(double part) const;
  double median() const { return quantile(0.5); }

 private:
  std::vector<double> values_;
};

// With three digits, as far as that is of interest.
std::string number(double value);

// Processor, kernel and compiler, in one line.
std::string machine_text();

// Each weft value divided by the raw one of the same round, and less that one.
Samples ratios(const Samples& weft, const Samples& raw);
Samples differences(const Samples& weft, const Samples& raw);

// What a goal says. Where there is a raw figure the first two are about the ratio, else about
// weft's figure.
enum class Goal {
  kAtMost,
  kAtLeast,
  kFigureAtMost,   // of weft's figure, though there is a raw one
  kAboveRawAtMost  // of the difference
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

// What the command line asks for, and the table on stdout.
class Bench {
 public:
  // Prints the usage and exits where the arguments make no sense.
  Bench(int argc, char** argv);

  bool quick() const noexcept { return quick_; }

  // Whether a figure of this name is wanted.
  bool wants(std::string_view name) const;

  int rounds() const noexcept { return quick_ ? 9 : 31; }
  // Of what takes seconds.
  int long_rounds() const noexcept { return quick_ ? 1 : 3; }

  void print(const Row& row);
  // Another one's figure, below the last row.
  void print_peer(const std::string& name, const Samples& samples);
  // A line of explanation below the last row.
  void note(const std::string& text);

  // What the binary runs on, and how the table is to be read.
  static void print_machine();

 private:
  bool quick_ = false;
  std::vector<std::string> filters_;
};

// Nanoseconds of processor time that the calling thread has had: what other programs get meanwhile
// does not count.
double cpu_ns();

// The machine's clock.
double wall_ns();

// While it lives the calling thread, and what it starts, keeps to the first core, or the last.
// Threads that wake each other are else put on one core or on two, as the kernel likes, and a
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

// How many of them f takes, divided by `times`.
template <class F>
double ns_per(double times, F&& f) {
  const double begin = cpu_ns();
  f();
  return (cpu_ns() - begin) / times;
}

// Runs f in a forked child, whose memory is fresh and is all gone afterwards, and returns the
// numbers that f returns. Throws std::runtime_error if the child fails.
std::vector<double> in_child(const std::function<std::vector<double>()>& f);

// Processor time that this process has had in the kernel so far, and its page faults that needed no
// reading from a disk.
double kernel_seconds();
double page_faults();

// A line of a process's /proc/<pid>/status, such as "VmRSS", in bytes: of this one's if the id is
// 0.
double status_bytes(std::string_view key, pid_t process = 0);

}  // namespace weft::bench

#endif  // WEFT_BENCH_LIB_HARNESS_H_
