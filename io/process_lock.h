#ifndef WEFT_IO_PROCESS_LOCK_H_
#define WEFT_IO_PROCESS_LOCK_H_

#include <memory>

#include "weft/fiber/time.h"
#include "weft/sync/mutex.h"

namespace weft {

// Mutual exclusion among processes that were forked from one another after the lock was made, and
// among the fibers and threads of each. Works with std::lock_guard, std::unique_lock and
// std::scoped_lock.
//
//   weft::ProcessLock lock;  // before the fork; a global, for a job of a pool has no locals
//   weft::ProcessPool pool;
//   ...
//   const std::lock_guard held(lock);  // in any of the processes
//   if (lock.abandoned()) repair(file);
//
// When a process dies, by whatever signal, its lock is released. What it has left half-done is for
// the next holder to repair, which abandoned() reports.
//
// Within a process it is a Mutex: fair, owned by the fiber or thread that locked it, and not
// recursive. There is no order among processes. The holder may wait, but not fork: the child would
// find the lock taken by a fiber that it does not have. Nor may it run another program (exec) in
// its own place: others would not learn that the lock is free.
//
// Threads: fibers of any scheduler inside weft::run(), and plain threads, which block, at once.
// Memory: what was done before unlock() is seen after the next lock(), also in memory that the
// processes share.
// Lifetime: each process destroys its own copy, or ends. Destroying it while the caller holds it
// counts as unlocking.
// Cost: four system calls for lock() and unlock(), if there are no waiters. Two descriptors.
class ProcessLock {
 public:
  // Throws std::system_error, e.g. out of descriptors.
  ProcessLock();
  ~ProcessLock();
  ProcessLock(const ProcessLock&) = delete;
  ProcessLock& operator=(const ProcessLock&) = delete;

  // Waits until the caller has it. A cancellation point if it has to wait. Throws
  // std::system_error if the system has no more locks, and std::logic_error if a fiber outside
  // weft::run() has to wait. REQUIRES: the caller does not hold it already, or the program ends
  // with a sentence.
  void lock();

  // Takes it if it is free. Does not wait. Throws as lock().
  bool try_lock();

  // Wait at most until then. Return whether the caller has it. A negative duration counts as zero.
  // Cancellation points if they have to wait. Throw, and REQUIRES: as lock().
  bool try_lock_for(AnyDuration time) { return try_lock_until(internal::deadline_within(time)); }
  bool try_lock_until(AnyTimePoint deadline);

  // Does not wait. Throws std::logic_error, and does nothing, if the caller does not hold it.
  void unlock();

  // True if the process that held it before died meanwhile. For the holder.
  bool abandoned() const noexcept { return abandoned_; }

 private:
  struct Shared;

  bool take(TimePoint deadline);
  bool take_if_free();
  bool await_holder(TimePoint deadline);
  int holder() const;

  Mutex turn_;  // of the fibers and threads of this process
  bool abandoned_ = false;
  std::unique_ptr<Shared> shared_;
};

}  // namespace weft

#endif  // WEFT_IO_PROCESS_LOCK_H_
