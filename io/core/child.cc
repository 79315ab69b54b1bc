#include "weft/io/core/child.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "weft/fiber/cancel.h"
#include "weft/fiber/core/home.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/task.h"
#include "weft/fiber/this_fiber.h"
#include "weft/fiber/timeout.h"
#include "weft/io/core/error.h"
#include "weft/io/core/reactor.h"

namespace weft::internal {
namespace {

// How often a wait looks where there is no pidfd: seldom for a process that lives long.
constexpr Duration kFirstLook = std::chrono::milliseconds(1);
constexpr Duration kLastLook = std::chrono::milliseconds(20);

// struct pidfd_info of <linux/pidfd.h>, as it was first (Linux 6.13), with the exit code of 6.15.
struct PidfdInfo {
  std::uint64_t mask = 0;
  std::uint64_t cgroup = 0;
  std::uint32_t numbers[11] = {};
  std::int32_t exit_code = 0;
};
constexpr std::uint64_t kInfoExit = 8;
constexpr unsigned long kGetInfo = _IOWR(0xFF, 11, PidfdInfo);

// The status of a process that was reaped by others, as far as the kernel keeps it.
std::optional<ExitStatus> status_kept_by(int pidfd) noexcept {
  PidfdInfo info{.mask = kInfoExit};
  if (ioctl(pidfd, kGetInfo, &info) != 0 || !(info.mask & kInfoExit)) return std::nullopt;
  return ExitStatus(info.exit_code);
}

// As waitpid(2) gives it.
ExitStatus status_of(const siginfo_t& info) noexcept {
  if (info.si_code == CLD_EXITED) return ExitStatus((info.si_status & 0xff) << 8);
  return ExitStatus(info.si_status | (info.si_code == CLD_DUMPED ? 0x80 : 0));
}

// Children that nobody waits for any more.
struct Detached {
  std::mutex lock;
  std::vector<pid_t> pids;
};
Detached& detached() {
  static auto* const all = new Detached;
  return *all;
}

// Waits until a pidfd is readable; returns false if that takes too long. A virtual clock gives the
// process a while of the machine's time.
bool wait_for(int pidfd, TimePoint deadline, const char* what) {
  const ExpectedEvent end;
  ForeignWait wait(Reactor::require(what), pidfd, EPOLLIN, what);
  if (!wait.arm()) return true;
  WaitQueue::Lock lock(wait.queue());
  return wait.queue().wait(lock, wait.waiter, deadline);
}

}  // namespace

Child::Child(pid_t pid) noexcept
    : Child(pid, Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))), false) {}

Child::Child(Child&& other) noexcept { *this = std::move(other); }

Child& Child::operator=(Child&& other) noexcept {
  if (this == &other) return *this;
  end();
  process_ = other.process_;
  pid_ = std::exchange(other.pid_, 0);
  pidfd_ = std::move(other.pidfd_);
  leads_group_ = other.leads_group_;
  lost_ = std::exchange(other.lost_, false);
  status_ = std::exchange(other.status_, std::nullopt);
  return *this;
}

// 0 if it runs or its status is known now, else the error.
int Child::poll_status() noexcept {
  if (status_) return 0;
  siginfo_t info{};
  int result = 0;
  do {
    result = waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG);
  } while (result != 0 && errno == EINTR);
  if (result == 0) {
    if (info.si_pid != 0) status_ = status_of(info);
    return 0;
  }
  const int error = errno;
  if (pidfd_.get() >= 0) status_ = status_kept_by(pidfd_.get());
  return status_ ? 0 : error;
}

std::optional<ExitStatus> Child::try_wait() {
  if (pid_ == 0) fail(ECHILD, {"wait: there is no process"});
  if (!lost_ && poll_status() == 0) return status_;
  lost_ = true;
  fail(ECHILD, {"wait for process ", decimal(pid_), ": SIGCHLD is ignored, or others reaped it"});
}

std::optional<ExitStatus> Child::wait_until(TimePoint deadline, const char* what) {
  Duration pause = kFirstLook;
  while (!try_wait()) {
    if (pidfd_.get() >= 0) {
      if (!wait_for(pidfd_.get(), deadline, what)) break;
    } else {
      const TimePoint next = now() + pause;
      sleep_until(std::min(deadline, next));
      if (deadline <= next) break;
      pause = std::min(2 * pause, kLastLook);
    }
  }
  return try_wait();
}

bool Child::kill(int signal) {
  if (!is_running()) return false;
  const pid_t target = leads_group_ ? -pid_ : pid_;
  if (::kill(target, signal) == 0 || errno == ESRCH) return true;
  fail(errno, {"kill process ", decimal(pid_)});
}

void Child::end() noexcept {
  if (is_running()) ::kill(leads_group_ ? -pid_ : pid_, SIGKILL);
  reap();
}

void Child::reap() noexcept {
  if (!is_running()) return;
  try {
    if (current_reactor && current_fiber()) shield([&] { wait_until(kForever, "~Process"); });
  } catch (const std::exception&) {  // no memory for the wait, or the status is lost
  }
  siginfo_t info{};
  while (is_running() && waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0 &&
         errno == EINTR) {
  }
  pid_ = 0;  // may be another process's from now on
}

void Child::detach() {
  if (!is_running()) return;
  {
    const std::lock_guard lock(detached().lock);
    detached().pids.push_back(std::exchange(pid_, 0));
  }
  if (pidfd_.get() < 0 || !current_reactor || !current_fiber()) return;
  // If the runtime ends before the process, the list still has it.
  spawn([pidfd = std::move(pidfd_)] {
    wait_for(pidfd.get(), kForever, "Process::detach");
    reap_detached();
  }).detach();
}

void reap_detached() noexcept {
  const std::lock_guard lock(detached().lock);
  std::erase_if(detached().pids, [](pid_t pid) {
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG) != 0 || info.si_pid != 0;
  });
}

}  // namespace weft::internal
