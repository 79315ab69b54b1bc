// The tables of the comparison: printed as they come, and kept in a file for bench/compare/draw.
#ifndef WEFT_BENCH_COMPARE_RESULTS_H_
#define WEFT_BENCH_COMPARE_RESULTS_H_

#include <cstdio>
#include <string>
#include <vector>

#include "bench/lib/harness.h"

namespace weft::bench {

// The figures of one contestant, or the reason why they are missing.
struct Entry {
  std::string contestant;
  Samples samples = {};
  Samples times_weft = {};  // the ratios to weft, round by round
  std::string why = {};
};

struct Table {
  std::string name;   // as on the command line
  std::string title;  // what is done
  std::string unit;
  bool more_is_better = false;
  std::vector<Entry> entries = {};
};

class Results {
 public:
  // Writes no file if the path is empty. Throws std::system_error.
  explicit Results(const std::string& path);
  ~Results();
  Results(const Results&) = delete;
  Results& operator=(const Results&) = delete;

  // The machine, or a contestant that is left out.
  void remark(const std::string& text);
  void add(const Table& table);

 private:
  std::FILE* file_ = nullptr;
};

}  // namespace weft::bench

#endif  // WEFT_BENCH_COMPARE_RESULTS_H_
