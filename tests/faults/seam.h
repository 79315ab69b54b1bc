#ifndef WEFT_TESTS_FAULTS_SEAM_H_
#define WEFT_TESTS_FAULTS_SEAM_H_

#include <string>
#include <string_view>
#include <vector>

// The seam between a program and the system. The linker puts it there (--wrap, see BUILD): calls of
// weft, of examples and of tests go through it, those of libc and of sanitizers for themselves do
// not. A call whose turn it is fails, or does less than it was asked for; all others are passed on.
//
// Threads: any.
namespace weft::faults {

// "recv:3:ECONNRESET": the third call of recv fails with that. "recv:3+:ECONNRESET": so do all that
// follow. "send:2:short": the second one sends one byte. Several are separated by commas.
//
// A socket's call that is short, or that finds EAGAIN, though there was more, has the socket's
// event come again, as the kernel would tell of what it could not do before.
//
// Counts begin anew. Throws std::invalid_argument if it is something else, or an unknown call.
void arm(std::string_view faults);

// No call fails any more.
inline void disarm() { arm(""); }

// Armed while it lives.
class Armed {
 public:
  explicit Armed(std::string_view faults) { arm(faults); }
  ~Armed() { disarm(); }
  Armed(const Armed&) = delete;
  Armed& operator=(const Armed&) = delete;
};

// How many calls failed since arm().
long struck();

// Those of them that failed by the last of the faults.
long struck_last();

struct Count {
  const char* call;
  long count;
};

// How often each was called since arm(), of those that were.
std::vector<Count> counts();
long count_of(std::string_view call);

// What is mapped by mmap and not unmapped yet.
long mapped_bytes();

// Each descriptor that is open, and what it is: "5 socket:[123]".
std::vector<std::string> descriptors();

}  // namespace weft::faults

#endif  // WEFT_TESTS_FAULTS_SEAM_H_
