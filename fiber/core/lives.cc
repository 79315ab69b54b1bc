#include "weft/fiber/core/lives.h"

#include <atomic>
#include <utility>

#include "weft/fiber/core/cancel_scope.h"
#include "weft/fiber/core/error.h"
#include "weft/fiber/core/local_table.h"
#include "weft/fiber/core/wait_queue.h"

namespace weft::internal {
namespace {

// Numbers are taken from the process in runs, so that a spawn costs no atomic operation.
constexpr std::uint64_t kIdRun = 1 << 16;
std::atomic<std::uint64_t> ids_taken{0};

}  // namespace

Lives::Lives(Port& port, const Settings& settings)
    : Home(port, settings.counted, settings.seed, settings.time_stamp),
      fibers_(*this, &Lives::entry, settings.stack_size, settings.guards),
      spare_(&fibers_.take(0)) {}

// ---- Spawning -----------------------------------------------------------------------------------

Fiber& reserve(const SpawnOptions& options, Layout) {
  Lives* const here = Lives::here();
  auto* const there = static_cast<Lives*>(options.on);
  if (there && there != here) [[unlikely]] {
    there->require_this_process();
    Fiber& visitor = there->fibers_.take_elsewhere(options.stack_size);
    // Relaxed: only the number matters.
    visitor.id = ids_taken.fetch_add(1, std::memory_order_relaxed) + 1;
    visitor.set_name(options.name);
    return visitor;
  }
  if (!here) [[unlikely]] {
    throw_logic_error(
        "weft::spawn needs a scheduler; call it inside weft::run, or name one in SpawnOptions::on");
  }
  Fiber& fiber = here->fibers_.take(options.stack_size);
  fiber.id = here->take_id();
  fiber.set_name(options.name);
  return fiber;
}

void Lives::take_ids() noexcept {
  // Relaxed: only the number matters.
  next_id_ = ids_taken.fetch_add(kIdRun, std::memory_order_relaxed);
  last_id_ = next_id_ + kIdRun;
}

[[gnu::always_inline]] inline void Lives::start_now(Fiber& fiber, bool eager) noexcept {
  begin(fiber);
  if (eager && running.fiber) {
    run_eagerly(fiber);
  } else {
    ready_.push_back(fiber);
  }
}

void start(Fiber& fiber, const SpawnOptions& options) noexcept {
  if (const Fiber* parent = current_fiber()) {
    fiber.locals = LocalTable::share(parent->locals);
  } else {
    fiber.locals = LocalTable::inherit();
  }
  if (Lives& home = Lives::of(fiber); &home == running.untraced) {
    home.start_now(fiber, options.eager);
  } else {
    Lives::start_slowly(fiber, options.eager);
  }
}

void Lives::start_slowly(Fiber& fiber, bool eager) noexcept {
  Lives* const here = Lives::here();
  if (here == &of(fiber)) {
    if (!eager) here->record_wake(fiber);
    return here->start_now(fiber, eager);
  }
  if (running.tracer && running.fiber) fiber.woken_by = running.fiber->id;
  const bool on_its_way_out = here && here->closing_ && here->ends_with(of(fiber));
  fiber.request(on_its_way_out ? Fiber::kStart : Fiber::kStartForeign);
}

void Lives::start_here(Fiber& fiber, bool in_front) noexcept {
  record_wake(fiber);
  begin(fiber);
  if (in_front) {
    ready_.push_front(fiber);
  } else {
    ready_.push_back(fiber);
  }
}

// From now on the fiber counts. The caller makes it ready.
void Lives::begin(Fiber& fiber) noexcept {
  fiber.live = true;
  ++live_;
  if (!closing_ || fiber.group) return;
  // Nobody else would cancel it. Relaxed: if another thread drops the handle from now on, the fiber
  // learns of it at its end.
  if (fiber.handle.load(std::memory_order_relaxed) != Ownership::kHeld) fiber.cancel();
}

// The parent goes on before all others once the child waits or ends. A descent of eager starts
// comes to no other switch than these, so they count.
void Lives::run_eagerly(Fiber& child) noexcept {
  Fiber* first = &child;
  if (turn_.count() && ends_turn(child)) [[unlikely]] {
    eager_ = &child;
    first = &loop_;
  }
  ready_.push_front(*running.fiber);
  hand_over(*running.fiber, *first, false);
}

// Makes the block as new, and its stack free.
[[gnu::always_inline]] inline void Lives::make_free(Fiber& fiber) noexcept {
  if (fiber.exception) fiber.exception = nullptr;
  fiber.ending = Ending::kNone;
  fiber.group = nullptr;
  fiber.ended = nullptr;
  // Relaxed, as reset() below: nobody else has a reference.
  fiber.handle.store(Ownership::kHeld, std::memory_order_relaxed);
  fiber.completion.reset();
  fibers_.put(fiber);
}

void Lives::free_spare() noexcept {
  if (spare_) make_free(*std::exchange(spare_, nullptr));
}

void unreserve(Fiber& fiber) noexcept { Lives::of(fiber).make_free(fiber); }

void discard(Fiber& fiber) noexcept {
  const ShieldScope unwatched;    // the caller may be cancelled; what is destroyed may wait
  fiber.cancel_requested = true;  // so that it does not begin
  fiber.work(fiber);
  drop_result(fiber);
  unreserve(fiber);
}

// ---- The life of a fiber ------------------------------------------------------------------------

void Lives::entry(void* argument) {
  Fiber& self = *static_cast<Fiber*>(argument);
  of(self).switch_.arrive();
  self.work(self);
  of(self).finish(self);
  hand_over(self, of(self).next(), true);
}

// Here wait all but those that yield: for what they suspended themselves for, for a fiber started
// eagerly to wait or end, and, having ended, for new work. So the returns that each arrives by pair
// with the calls that the one before left by, and are predicted: two returns mispredicted would
// cost as much as all the rest of a spawn.
[[gnu::noinline]] void RunQueue::hand_over(Fiber& self, Fiber& first, bool ended) noexcept {
  Fiber* to = &first;
  for (;;) {
    go(self, *to);
    if (!ended) return;
    self.work(self);
    Lives::of(self).finish(self);
    to = &of(self).next();
  }
}

// Runs on the fiber's own stack. When it returns, another fiber may have been given that stack.
void Lives::finish(Fiber& self) noexcept {
  // Relaxed: kGone was stored by this thread, or before the start. In all other cases the lock
  // below decides, and waits until a thread that drops the handle has left this block.
  bool unowned = self.handle.load(std::memory_order_relaxed) == Ownership::kGone;
  // A result without an owner goes first, then the locals: their destructors may wait, and may use
  // what the owner of a group keeps for its children. A failure that may be reported keeps its
  // locals for that.
  if (unowned) drop_result(self);
  if (self.locals) [[unlikely]] {
    if (self.ending != Ending::kException || self.ended) LocalTable::drop(self.locals);
  }
  if (self.locks_held != 0) [[unlikely]]
    self.fail_holding();
  if (self.ended) {
    self.ended(self);
  } else if (!unowned) {
    WaitQueue::Lock lock(self.completion.queue());
    self.completion.complete(
        lock, [&] { unowned = self.handle.load(std::memory_order_relaxed) != Ownership::kHeld; });
  }
  if (unowned) recycle(self);
  --live_;
}

void Lives::recycle(Fiber& fiber) noexcept {
  // First what may wait: here a fiber runs, and what is put off below is done by the loop.
  if (fiber.ending == Ending::kException) [[unlikely]] {
    // In the loop it could not wait.
    if (!running.fiber && here() == this) return report(fiber);
    report_here(fiber);
  }
  drop_result(fiber);
  if (fiber.locals) [[unlikely]]
    LocalTable::drop(fiber.locals);
  fiber.live = false;
  if (fiber.visitor && &fiber == running.fiber) [[unlikely]] {
    // Another thread would take the stack while this one still runs on it.
    fiber.request(Fiber::kRecycle);
    return;
  }
  // A request that is on its way, e.g. a cancellation that came too late, must find this fiber.
  // Relaxed: nobody else has a reference, so a word that reads 0 stays 0.
  if (fiber.requests.load(std::memory_order_relaxed) != 0) [[unlikely]] {
    if (fiber.requests.fetch_or(Fiber::kRecycle, std::memory_order_relaxed) != 0) return;
  }
  make_free(fiber);
}

// A fiber that has failed runs once more, for the exception handler, which may wait.
void Lives::run_again(Fiber& fiber) noexcept {
  fiber.work = [](Fiber& self) noexcept {
    self.end_work();
    self.ending = Ending::kTaken;
    of(self).handle_exception(self, std::exchange(self.exception, nullptr));
  };
  fiber.completion.reset();
  begin(fiber);
}

void Lives::report(Fiber& fiber) noexcept {
  // Relaxed: the handle was the last reference.
  fiber.handle.store(Ownership::kGone, std::memory_order_relaxed);
  run_again(fiber);
  record_wake(fiber);
  ready_.push_back(fiber);
}

// The same, but returns when the handler has.
void Lives::report_here(Fiber& fiber) noexcept {
  if (handler_ && running.fiber && &fiber != running.fiber && !Scope::unwinds(*running.fiber)) {
    run_again(fiber);
    run_eagerly(fiber);
    const ShieldScope unwatched;
    fiber.completion.wait(kForever, "the exception handler");
    return;
  }
  fiber.ending = Ending::kTaken;
  std::exception_ptr exception = std::exchange(fiber.exception, nullptr);
  if (running.fiber) {
    handle_exception_here(std::move(exception), &fiber);
  } else {  // after the last turn there are no fibers any more
    const BorrowedLocals borrowed(fiber.locals);
    handle_exception(fiber, std::move(exception));
  }
}

}  // namespace weft::internal
