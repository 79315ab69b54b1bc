// Another program, started for a measurement.
#ifndef WEFT_BENCH_COMPARE_PROCESS_H_
#define WEFT_BENCH_COMPARE_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace weft::bench {

// Runs on the cores that the calling thread has when it starts it. Killed by the destructor; also
// dies with its parent.
class Process {
 public:
  // Its standard output and error go to read_line() and read_all(). Throws std::system_error.
  explicit Process(const std::vector<std::string>& command);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // The next line without its newline, or a part of it if the output ends or the time is over.
  std::string read_line(double seconds);

  // The rest of the output. Kills the program if the output has not ended after this time.
  std::string read_all(double seconds);

  // Waits for its end; returns a status as a shell's $?. Call it only once.
  int status();

 private:
  // True if there was more; false if the output has ended or the time is over.
  bool read_more(double deadline);

  pid_t pid_ = -1;
  int output_ = -1;
  std::string unread_;
};

}  // namespace weft::bench

#endif  // WEFT_BENCH_COMPARE_PROCESS_H_
