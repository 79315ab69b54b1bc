#include "bench/parts/instructions.h"

#include <sys/ptrace.h>
#include <sys/wait.h>

#include <stdexcept>

namespace weft::bench {
namespace {

void wait_for_stop(pid_t child) {
  int status = 0;
  if (waitpid(child, &status, __WALL) != child || !WIFSTOPPED(status)) {
    throw std::runtime_error("a traced process has ended");
  }
}

}  // namespace

double count_instructions(pid_t child, const std::function<bool()>& done) {
  if (ptrace(PTRACE_SEIZE, child, nullptr, nullptr) != 0) return -1;
  ptrace(PTRACE_INTERRUPT, child, nullptr, nullptr);
  wait_for_stop(child);
  double steps = 0;
  for (; !done(); ++steps) {
    ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr);
    wait_for_stop(child);
  }
  ptrace(PTRACE_DETACH, child, nullptr, nullptr);
  return steps;
}

}  // namespace weft::bench
