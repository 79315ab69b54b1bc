#ifndef WEFT_FIBER_CORE_SELECTION_H_
#define WEFT_FIBER_CORE_SELECTION_H_

#include <cstddef>
#include <span>

#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/time.h"

namespace weft::internal {

class Selection;

// One of the things that a select() waits for. A case has a waiter of its own, which it puts into
// the queue of what it waits for.
//
// Threads: the selecting one. Others see its waiter only.
class SelectCase {
 public:
  SelectCase(const SelectCase&) = delete;
  SelectCase& operator=(const SelectCase&) = delete;

  // Does it, if it can be done at once. Returns whether it is done. Does not wait.
  virtual bool attempt() = 0;

  // What select() enlists if it has to wait. A case of which little is needed before that is made
  // here, and hides this: an attempt does not pay for the rest.
  SelectCase& to_wait() noexcept { return *this; }

  // Begins to wait for it, by Selection::wait_in(). Returns false instead if attempt() is worth a
  // call.
  virtual bool enlist(Selection& selection) = 0;

  // To be called on the one that was chosen, when it runs. Returns false if what it was woken for
  // has been taken by another caller meanwhile.
  virtual bool finish() { return true; }

 protected:
  SelectCase() = default;
  ~SelectCase() = default;

 private:
  friend class Selection;

  Selection* selection_;  // these two are set by wait_in()
  Waiter* waiter_;
  WaitQueue* queue_ = nullptr;  // null: the waiter is in none; after it was chosen it may be gone
};

// A wait for the first of several cases.
//
// A Selection is a waiter in no queue; its cases have waiters in theirs. To claim one of these is
// to claim the selection, by one exchange, under the lock of that one's queue: so at most one of
// them is woken, and a waker that finds the selection taken goes on to the next in its queue. What
// is handed over by the claim belongs to the case that was chosen; the others have nothing, and are
// taken off their queues when the selection ends.
class Selection : private Waiter {
 public:
  // Throws Cancelled where that is due.
  Selection(const char* what, std::span<SelectCase* const> cases);
  // No case waits any more.
  ~Selection();

  // For enlist(): `waiter` waits for `its` in the queue, in front of `next` or at the end. It must
  // live until the wait of the selection is over.
  void wait_in(WaitQueue& queue, const WaitQueue::Lock& lock, SelectCase& its, Waiter& waiter,
               Waiter* next = nullptr) noexcept;

  // `late` is chosen when it is `deadline`, if that is the earliest one.
  void limit(TimePoint deadline, SelectCase& late) noexcept {
    if (deadline >= deadline_) return;
    deadline_ = deadline;
    late_ = &late;
  }

  // For its own thread, before wait(), which is then not to be called: no case is chosen any more.
  // Returns false if one has been.
  bool claim() noexcept;

  // Waits until a case is chosen. Throws Cancelled, and then none was. Once only.
  SelectCase& wait();

 private:
  static Waiter* choose(Waiter& waiter) noexcept;

  const std::span<SelectCase* const> cases_;
  WaitQueue none_;
  TimePoint deadline_ = kForever;
  SelectCase* late_ = nullptr;
  SelectCase* chosen_ = nullptr;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_SELECTION_H_
