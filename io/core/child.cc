#include "weft/io/core/child.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

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
#include "weft/io/core/back_off.h"
#include "weft/io/core/error.h"
#include "weft/io/core/reactor.h"

namespace weft::internal {
namespace {

// How often a wait looks where there is no pidfd.
constexpr Duration kLook = std::chrono::milliseconds(5);

// struct pidfd_info of <linux/pidfd.h>, as it was first (Linux 6.13), with the exit code of 6.15.
struct PidfdInfo {
  std::uint64_t mask = 0;
  std::uint64_t cgroup = 0;
  std::uint32_t numbers[11] = {};
  std::int32_t exit_code = 0;
};
constexpr std::uint64_t kInfoExit = 8;
constexpr unsigned long kGetInfo = _IOWR(0xFF, 11, PidfdInfo);

// The status of a process that was reaped by others, as far as the kernel keeps it. A process that
// reaps itself is no child any more a moment before its status is there: POLLHUP reports that.
std::optional<ExitStatus> status_kept_by(int pidfd) noexcept {
  constexpr int kMoment = 100;  // milliseconds
  for (const int patience : {kMoment, 0}) {
    PidfdInfo info{.mask = kInfoExit};
    const bool known = ioctl(pidfd, kGetInfo, &info) == 0;
    if (known && (info.mask & kInfoExit)) return ExitStatus(info.exit_code);
    if (!known && errno != ESRCH) break;
    pollfd reaped{pidfd, 0, 0};
    poll(&reaped, 1, patience);
  }
  return std::nullopt;
}

// As waitpid(2) gives it.
ExitStatus status_of(const siginfo_t& info) noexcept {
  if (info.si_code == CLD_EXITED) return ExitStatus((info.si_status & 0xff) << 8);
  return ExitStatus(info.si_status | (info.si_code == CLD_DUMPED ? 0x80 : 0));
}

// Children that nobody waits for any more. The lock is held during a fork, so that it is free in
// the child, which has none of them.
constinit std::mutex detached_lock;  // guards:
std::vector<pid_t>& detached() {
  static auto* const all = new std::vector<pid_t>;
  return *all;
}
[[maybe_unused]] const int detached_at_fork =
    pthread_atfork([] { detached_lock.lock(); }, [] { detached_lock.unlock(); },
                   [] {
                     detached().clear();
                     detached_lock.unlock();
                   });

void note_detached(pid_t pid) {
  const std::lock_guard lock(detached_lock);
  detached().push_back(pid);
}

// Waits until a pidfd is readable; returns false if that takes too long. A virtual clock gives the
// process a while of the machine's time. If the kernel has pidfds that cannot be waited for (Linux
// 5.2), it is closed instead.
bool wait_for(Fd& pidfd, TimePoint deadline, const char* what) {
  const ExpectedEvent end;
  ForeignWait wait(Reactor::require(what), pidfd.get(), EPOLLIN, what);
  if (!wait.arm()) {
    pidfd = Fd();
    return true;
  }
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
  if (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG) == 0) {
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
  BackOff looks(kLook);
  while (!try_wait() && wait_once(deadline, looks, what)) {
  }
  return try_wait();
}

void Child::wait_for_end(TimePoint deadline, const char* what) {
  BackOff looks(kLook);
  while (!has_ended() && wait_once(deadline, looks, what)) {
  }
}

// Returns false if the time is over. It need not have ended otherwise.
bool Child::wait_once(TimePoint deadline, BackOff& looks, const char* what) {
  if (pidfd_.get() >= 0) return wait_for(pidfd_, deadline, what);
  if (now() >= deadline) return false;
  looks.wait();
  return true;
}

// Also if it was reaped, here or by others.
bool Child::has_ended() const noexcept {
  if (!is_running()) return true;
  siginfo_t info{};
  const int options = WEXITED | WNOHANG | WNOWAIT;
  return waitid(P_PID, static_cast<id_t>(pid_), &info, options) != 0 || info.si_pid != 0;
}

// Whether its number is still its own: nobody has reaped it. False in a forked child, too, to which
// it is no child.
bool Child::is_ours() const noexcept {
  siginfo_t info{};
  return is_running() &&
         waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

bool Child::kill(int signal) {
  if (!is_ours()) return false;
  if (leads_group_ && ::kill(-pid_, signal) == 0) return true;
  // It may have left its group.
  if (::kill(pid_, signal) == 0) return true;
  fail(errno, {"kill process ", decimal(pid_)});
}

void Child::end() noexcept {
  if (!is_ours()) return;
  if (leads_group_) ::kill(-pid_, SIGKILL);
  // Sent to itself as well: it may have left its group.
  if (::kill(pid_, SIGKILL) != 0) return detach();  // it has another user's rights
  reap();
}

void Child::reap() noexcept {
  if (!is_ours()) return;
  try {
    if (current_reactor && current_fiber()) shield([&] { wait_until(kForever, "~Process"); });
  } catch (const std::exception&) {  // no memory for the wait, or the status is lost
  }
  if (is_running()) reap_by_blocking(pid_);
  pid_ = 0;
}

void Child::detach() noexcept {
  if (!is_running()) return;
  const pid_t pid = std::exchange(pid_, 0);
  try {
    note_detached(pid);
    if (pidfd_.get() < 0 || !current_reactor || !current_fiber()) return;
    spawn([pidfd = std::move(pidfd_)]() mutable {
      wait_for(pidfd, kForever, "Process::detach");
      reap_detached();
    }).detach();
  } catch (const std::exception&) {  // no memory for it: a later start reaps it, or nothing does
  }
}

void reap_by_blocking(pid_t pid) noexcept {
  siginfo_t info{};
  while (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED) != 0 && errno == EINTR) {
  }
}

void reap_detached() noexcept {
  const std::lock_guard lock(detached_lock);
  std::erase_if(detached(), [](pid_t pid) {
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG) != 0 || info.si_pid != 0;
  });
}

}  // namespace weft::internal
