#ifndef WEFT_IO_CORE_SHARED_FD_H_
#define WEFT_IO_CORE_SHARED_FD_H_

#include <span>

#include "weft/fiber/core/intrusive_list.h"
#include "weft/io/core/socket.h"

namespace weft::internal {

// A descriptor that belongs to every process forked from this one, too: a child that closes what is
// not its own must keep it. It is on a list of the process, which fork() copies.
//
// Threads: any. A child of a process with several threads finds the list in order.
class SharedFd : public ListNode<> {
 public:
  explicit SharedFd(Fd fd) noexcept;
  ~SharedFd();

  int get() const noexcept { return fd_.get(); }

 private:
  const Fd fd_;
};

// Closes each descriptor but 0, 1, 2, those of `others` and every SharedFd. An owner of what was
// closed that lives on in this process would close the number once more: REQUIRES that none does.
// REQUIRES: the process has one thread. Does not wait. One system call for each gap between the
// numbers kept; before Linux 5.9 one for each descriptor.
void close_all_but_shared(std::span<const int> others) noexcept;

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_SHARED_FD_H_
