#include "bench/compare/results.h"

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace weft::bench {
namespace {

constexpr int kNameWidth = 18;

// The edges of a spread: quartiles, or extremes if there are few rounds.
struct Edges {
  explicit Edges(const Samples& samples) {
    const double edge = samples.size() < 5 ? 0 : 0.25;
    low = samples.quantile(edge);
    high = samples.quantile(1 - edge);
  }
  double low;
  double high;
};

void print(const Entry& entry) {
  if (!entry.why.empty()) {
    std::printf("  %-*s %s\n", kNameWidth, entry.contestant.c_str(), entry.why.c_str());
    return;
  }
  const Edges edges(entry.samples);
  const std::string spread = number(edges.low) + " .. " + number(edges.high);
  std::printf("  %-*s %10s  %-20s %12s  %4zu\n", kNameWidth, entry.contestant.c_str(),
              number(entry.samples.median()).c_str(), spread.c_str(),
              entry.times_weft.empty() ? "" : number(entry.times_weft.median()).c_str(),
              entry.samples.size());
}

}  // namespace

Results::Results(const std::string& path) {
  if (path.empty()) return;
  file_ = std::fopen(path.c_str(), "we");
  if (!file_) throw std::system_error(errno, std::system_category(), path);
}

Results::~Results() {
  if (file_) std::fclose(file_);
}

void Results::remark(const std::string& text) {
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
  if (file_) std::fprintf(file_, "# %s\n", text.c_str());
}

void Results::add(const Table& table) {
  std::printf("\n%s: %s; %s%s\n", table.name.c_str(), table.title.c_str(), table.unit.c_str(),
              table.more_is_better ? ", more is better" : "");
  std::printf("  %-*s %10s  %-20s %12s  %4s\n", kNameWidth, "", "median", "spread", "times weft's",
              "runs");
  for (const Entry& entry : table.entries) print(entry);
  std::fflush(stdout);
  if (!file_) return;
  for (const Entry& entry : table.entries) {
    std::fprintf(file_, "%s\t%s\t%s\t%s\t%s\t", table.name.c_str(), table.title.c_str(),
                 table.unit.c_str(), table.more_is_better ? "more" : "less",
                 entry.contestant.c_str());
    if (!entry.why.empty()) {
      std::fprintf(file_, "%s\n", entry.why.c_str());
      continue;
    }
    const Edges edges(entry.samples);
    std::fprintf(file_, "%.4g\t%.4g\t%.4g\t%.4g\t%zu\n", entry.samples.median(), edges.low,
                 edges.high, entry.times_weft.empty() ? 0 : entry.times_weft.median(),
                 entry.samples.size());
  }
  std::fflush(file_);
}

}  // namespace weft::bench
