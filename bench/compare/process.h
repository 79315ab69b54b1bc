// Another program, started for a measurement.
#ifndef WEFT_BENCH_COMPARE_PROCESS_H_
#define WEFT_BENCH_COMPARE_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace weft::bench {

// Runs on the cores that its starter has at that moment. Killed when this is destroyed; dies with
// its parent, too.
class Process {
 public:
  // Its standard output and error can be read here. Throws std::system_error.
  explicit Process(const std::vector<std::string>& command);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // The next line, without its end; what there is of it when the output ends or the time is over.
  std::string read_line(double seconds);

  // All that is left. Kills it if its output has not ended after this time.
  std::string read_all(double seconds);

  // Waits for its end; as a shell's $?. Only once.
  int status();

 private:
  // Whether there was more; not if the time is over.
  bool read_more(double deadline);

  pid_t pid_ = -1;
  int output_ = -1;
  std::string unread_;
};

}  // namespace weft::bench

#endif  // WEFT_BENCH_COMPARE_PROCESS_H_
