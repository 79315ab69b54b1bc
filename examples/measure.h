// Measures work that asks many queries: its time, and the memory that it takes.
#ifndef WEFT_EXAMPLES_MEASURE_H_
#define WEFT_EXAMPLES_MEASURE_H_

#include <atomic>
#include <functional>
#include <string>

// How far the work is, in memory that its processes share.
struct Progress {
  std::atomic<long> waiting{0};   // queries that wait for their answer now
  std::atomic<long> answered{0};  // those that have it
};

struct Cost {
  double seconds = 0;
  long most_waiting = 0;        // at once
  double bytes_per_query = -1;  // of memory while most waited; negative: it could not be read
};

// Runs `work`, which is to have `queries` answered, in a process of its own. On a terminal, a line
// shows how far it is. Throws std::runtime_error if it fails, or leaves queries without an answer.
Cost measure(const std::string& name, long queries, const std::function<void(Progress&)>& work);

// How many fibers at most a quarter of the memory holds, rounded down to one digit and zeros; fewer
// where the kernel cannot guard as many stacks.
long fibers_that_fit();

// 1234567 as 1,234,567.
std::string with_commas(long number);

#endif  // WEFT_EXAMPLES_MEASURE_H_
