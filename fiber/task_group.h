#ifndef WEFT_FIBER_TASK_GROUP_H_
#define WEFT_FIBER_TASK_GROUP_H_

#include <exception>
#include <utility>

#include "weft/fiber/intrusive_list.h"
#include "weft/fiber/task.h"
#include "weft/fiber/wait_queue.h"

namespace weft {

// Tasks that belong together. None of them outlives the group, and the first failure cancels the
// rest. A child's stack is used again as soon as the child has ended, so a group may start any
// number of tasks in its life.
//
// Threads: spawn() and cancel() from any fiber, the children too; join() from one fiber or plain
// thread that is no child.
class TaskGroup {
 public:
  TaskGroup() = default;
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Cancels the children and waits until all have ended, itself not to be cancelled. A failure that
  // no join() has thrown goes to the exception handler. A child may not destroy its own group: that
  // ends the program with a sentence.
  ~TaskGroup();

  // Starts f as a child; what it returns is dropped. Does not wait. Throws as weft::spawn does.
  template <class F>
  void spawn(F&& f, SpawnOptions options = {}) {
    checked_callable(f, "TaskGroup::spawn");
    add(reserve_with(std::forward<F>(f), options), options);
  }

  // Waits until all children have ended, those included that start meanwhile. Then throws the first
  // exception that left a child, if any: once. Later ones, mostly consequences of the first, are
  // dropped; that a child was cancelled is no failure. A cancellation point, unless there are none;
  // when cancelled it leaves the children to the destructor. The group can be used again
  // afterwards. Throws std::logic_error in a child of this group, which would wait for itself.
  void join();

  // Cancels the children: those that there are, and until the next join() those that come.
  void cancel() noexcept;

 private:
  void add(Fiber& fiber, const SpawnOptions& options) noexcept;
  static void ended(Fiber& fiber) noexcept;

  void cancel_children() noexcept;
  std::exception_ptr wait_for_children();

  // Its lock guards the members below. Waiting in it: whoever joins.
  WaitQueue joiners_;
  IntrusiveList<Fiber, TaskGroup> children_;
  std::exception_ptr failure_;
  bool cancelled_ = false;  // who joins the group now is cancelled too
};

}  // namespace weft

#endif  // WEFT_FIBER_TASK_GROUP_H_
