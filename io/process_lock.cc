#include "weft/io/process_lock.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <mutex>

#include "weft/fiber/core/error.h"
#include "weft/io/core/await_ready.h"
#include "weft/io/core/back_off.h"
#include "weft/io/core/error.h"
#include "weft/io/core/shared_fd.h"
#include "weft/io/core/socket.h"

namespace weft {

using internal::BackOff;
using internal::checked;
using internal::Fd;
using internal::SharedFd;

struct ProcessLock::Shared {
  // With the kernel's record lock: one process has it, a fork does not inherit it, and it ends with
  // its process.
  SharedFd file{Fd(checked(memfd_create("weft::ProcessLock", MFD_CLOEXEC), {"memfd_create"}))};
  // Readable exactly while the lock is free, or is about to be, for others to wait for. Not if its
  // holder has died.
  SharedFd free{Fd(checked(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK), {"eventfd"}))};
};

namespace {

constexpr std::chrono::microseconds kMoment(100);
constexpr std::chrono::milliseconds kLook(5);

// Of the whole file.
int record_lock(const SharedFd& file, int call, struct flock& lock) noexcept {
  lock.l_whence = SEEK_SET;
  return fcntl(file.get(), call, &lock);
}

}  // namespace

ProcessLock::ProcessLock() {
  internal::fill_standard_descriptors();
  shared_ = std::make_unique<Shared>();
}

ProcessLock::~ProcessLock() {
  if (turn_.is_held()) unlock();
}

void ProcessLock::lock() {
  turn_.lock();
  take(kForever);
}

bool ProcessLock::try_lock() { return turn_.try_lock() && take(kPast); }

bool ProcessLock::try_lock_until(AnyTimePoint deadline) {
  return turn_.try_lock_until(deadline) && take(deadline);
}

// First the event, then the lock: the other way round another process may have the lock by then,
// and the event would say that it is free.
void ProcessLock::unlock() {
  if (!turn_.is_held()) {
    internal::throw_logic_error("weft::ProcessLock::unlock: the caller does not hold it");
  }
  eventfd_write(shared_->free.get(), 1);
  struct flock none {};
  none.l_type = F_UNLCK;
  record_lock(shared_->file, F_SETLK, none);
  turn_.unlock();
}

// For the caller whose turn it is. Gives that back if it fails.
bool ProcessLock::take(TimePoint deadline) {
  std::unique_lock turn(turn_, std::adopt_lock);
  BackOff moments(kMoment);
  for (bool woken = false; !take_if_free();) {
    if (now() >= deadline) return false;
    // Woken in vain: the holder has announced it and is about to unlock, or another was faster.
    if (woken) moments.wait();
    woken = await_holder(deadline);
  }
  turn.release();
  return true;
}

bool ProcessLock::take_if_free() {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  if (record_lock(shared_->file, F_SETLK, whole) != 0) {
    if (errno != EAGAIN && errno != EACCES) internal::fail(errno, {"fcntl of a ProcessLock"});
    return false;
  }
  eventfd_t announced;
  abandoned_ = eventfd_read(shared_->free.get(), &announced) != 0;
  return true;
}

// Waits until the holder unlocks or dies, or it is `deadline`. Returns true if it was woken.
bool ProcessLock::await_holder(TimePoint deadline) {
  const int process = holder();
  if (process == 0) return false;
  const Fd fd(static_cast<int>(syscall(SYS_pidfd_open, process, 0)));
  if (fd.get() < 0) {
    // The kernel has none (before Linux 5.3), or the process is out of descriptors.
    BackOff(kLook).wait();
    return false;
  }
  // Otherwise the number may have gone to another process before it was opened.
  return holder() == process && internal::await_ready(shared_->free.get(), Events::kRead, fd.get(),
                                                      deadline, "ProcessLock::lock");
}

// The process that has the lock, or 0; -1 if it is in another namespace.
int ProcessLock::holder() const {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  checked(record_lock(shared_->file, F_GETLK, whole), {"fcntl of a ProcessLock"});
  return whole.l_type == F_UNLCK ? 0 : whole.l_pid != 0 ? whole.l_pid : -1;
}

}  // namespace weft
