#ifndef WEFT_FIBER_CORE_PROCESS_H_
#define WEFT_FIBER_CORE_PROCESS_H_

#include <atomic>

namespace weft::internal {

// How many forks lie between the program's first process and this one. Counted by a handler of
// pthread_atfork(), which fork() calls; vfork(), clone() and _Fork() do not.
extern constinit std::atomic<unsigned> forks_so_far;

// The process that an object was made in. fork() copies the object into a child, but no thread
// other than the one that forks. What the kernel keeps (an epoll instance, an eventfd) is shared by
// both: a child that changes it takes it away from its parent.
//
// Threads: any. Safe in a handler for signals. Costs a load and a comparison.
class HomeProcess {
 public:
  // The calling process.
  HomeProcess() noexcept : forks_(current()) {}

  // False in a child that was forked since.
  bool is_this() const noexcept { return forks_ == current(); }

 private:
  // Relaxed: it only changes where there is one thread.
  static unsigned current() noexcept { return forks_so_far.load(std::memory_order_relaxed); }

  unsigned forks_;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_PROCESS_H_
