#ifndef WEFT_IO_EXIT_STATUS_H_
#define WEFT_IO_EXIT_STATUS_H_

#include <string>

namespace weft {

// How a process ended: by itself, with a code, or by a signal.
//
//   const ExitStatus status = process.wait();
//   if (!status.ok()) std::cerr << status.to_string() << '\n';  // "exited with 2"
//   if (status.signal() == SIGKILL) count_out_of_memory();
//
// A value: any thread, no waiting.
class ExitStatus {
 public:
  // That of a process that exited with 0.
  ExitStatus() = default;
  // From the status that waitpid(2) gives.
  explicit ExitStatus(int wait_status) noexcept : status_(wait_status) {}

  // True if it exited with 0.
  bool ok() const noexcept { return status_ == 0; }

  // What it exited with, 0 to 255; -1 if a signal ended it.
  int code() const noexcept;

  // The signal that ended it; 0 if none did.
  int signal() const noexcept;

  // True if the signal left a core.
  bool core_dumped() const noexcept;

  // "exited with 2", "was killed by SIGSEGV, core dumped".
  std::string to_string() const;

  friend bool operator==(ExitStatus, ExitStatus) = default;

 private:
  int status_ = 0;
};

}  // namespace weft

#endif  // WEFT_IO_EXIT_STATUS_H_
