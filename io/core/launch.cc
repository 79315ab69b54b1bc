#include "weft/io/core/launch.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>

#include "weft/fiber/core/context.h"
#include "weft/io/core/error.h"

namespace weft::internal {
namespace {

// What the child runs on until the program is loaded: calls of the system, three functions deep.
constexpr std::size_t kStackSize = 16 * 1024;

// <linux/close_range.h> has these from Linux 5.11 on.
constexpr unsigned kCloseOnExec = 4;

#if defined(WEFT_TSAN) || defined(WEFT_VALGRIND)
// These do not follow a child that shares memory with its parent.
constexpr int kSharing = 0;
#else
constexpr int kSharing = CLONE_VM | CLONE_VFORK;
#endif

enum class Step : int { kNone, kGroup, kDirectory, kDescriptors, kExec };

struct Failure {
  Step step = Step::kNone;
  int error = 0;
};

// What the child sees of its parent.
struct Order {
  const Launch& launch;
  std::vector<int> sources;  // the descriptors, which the child moves
  int report;                // the end of a pipe, for a child that does not share memory
  bool shares_memory = false;
  Failure failure = {};
};

// ---- In the child -------------------------------------------------------------------------------
// It may share the parent's memory: it takes no lock, allocates nothing, and calls the kernel
// directly, as wrappers may keep books.

// The kernel's struct sigaction begins with the handler, and is smaller than this.
struct Action {
  std::uintptr_t handler = 0;
  std::uintptr_t rest[7] = {};
};
constexpr std::size_t kSignalSetSize = 8;

void restore_signals() noexcept {
  for (int signal = 1; signal < NSIG; ++signal) {
    Action action;
    syscall(SYS_rt_sigaction, signal, nullptr, &action, kSignalSetSize);
    const bool ignored = action.handler == reinterpret_cast<std::uintptr_t>(SIG_IGN);
    if (action.handler == 0 || (ignored && signal != SIGPIPE)) continue;
    const Action standard;
    syscall(SYS_rt_sigaction, signal, &standard, nullptr, kSignalSetSize);
  }
  const std::uint64_t none = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, kSignalSetSize);
}

// Marks all descriptors from `first` on as close-on-exec, where the kernel has no close_range().
bool mark_each(int first) noexcept {
  const int folder =
      static_cast<int>(syscall(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_CLOEXEC, 0));
  if (folder < 0) return false;
  alignas(8) char entries[2048];
  long size = 0;
  while ((size = syscall(SYS_getdents64, folder, entries, sizeof(entries))) > 0) {
    // Each has the number of an inode and an offset, its own size in two bytes, a type, and a name.
    for (long at = 0; at < size; at += *reinterpret_cast<std::uint16_t*>(entries + at + 16)) {
      int fd = 0;
      const char* name = entries + at + 19;
      for (; *name >= '0' && *name <= '9'; ++name) fd = 10 * fd + (*name - '0');
      if (fd >= first) syscall(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
    }
  }
  return size == 0;
}

// Moves a descriptor out of the way of those that are to be 0 to count - 1.
bool move_up(int& fd, int count) noexcept {
  if (fd < count) fd = static_cast<int>(syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, count));
  return fd >= 0;
}

// Gives the descriptors their numbers.
bool place_descriptors(Order& order) noexcept {
  std::vector<int>& sources = order.sources;
  const int count = static_cast<int>(sources.size());
  if (!move_up(order.report, count)) return false;
  for (int number = 0; number < count; ++number) {
    int& source = sources[static_cast<std::size_t>(number)];
    if (source != number && !move_up(source, count)) return false;
  }
  for (int number = 0; number < count; ++number) {
    const int source = sources[static_cast<std::size_t>(number)];
    const long result = source == number ? syscall(SYS_fcntl, number, F_SETFD, 0)
                                         : syscall(SYS_dup3, source, number, 0);
    if (result < 0) return false;
  }
  return syscall(SYS_close_range, count, ~0U, kCloseOnExec) == 0 || mark_each(count);
}

// Returns the step that fails, and leaves errno.
Step become(Order& order) noexcept {
  const Launch& launch = order.launch;
  restore_signals();
  if (launch.own_group && syscall(SYS_setpgid, 0, 0) != 0) return Step::kGroup;
  if (launch.directory && syscall(SYS_chdir, launch.directory) != 0) return Step::kDirectory;
  if (!place_descriptors(order)) return Step::kDescriptors;
  bool denied = false;
  for (const std::string& file : launch.files) {
    syscall(SYS_execve, file.c_str(), launch.arguments.data(), launch.environment.data());
    if (errno == EACCES) denied = true;
    if (errno != EACCES && errno != ENOENT && errno != ENOTDIR) return Step::kExec;
  }
  if (denied) errno = EACCES;
  return Step::kExec;
}

int run_child(void* argument) noexcept {
  Order& order = *static_cast<Order*>(argument);
  order.shares_memory = true;
  order.failure.step = become(order);
  order.failure.error = errno;
  syscall(SYS_write, order.report, &order.failure, sizeof(order.failure));
  syscall(SYS_exit_group, 127);
  return 0;
}

// ---- In the parent ------------------------------------------------------------------------------

// Holds back all signals, so that no handler runs in the child.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

// Starts the child; returns when it has loaded the program or failed, if it shares memory.
pid_t clone_child(Order& order, int& pidfd) {
  const auto stack = std::make_unique_for_overwrite<std::byte[]>(kStackSize);
  std::byte* const top = stack.get() + kStackSize;
  const SignalsBlocked blocked;
  const pid_t pid = clone(run_child, top, kSharing | CLONE_PIDFD | SIGCHLD, &order, &pidfd);
  if (pid >= 0 || errno != EINVAL) return pid;
  return clone(run_child, top, kSharing | SIGCHLD, &order);  // an emulator that knows no pidfd
}

std::string place_of(const Launch& launch, const std::string& file) {
  if (!launch.directory || file.starts_with('/')) return file;
  return std::string(launch.directory) + "/" + file;
}

std::string step_of(const Launch& launch, Failure failure) {
  switch (failure.step) {
    case Step::kGroup:
      return ": make its process group";
    case Step::kDirectory:
      return std::string(": enter ") + launch.directory;
    case Step::kDescriptors:
      return ": pass descriptors on";
    case Step::kExec:
      for (const std::string& file : launch.files) {
        if (failure.error == ENOENT && access(place_of(launch, file).c_str(), F_OK) == 0)
          return ": " + file + " is there, but not its interpreter";
      }
      return "";
    case Step::kNone:
      break;
  }
  return ": make a process";
}

[[noreturn]] void fail_to(const Launch& launch, Failure failure) {
  fail(failure.error, {"start ", launch.arguments[0], step_of(launch, failure)});
}

}  // namespace

Child launch(const Launch& launch) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail_to(launch, {Step::kNone, errno});
  const Fd report(ends[0]);
  Fd report_to(ends[1]);
  Order order{.launch = launch,
              .sources = {launch.descriptors.begin(), launch.descriptors.end()},
              .report = ends[1]};
  int pidfd = -1;
  const pid_t pid = clone_child(order, pidfd);
  const int error = errno;
  report_to = Fd();
  if (pid < 0) fail_to(launch, {Step::kNone, error});
  Fd end(pidfd);
  if (!order.shares_memory) {
    // Waits until it has loaded the program, which closes the other end, or failed.
    while (read(report.get(), &order.failure, sizeof(order.failure)) < 0 && errno == EINTR) {
    }
  }
  if (order.failure.step != Step::kNone) {
    reap_by_blocking(pid);  // it is ending
    fail_to(launch, order.failure);
  }
  return {pid, std::move(end), launch.own_group};
}

}  // namespace weft::internal
