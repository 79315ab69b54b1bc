#ifndef WEFT_SYNC_CORE_JOB_H_
#define WEFT_SYNC_CORE_JOB_H_

#include "weft/fiber/core/intrusive_list.h"
#include "weft/fiber/core/local_table.h"

namespace weft {
class ThreadPool;
}

namespace weft::internal {

// Something for a ThreadPool to do, in the memory of the caller that wants it done. It has the
// locals of the fiber that made it.
class Job : public ListNode<> {
 public:
  // `run` runs on a thread of the pool. The job may be gone afterwards.
  explicit Job(void (*run)(Job&) noexcept) noexcept : run_(run), locals_(LocalTable::inherit()) {}

 protected:
  ~Job() { LocalTable::drop(locals_); }

  // Calls f() with the job's locals, and gives them up.
  template <class F>
  void with_locals(F f) noexcept {
    const BorrowedLocals borrowed(locals_);
    f();
    LocalTable::drop(locals_);
  }

 private:
  friend weft::ThreadPool;

  void (*run_)(Job&) noexcept;
  LocalTable* locals_;
};

}  // namespace weft::internal

#endif  // WEFT_SYNC_CORE_JOB_H_
