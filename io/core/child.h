#ifndef WEFT_IO_CORE_CHILD_H_
#define WEFT_IO_CORE_CHILD_H_

#include <sys/types.h>

#include <optional>

#include "weft/fiber/time.h"
#include "weft/io/core/back_off.h"
#include "weft/io/core/socket.h"
#include "weft/io/exit_status.h"

namespace weft::internal {

// A child process, which its owner ends and reaps.
//
// A wait is for the pidfd, a descriptor that is readable once the process has ended: nothing here
// handles SIGCHLD, or sees another child. A kernel before Linux 5.3 has none that can be waited
// for: there a wait looks every 5 ms.
//
// Threads: fibers of one scheduler.
class Child {
 public:
  // None.
  Child() = default;
  // `pidfd` may be empty. `leads_group`: signals go to all processes of its process group.
  Child(pid_t pid, Fd pidfd, bool leads_group) noexcept
      : pid_(pid), pidfd_(std::move(pidfd)), leads_group_(leads_group) {}
  // One that was forked just now.
  explicit Child(pid_t pid) noexcept;
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  ~Child() { end(); }

  // The number of the process; 0 without one.
  pid_t pid() const noexcept { return pid_; }

  // True from the start until its end was seen by a function of this.
  bool is_running() const noexcept { return pid_ != 0 && !status_ && !lost_; }

  // How it has ended; nullopt if it has not. Does not wait. Throws std::system_error
  // (no_child_process) if its status is lost: another part of the program has reaped it, or SIGCHLD
  // is ignored; from Linux 6.15 on the kernel knows it even then.
  std::optional<ExitStatus> try_wait();

  // The same, but waits until then. A cancellation point. `what` names the call.
  std::optional<ExitStatus> wait_until(TimePoint deadline, const char* what);

  // Waits until it has ended, or until then, and leaves it to be reaped: until then the number of
  // its group is still its own.
  void wait_for_end(TimePoint deadline, const char* what);

  // Sends a signal. Returns false if it was reaped already, here or by others. Throws
  // std::system_error.
  bool kill(int signal);

  // Kills it and reaps it, if it runs. Waits for that, in a fiber without holding up others. A
  // process that may not be killed, because it runs as another user, is detached.
  void end() noexcept;
  // The same, but waits for it to end by itself.
  void reap() noexcept;

  // Lets it run. A fiber reaps it when it ends; after the end of the runtime, and without a pidfd,
  // the next call of reap_detached() does.
  void detach() noexcept;

 private:
  int poll_status() noexcept;
  bool wait_once(TimePoint deadline, BackOff& looks, const char* what);
  bool is_ours() const noexcept;
  bool has_ended() const noexcept;

  pid_t pid_ = 0;
  Fd pidfd_;
  bool leads_group_ = false;
  bool lost_ = false;  // its status
  std::optional<ExitStatus> status_;
};

// Waits until a child has ended, and reaps it. Blocks the thread.
void reap_by_blocking(pid_t pid) noexcept;

// Reaps children that were detached and have ended meanwhile, if no fiber waits for them. Does not
// wait. Any thread.
void reap_detached() noexcept;

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_CHILD_H_
