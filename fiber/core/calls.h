#ifndef WEFT_FIBER_CORE_CALLS_H_
#define WEFT_FIBER_CORE_CALLS_H_

#include <optional>
#include <vector>

#include "weft/fiber/core/call.h"
#include "weft/fiber/core/intrusive_list.h"
#include "weft/fiber/core/lives.h"
#include "weft/fiber/time.h"

namespace weft::internal {

// The calls of a scheduler: how they come to it, and how it runs them. See README.md, "Calls".
class Calls : public Lives {
 public:
  static Calls* here() noexcept { return static_cast<Calls*>(running.scheduler); }
  static Calls& of(const PendingCall& call) noexcept {
    return static_cast<Calls&>(call.scheduler());
  }

  // The call's turn comes after those that came before. If another call makes it due, it starts as
  // soon as that one ends or waits.
  void launch(Call& call) noexcept;

  // `call` waits for a time, or until something delivers it.
  void add(PendingCall& call, TimePoint time) noexcept;
  void add(PendingCall& call) noexcept { waiting_.push_back(call); }
  // Its time has come.
  void arrive(PendingCall& call) noexcept;
  // It does not run after all.
  void forget(PendingCall& call) noexcept;

  // Lives::started(), but for a fiber that is to run calls and has none yet.
  std::vector<Fiber*> started();
  bool is_idle_runner(const Fiber& fiber) const noexcept { return &fiber == runner_; }

  // Fibers that have begun and not ended, but for that one.
  std::size_t tasks() const noexcept { return fibers() - (runner_ != nullptr); }

 protected:
  using Lives::Lives;

  bool any_calls() const noexcept { return !waiting_.empty() || !due_.empty(); }
  // They may wait: what callables own may when it is destroyed.
  void drop_calls() noexcept;

  // For the loop, at each turn: others have their turn before calls, if `others_first`. If calls
  // are due, and there was no stack for a runner, tries again.
  void look_at_calls(bool others_first) noexcept;
  // Whether calls wait for a stack.
  bool calls_lack_stack() const noexcept { return !due_.empty(); }

 private:
  friend struct DebuggerLayout;

  // After this many calls in a row fibers that are ready have their turn.
  static constexpr int kMostInARow = 64;

  void start_runner(bool in_front) noexcept;
  static void run_calls(Fiber& runner) noexcept;
  void run_call(Fiber& self, Call& call) noexcept;
  void rest_between_calls(Fiber& self, bool turn_over) noexcept;

  IntrusiveList<PendingCall, PendingCall> waiting_;   // for a time or a future
  IntrusiveQueue<InboxNode, &InboxNode::next_> due_;  // Calls whose turn it is, in order
  // The runner that is on the ready queue and has no call yet. It may find that nothing is due any
  // more. Null while calls are due: a running runner is about to take them, or no stack was left.
  Fiber* runner_ = nullptr;
  bool runner_in_front_ = false;    // when it was made ready: before all other fibers
  int in_a_row_ = 0;                // calls that began since others had their turn
  bool shortage_reported_ = false;  // on stderr
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_CALLS_H_
