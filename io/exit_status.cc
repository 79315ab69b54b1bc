#include "weft/io/exit_status.h"

#include <sys/wait.h>

#include <csignal>
#include <cstring>

#include "weft/fiber/core/error.h"

namespace weft {
namespace {

std::string name_of(int signal) {
  if (const char* const name = sigabbrev_np(signal)) return std::string("SIG") + name;
  return "signal " + internal::decimal(signal);
}

}  // namespace

int ExitStatus::code() const noexcept { return WIFEXITED(status_) ? WEXITSTATUS(status_) : -1; }

int ExitStatus::signal() const noexcept { return WIFSIGNALED(status_) ? WTERMSIG(status_) : 0; }

bool ExitStatus::core_dumped() const noexcept { return WIFSIGNALED(status_) && WCOREDUMP(status_); }

std::string ExitStatus::to_string() const {
  if (signal() == 0) return "exited with " + internal::decimal(code());
  return "was killed by " + name_of(signal()) + (core_dumped() ? ", core dumped" : "");
}

}  // namespace weft
