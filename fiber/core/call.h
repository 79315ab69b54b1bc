#ifndef WEFT_FIBER_CORE_CALL_H_
#define WEFT_FIBER_CORE_CALL_H_

#include <functional>
#include <optional>
#include <utility>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/inbox.h"
#include "weft/fiber/core/intrusive_list.h"
#include "weft/fiber/core/timer_queue.h"

namespace weft {
class Handle;
class Scheduler;
}  // namespace weft

namespace weft::internal {

class LocalTable;

// A callable that becomes a fiber of its scheduler when its turn comes. Until then it waits in the
// inbox, and on the scheduler's queue of calls, and takes no more than its own memory on the heap.
class Call : public InboxNode {
 public:
  // Runs the callable, unless it was taken back.
  virtual void run() = 0;

  // It has ended, or will never begin: destroys the callable, and maybe itself. May wait.
  virtual void drop() noexcept = 0;

 protected:
  // `arrive` is called by the inbox.
  explicit Call(Run arrive) noexcept;
  virtual ~Call() { drop_locals(); }

  // May wait.
  void drop_locals() noexcept;

 private:
  friend class Calls;

  LocalTable* locals_;  // what the call starts with
};

// A call that nobody keeps: that of Scheduler::post(), as small as can be.
class Post : public Call {
 public:
  Post() noexcept;
  void drop() noexcept final { delete this; }
};

template <class F>
class PostOf final : public Post {
 public:
  template <class G>
  explicit PostOf(G&& f) : f_(std::forward<G>(f)) {}
  void run() override { std::invoke(f_); }

 private:
  F f_;
};

// A call that may wait for a time or a future, and be taken back. Made with one reference, the
// scheduler's. Its members belong to the scheduler's thread, the reference count to any.
class PendingCall : public Call, public Timer, public ListNode<PendingCall> {
 public:
  explicit PendingCall(Scheduler& scheduler) noexcept;

  Scheduler& scheduler() const noexcept { return scheduler_; }
  bool over() const noexcept { return over_; }  // it has begun, or never will

  void run() final {
    if (!std::exchange(over_, true)) invoke();
  }
  void drop() noexcept final;

  // Leaves what it watches, because it shall not run after all. Returns false if it is on its way
  // to the scheduler already, and so must not be freed yet.
  virtual bool forget() noexcept { return true; }

  void ref() noexcept {
    // Relaxed: a reference is copied by one that has it.
    references_.fetch_add(1, std::memory_order_relaxed);
  }
  void unref() noexcept {
    // Release: what this owner did comes before the destruction. Acquire: the last one sees it.
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 protected:
  virtual void invoke() = 0;

  // Destroys the callable, if it is still there: a handle may stay for long. May wait.
  virtual void discard() noexcept = 0;

 private:
  friend class Calls;

  // All but the memory goes.
  void clear() noexcept;

  Scheduler& scheduler_;
  Atomic<int> references_{1};
  bool over_ = false;
};

template <class F>
class CallOf final : public PendingCall {
 public:
  template <class G>
  CallOf(Scheduler& scheduler, G&& f) : PendingCall(scheduler), f_(std::forward<G>(f)) {}

 private:
  void invoke() override { std::invoke(*f_); }
  void discard() noexcept override { f_.reset(); }

  std::optional<F> f_;
};

// What Scheduler::post() and its kin do. They take over the call. Where they throw, it is dropped.
void post(Scheduler& scheduler, Call& call);
Handle schedule(PendingCall& call, std::optional<TimePoint> time);

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_CALL_H_
