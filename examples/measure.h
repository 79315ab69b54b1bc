// Measures the time and memory of many fibers, and how many fit into memory.
#ifndef WEFT_EXAMPLES_MEASURE_H_
#define WEFT_EXAMPLES_MEASURE_H_

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <string>

// How far the work is, in memory that processes share.
struct Progress {
  std::atomic<long> waiting{0};   // queries that wait for their answer now
  std::atomic<long> answered{0};  // queries that have their answer
};

// Compares ways to ask many queries: a table on stdout, with notes below it.
class RaceTable {
 public:
  // `answer_time`: how long each query waits.
  explicit RaceTable(std::chrono::milliseconds answer_time);
  ~RaceTable();
  RaceTable(const RaceTable&) = delete;
  RaceTable& operator=(const RaceTable&) = delete;

  // Runs `way`, which asks `queries` queries, in a process of its own, and prints a row. On a
  // terminal, a line shows the progress. Throws std::runtime_error if `way` fails, or leaves
  // queries without an answer.
  void race(const std::string& name, void (*way)(long queries, Progress&), long queries) const;

 private:
  const std::chrono::milliseconds answer_time_;
};

// The number of fibers that fit into this share of the machine's memory at once. Fewer if that much
// is not free, or the kernel cannot guard that many stacks.
long fibers_that_fit(double share);

// Bytes of memory that the process shares with no other, and of its page tables.
long memory_of(pid_t process);

// 1234567 as 1,234,567.
std::string with_commas(long number);

#endif  // WEFT_EXAMPLES_MEASURE_H_
