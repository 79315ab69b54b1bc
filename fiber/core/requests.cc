// What other threads ask of a fiber, and how its home thread answers. Declared in fiber.h and
// lives.h.

#include <utility>

#include "weft/fiber/core/cancel_scope.h"
#include "weft/fiber/core/lives.h"
#include "weft/fiber/core/local_table.h"
#include "weft/fiber/core/wait_queue.h"

namespace weft::internal {

// ---- Asking -------------------------------------------------------------------------------------

Fiber::Fiber() noexcept
    : InboxNode([](InboxNode& node, Calls*) noexcept {
        auto& self = static_cast<Fiber&>(node);
        Lives::of(self).serve(self);
      }) {}

void Fiber::request(Request what) noexcept {
  // Release: the home thread sees what came before the request. Acquire: ordered after the home
  // thread's last look, so that the node is out of the inbox when the word was 0.
  if (requests.fetch_or(what, std::memory_order_acq_rel) == 0) Home::of(*this).deliver(*this);
}

void Fiber::cancel() noexcept {
  // Relaxed: on the home thread it does not change, and elsewhere the lock below orders it.
  const RunQueue* const here = RunQueue::here();
  if (here && home.load(std::memory_order_relaxed) == here) {
    if (!work) return;
    cancel_requested = true;
    Scope::update(*this);
  } else {
    // Under the lock the fiber cannot end, and so its scheduler stays.
    const WaitQueue::Lock lock(completion.queue());
    if (!done()) request(kCancel);
  }
}

void release(Fiber& fiber) noexcept {
  Lives* const here = Lives::here();
  // Relaxed: on the home thread it does not change.
  if (!here || fiber.home.load(std::memory_order_relaxed) != here) {
    Lives::release_elsewhere(fiber);
  } else if (fiber.done()) {
    here->recycle(fiber);
  } else {
    // Relaxed: it ends on this thread.
    fiber.handle.store(Ownership::kGone, std::memory_order_relaxed);
    if (here->closing_) fiber.cancel();
  }
}

void Lives::release_elsewhere(Fiber& fiber) noexcept {
  const Lives* const here = Lives::here();
  {
    const WaitQueue::Lock lock(fiber.completion.queue());
    if (!fiber.done()) {
      // Relaxed: the lock orders it with the end of the fiber.
      fiber.handle.store(Ownership::kDroppedElsewhere, std::memory_order_relaxed);
      // Where both come to the same end, nobody else would cancel it. Under the lock it cannot end,
      // and so its scheduler stays.
      if (here && here->closing_ && here->ends_with(of(fiber))) fiber.request(Fiber::kCancel);
      return;
    }
  }
  // Here, not in the loop over there, which can neither wait nor report a failure to the caller.
  drop_result(fiber);
  if (const Fiber* const self = current_fiber();
      fiber.ending == Ending::kException && self && Scope::unwinds(*self)) {
    fiber.ending = Ending::kTaken;
    handle_exception_here(std::exchange(fiber.exception, nullptr));
  }
  if (fiber.ending != Ending::kException) LocalTable::drop(fiber.locals);
  Orphanage* orphans = nullptr;
  {
    const WaitQueue::Lock lock(fiber.completion.queue());
    if (fiber.home.load(std::memory_order_relaxed)) {  // relaxed: the lock orders it
      // Until the lock is released the scheduler stays: serve() and orphan() take it.
      fiber.request(Fiber::kRecycle);
    } else {
      orphans = fiber.orphanage;
    }
  }
  if (orphans) orphans->bury(fiber);
}

// ---- Answering ----------------------------------------------------------------------------------

void Lives::serve(Fiber& fiber) noexcept {
  // Acquire: sees what came before the requests. Release: a later push finds the node free.
  const std::uint32_t what = fiber.requests.exchange(0, std::memory_order_acq_rel);
  if (what & Fiber::kCancel) fiber.cancel();
  if (what & Fiber::kInterrupt) Scope::update(fiber);
  if (what & Fiber::kStart) {
    if (here() == this) {
      start_here(fiber);
      // Started before the end, or by a thread that does not end with this scheduler: it may have
      // no owner that is cancelled.
      if (closing_ && what & Fiber::kForeign) fiber.cancel();
    } else {
      // After the last turn: it ends without having begun.
      begin(fiber);
      fiber.cancel_requested = true;
      fiber.work(fiber);
      finish(fiber);
    }
  }
  if (what & Fiber::kWake) make_ready(fiber);
  if (what & (Fiber::kStart | Fiber::kWake)) fiber.woken_by = 0;
  if (what & Fiber::kRecycle) {
    // The thread that asks for it holds this lock, and must have left the block first.
    { const WaitQueue::Lock lock(fiber.completion.queue()); }
    recycle(fiber);
  }
}

}  // namespace weft::internal
