#include "weft/fiber/scheduler.h"

#include <atomic>

#include "weft/fiber/core/cancel_scope.h"
#include "weft/fiber/core/local_table.h"
#include "weft/fiber/core/scheduler_switch.h"
#include "weft/fiber/core/wait_queue.h"

namespace weft {
namespace {

// Numbers are taken from the process in runs, so that a spawn costs no atomic operation.
constexpr std::uint64_t kIdRun = 1 << 16;
std::atomic<std::uint64_t> ids_taken{0};

// May wait: the destructor of the result may.
inline void drop_result(Fiber& fiber) noexcept {
  if (fiber.drop) std::exchange(fiber.drop, nullptr)(fiber);
}

}  // namespace

// ---- Construction -------------------------------------------------------------------------------

Scheduler::Scheduler(Port& port, Options options)
    : turn_(port, kExplored || options.shuffle_seed || port.is_virtual(), options.time_stamp),
      port_(port),
      options_(options),
      fibers_(*this, &Scheduler::enter, options.stack_size, options.guards),
      spare_(&fibers_.take(0)),
      random_(options.shuffle_seed.value_or(0)) {
  explain_terminate();
}

Scheduler::~Scheduler() {
  inbox_.drain();
  free_spare();
  fibers_.orphan(handler_, inbox_);
  settle();
}

Scheduler& Scheduler::current() {
  if (!current_scheduler) {
    throw_logic_error("weft::Scheduler::current: no scheduler here; call it inside weft::run");
  }
  return *current_scheduler;
}

Fiber& Scheduler::require_fiber(const char* caller) {
  Fiber* fiber = current_fiber();
  if (!fiber) {
    throw_logic_error(caller, " needs a fiber; call it inside weft::run");
  }
  return *fiber;
}

void Scheduler::require_this_process() const {
  if (!is_of_this_process()) {
    throw_logic_error("weft: the runtime was made before fork(); make one in the child");
  }
}

void Scheduler::set_exception_handler(ExceptionHandler handler) {
  handler_ = handler ? std::make_shared<const ExceptionHandler>(std::move(handler)) : nullptr;
}

void Scheduler::handle_exception(const Fiber& fiber, std::exception_ptr exception) noexcept {
  const auto handler = handler_;
  if (!handler) fail_unhandled(std::move(exception), &fiber);
  const ShieldScope unwatched;
  (*handler)(std::move(exception));
}

void Scheduler::handle_exception_here(std::exception_ptr exception, const Fiber* failed) noexcept {
  Scheduler* const here = current_scheduler;
  if (!here) {
    if (std::uncaught_exceptions() != 0) return print_further(std::move(exception), nullptr);
    fail_unhandled(std::move(exception), nullptr);
  }
  Fiber* const self = here->current_;
  if (!self) {
    here->handle_exception(here->loop_, std::move(exception));
  } else if (!CancelScope::unwinds(*self)) {
    here->handle_exception(failed ? *failed : *self, std::move(exception));
  } else if (self->work && !self->kept) {
    self->kept = std::move(exception);
    self->kept_in = CancelScope::owner_of_failures(*self);
    self->kept_while_cancelled = self->cancelled;
  } else {
    here->tell_of_further(failed ? *failed : *self, std::move(exception));
  }
}

void Scheduler::tell_of_further(const Fiber& fiber, std::exception_ptr exception) noexcept {
  if (handler_) {
    handle_exception(fiber, std::move(exception));
  } else {
    print_further(std::move(exception), &fiber);
  }
}

// ---- Spawning -----------------------------------------------------------------------------------

Fiber& Scheduler::reserve(const SpawnOptions& options, Layout) {
  Scheduler* const here = current_scheduler;
  if (options.on && options.on != here) [[unlikely]] {
    options.on->require_this_process();
    Fiber& visitor = options.on->fibers_.take_elsewhere(options.stack_size);
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

void Scheduler::take_ids() noexcept {
  // Relaxed: only the number matters.
  next_id_ = ids_taken.fetch_add(kIdRun, std::memory_order_relaxed);
  last_id_ = next_id_ + kIdRun;
}

void Scheduler::start(Fiber& fiber, const SpawnOptions& options) noexcept {
  if (const Fiber* parent = current_fiber()) {
    fiber.locals = LocalTable::share(parent->locals);
  } else {
    fiber.locals = LocalTable::inherit();
  }
  Scheduler& home = of(fiber);
  if (&home != current_scheduler) {
    const Scheduler* const here = current_scheduler;
    const bool on_its_way_out = here && here->closing_ && here->first_ == home.first_;
    fiber.request(on_its_way_out ? Fiber::kStart : Fiber::kStartForeign);
    return;
  }
  home.begin(fiber);
  if (options.eager && home.current_) {
    home.run_eagerly(fiber);
  } else {
    home.ready_.push_back(fiber);
  }
}

void Scheduler::start_here(Fiber& fiber, bool in_front) noexcept {
  begin(fiber);
  if (in_front) {
    ready_.push_front(fiber);
  } else {
    ready_.push_back(fiber);
  }
}

// From now on the fiber counts. The caller makes it ready.
inline void Scheduler::begin(Fiber& fiber) noexcept {
  fiber.live = true;
  ++live_;
  if (!closing_ || fiber.group) return;
  // Nobody else would cancel it. Relaxed: if another thread drops the handle from now on, the fiber
  // learns of it at its end.
  if (fiber.handle.load(std::memory_order_relaxed) != Ownership::kHeld) fiber.cancel();
}

// The parent goes on before all others once the child waits or ends. A descent of eager starts
// comes to no other switch than these, so they count.
void Scheduler::run_eagerly(Fiber& child) noexcept {
  Fiber* first = &child;
  if (turn_.count() && turn_.is_over()) [[unlikely]] {
    eager_ = &child;
    first = &loop_;
  }
  ready_.push_front(*current_);
  leave(*current_, *first, false);
}

// Makes the block as new, and its stack free.
[[gnu::always_inline]] inline void Scheduler::make_free(Fiber& fiber) noexcept {
  if (fiber.exception) fiber.exception = nullptr;
  fiber.ending = Ending::kNone;
  fiber.group = nullptr;
  fiber.ended = nullptr;
  // Relaxed, as reset() below: nobody else has a reference.
  fiber.handle.store(Ownership::kHeld, std::memory_order_relaxed);
  fiber.completion.reset();
  fibers_.put(fiber);
}

void Scheduler::free_spare() noexcept {
  if (spare_) make_free(*std::exchange(spare_, nullptr));
}

void Scheduler::unreserve(Fiber& fiber) noexcept { of(fiber).make_free(fiber); }

void Scheduler::discard(Fiber& fiber) noexcept {
  const ShieldScope unwatched;    // the caller may be cancelled; what is destroyed may wait
  fiber.cancel_requested = true;  // so that it does not begin
  fiber.work(fiber);
  drop_result(fiber);
  unreserve(fiber);
}

// ---- The life of a fiber ------------------------------------------------------------------------

void Scheduler::enter(void* argument) {
  Fiber& self = *static_cast<Fiber*>(argument);
  of(self).switch_.arrive();
  self.work(self);
  of(self).finish(self);
  leave(self, of(self).next(), true);
}

// Here wait all but those that yield: for what they suspended themselves for, for a fiber started
// eagerly to wait or end, and, having ended, for new work. So the returns that each arrives by pair
// with the calls that the one before left by, and are predicted: two returns mispredicted would
// cost as much as all the rest of a spawn.
[[gnu::noinline]] void Scheduler::leave(Fiber& self, Fiber& first, bool ended) noexcept {
  Fiber* to = &first;
  for (;;) {
    of(self).go(self, *to);
    if (!ended) return;
    self.work(self);
    of(self).finish(self);
    to = &of(self).next();
  }
}

// Runs on the fiber's own stack, which somebody else may be given by the time it returns.
void Scheduler::finish(Fiber& self) noexcept {
  // Relaxed: kGone was stored by this thread, or before the start. In all other cases the lock
  // below decides, and waits for those who drop the handle elsewhere to be out of here.
  bool unowned = self.handle.load(std::memory_order_relaxed) == Ownership::kGone;
  // A result that nobody can take goes first, and the locals: their destructors may wait, and may
  // use what the owner of a group keeps for its children. A failure that may have to be reported
  // keeps its locals for that.
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

void Scheduler::recycle(Fiber& fiber) noexcept {
  // First what may wait: here a fiber runs, and what is put off below is done by the loop.
  if (fiber.ending == Ending::kException) [[unlikely]] {
    // In the loop it could not wait.
    if (!current_ && current_scheduler == this) return report(fiber);
    report_here(fiber);
  }
  drop_result(fiber);
  if (fiber.locals) [[unlikely]]
    LocalTable::drop(fiber.locals);
  fiber.live = false;
  if (fiber.visitor && &fiber == current_) [[unlikely]] {
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
void Scheduler::run_again(Fiber& fiber) noexcept {
  fiber.work = [](Fiber& self) noexcept {
    self.end_work();
    self.ending = Ending::kTaken;
    of(self).handle_exception(self, std::exchange(self.exception, nullptr));
  };
  fiber.completion.reset();
  begin(fiber);
}

void Scheduler::report(Fiber& fiber) noexcept {
  // Relaxed: the handle was the last reference.
  fiber.handle.store(Ownership::kGone, std::memory_order_relaxed);
  run_again(fiber);
  ready_.push_back(fiber);
}

// The same, but returns when the handler has.
void Scheduler::report_here(Fiber& fiber) noexcept {
  if (handler_ && current_ && &fiber != current_ && !CancelScope::unwinds(*current_)) {
    run_again(fiber);
    run_eagerly(fiber);
    const ShieldScope unwatched;
    fiber.completion.wait(kForever, "the exception handler");
    return;
  }
  fiber.ending = Ending::kTaken;
  std::exception_ptr exception = std::exchange(fiber.exception, nullptr);
  if (current_) {
    handle_exception_here(std::move(exception), &fiber);
  } else {  // after the last turn there are no fibers any more
    const BorrowedLocals borrowed(fiber.locals);
    handle_exception(fiber, std::move(exception));
  }
}

void Scheduler::release(Fiber& fiber) noexcept {
  Scheduler* const here = current_scheduler;
  // Relaxed: on the home thread it does not change.
  if (!here || fiber.home.load(std::memory_order_relaxed) != here) {
    release_elsewhere(fiber);
  } else if (fiber.done()) {
    here->recycle(fiber);
  } else {
    // Relaxed: it ends on this thread.
    fiber.handle.store(Ownership::kGone, std::memory_order_relaxed);
    if (here->closing_) fiber.cancel();
  }
}

void Scheduler::release_elsewhere(Fiber& fiber) noexcept {
  const Scheduler* const here = current_scheduler;
  {
    const WaitQueue::Lock lock(fiber.completion.queue());
    if (!fiber.done()) {
      // Relaxed: the lock orders it with the end of the fiber.
      fiber.handle.store(Ownership::kDroppedElsewhere, std::memory_order_relaxed);
      // Where both come to the same end, nobody else would cancel it. Under the lock it cannot end,
      // and so its scheduler stays.
      if (here && here->closing_ && here->first_ == of(fiber).first_) fiber.request(Fiber::kCancel);
      return;
    }
  }
  // Here, not in the loop over there, which can neither wait nor report a failure to the caller.
  drop_result(fiber);
  if (const Fiber* const self = current_fiber();
      fiber.ending == Ending::kException && self && CancelScope::unwinds(*self)) {
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

void Scheduler::serve(Fiber& fiber) noexcept {
  // Acquire: sees what came before the requests. Release: a later push finds the node free.
  const std::uint32_t what = fiber.requests.exchange(0, std::memory_order_acq_rel);
  if (what & Fiber::kCancel) fiber.cancel();
  if (what & Fiber::kInterrupt) CancelScope::serve_interrupts(fiber);
  if (what & Fiber::kStart) {
    if (current_scheduler == this) {
      start_here(fiber);
      // Started before the end, or by somebody whom it does not wait for: it may have no owner who
      // is cancelled.
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
  if (what & Fiber::kRecycle) {
    // Whoever asks for it holds this lock, and must be out of here first.
    { const WaitQueue::Lock lock(fiber.completion.queue()); }
    recycle(fiber);
  }
}

}  // namespace weft
