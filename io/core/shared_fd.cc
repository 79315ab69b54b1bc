#include "weft/io/core/shared_fd.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <mutex>
#include <utility>

namespace weft::internal {
namespace {

constinit std::mutex lock;  // guards:
constinit IntrusiveList<SharedFd> shared_fds;

// fork() waits until no other thread holds the lock, which would not be released in the child.
[[maybe_unused]] const int shared_fd_at_fork =
    pthread_atfork([] { lock.lock(); }, [] { lock.unlock(); }, [] { lock.unlock(); });

// The least number that is kept, from `first` on; INT_MAX if there is none.
int least_kept(int first, std::span<const int> others) noexcept {
  int least = INT_MAX;
  const auto look_at = [&](int fd) {
    if (fd >= first) least = std::min(least, fd);
  };
  for (const int fd : others) look_at(fd);
  for (const SharedFd* shared = shared_fds.front(); shared; shared = shared_fds.next(*shared)) {
    look_at(shared->get());
  }
  return least;
}

// For kernels without close_range().
void close_one_by_one(int first, int last) noexcept {
  DIR* const open = opendir("/proc/self/fd");
  if (!open) return;
  while (const dirent* entry = readdir(open)) {
    const int fd = std::atoi(entry->d_name);  // "." and ".." are 0
    if (fd >= first && fd <= last && fd != dirfd(open)) close(fd);
  }
  closedir(open);
}

void close_from_to(int first, int last) noexcept {
  if (first > last) return;
  if (syscall(SYS_close_range, first, last, 0) != 0) close_one_by_one(first, last);
  Socket::disown(first, last);
}

}  // namespace

SharedFd::SharedFd(Fd fd) noexcept : fd_(std::move(fd)) {
  const std::lock_guard held(lock);
  shared_fds.push_back(*this);
}

SharedFd::~SharedFd() {
  const std::lock_guard held(lock);
  shared_fds.erase(*this);
}

void close_all_but_shared(std::span<const int> others) noexcept {
  for (int first = STDERR_FILENO + 1;;) {
    const int kept = least_kept(first, others);
    close_from_to(first, kept - 1);
    if (kept == INT_MAX) return;
    first = kept + 1;
  }
}

}  // namespace weft::internal
