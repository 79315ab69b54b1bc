// Measures work that asks many queries, its time and the memory that it takes, and prints that.
#ifndef WEFT_EXAMPLES_MEASURE_H_
#define WEFT_EXAMPLES_MEASURE_H_

#include <atomic>
#include <chrono>
#include <string>

// How far the work is, in memory that its processes share.
struct Progress {
  std::atomic<long> waiting{0};   // queries that wait for their answer now
  std::atomic<long> answered{0};  // those that have it
};

// A table on stdout, with notes below it.
class RaceTable {
 public:
  // `answer_time`: how long each query waits.
  explicit RaceTable(std::chrono::milliseconds answer_time);
  ~RaceTable();
  RaceTable(const RaceTable&) = delete;
  RaceTable& operator=(const RaceTable&) = delete;

  // Runs `way`, which is to have `queries` answered, in a process of its own, and prints a row. On
  // a terminal, a line shows meanwhile how far it is.
  // Throws std::runtime_error if it fails, or leaves queries without an answer.
  void race(const std::string& name, void (*way)(long queries, Progress&), long queries) const;

 private:
  const std::chrono::milliseconds answer_time_;
};

// How many fibers at most a quarter of the machine's memory holds, rounded down to one digit and
// zeros; fewer where that much is not free, or the kernel cannot guard as many stacks.
long fibers_that_fit();

#endif  // WEFT_EXAMPLES_MEASURE_H_
