#include "weft/fiber/scheduler.h"

#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "weft/fiber/cancel.h"
#include "weft/fiber/context_switch.h"
#include "weft/fiber/local_table.h"
#include "weft/fiber/unhandled.h"
#include "weft/fiber/wait_queue.h"

namespace weft {
namespace {

// How long fibers hand over to each other before the loop looks at timers and I/O.
constexpr Duration kTurn = std::chrono::microseconds(100);
// At most so many resumptions without a look at the clock, which bounds what fibers that suddenly
// run for long can delay. A turn of the loop that finds nothing costs some 100 ns: 0.02 ns a
// switch.
constexpr std::int64_t kMaxQuantum = 4096;
// Where the clock stands still, look outside after so many turns.
constexpr int kMaxTurnsUnpolled = 256;

// How long a shutdown waits before it names the fibers that do not end.
constexpr Duration kPatience = std::chrono::seconds(5);

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
    : port_(port),
      options_(options),
      fibers_(*this, &Scheduler::enter, options.stack_size, options.guards),
      random_(options.shuffle_seed.value_or(0)) {}

Scheduler::~Scheduler() {
  inbox_.drain();
  fibers_.orphan([this] { inbox_.drain(); });
  inbox_.settle();
}

Scheduler& Scheduler::current() {
  if (!current_scheduler) {
    throw std::logic_error("weft::Scheduler::current: no scheduler here; call it inside weft::run");
  }
  return *current_scheduler;
}

Fiber& Scheduler::require_fiber(const char* caller) {
  Fiber* fiber = current_fiber();
  if (!fiber) {
    throw std::logic_error(std::string(caller) + " needs a fiber; call it inside weft::run");
  }
  return *fiber;
}

void Scheduler::set_exception_handler(std::function<void(std::exception_ptr)> handler) {
  handler_ = std::move(handler);
}

void Scheduler::handle_exception(const Fiber& fiber, std::exception_ptr exception) noexcept {
  if (!handler_) fail_unhandled(std::move(exception), &fiber);
  handler_(std::move(exception));
}

void Scheduler::handle_exception_here(std::exception_ptr exception) noexcept {
  Fiber* fiber = current_fiber();
  if (!fiber) fail_unhandled(std::move(exception), nullptr);
  of(*fiber).handle_exception(*fiber, std::move(exception));
}

// ---- Spawning -----------------------------------------------------------------------------------

Fiber& Scheduler::reserve(const SpawnOptions& options) {
  Scheduler* const here = current_scheduler;
  if (options.on && options.on != here) [[unlikely]] {
    Fiber& visitor = options.on->fibers_.take_elsewhere(options.stack_size);
    // Relaxed: only the number matters.
    visitor.id = ids_taken.fetch_add(1, std::memory_order_relaxed) + 1;
    visitor.set_name(options.name);
    return visitor;
  }
  if (!here) [[unlikely]] {
    throw std::logic_error(
        "weft::spawn needs a scheduler; call it inside weft::run, or name one in SpawnOptions::on");
  }
  Fiber& fiber = here->fibers_.take(options.stack_size);
  if (here->next_id_ == here->last_id_) [[unlikely]]
    here->take_ids();
  fiber.id = ++here->next_id_;
  fiber.set_name(options.name);
  return fiber;
}

void Scheduler::take_ids() noexcept {
  // Relaxed: only the number matters.
  next_id_ = ids_taken.fetch_add(kIdRun, std::memory_order_relaxed);
  last_id_ = next_id_ + kIdRun;
}

void Scheduler::start(Fiber& fiber, const SpawnOptions& options) noexcept {
  if (const Fiber* parent = current_fiber()) fiber.locals = LocalTable::share(parent->locals);
  Scheduler& home = of(fiber);
  if (&home != current_scheduler) {
    fiber.request(Fiber::kStart);
    return;
  }
  home.begin(fiber);
  if (options.eager && home.current_) {
    home.run_eagerly(fiber);
  } else {
    home.ready_.push_back(fiber);
  }
}

void Scheduler::start_here(Fiber& fiber) noexcept {
  begin(fiber);
  ready_.push_back(fiber);
}

// From now on the fiber counts. The caller makes it ready.
inline void Scheduler::begin(Fiber& fiber) noexcept {
  fiber.live = true;
  ++live_;
  // Relaxed: if another thread drops the handle from now on, the fiber learns of it at its end.
  if (closing_ && fiber.handle_gone.load(std::memory_order_relaxed)) fiber.cancel();
}

// The parent goes on before all others once the child waits or ends.
void Scheduler::run_eagerly(Fiber& child) noexcept {
  ready_.push_front(*current_);
  go(*current_, child);
}

// Makes the block as new, and its stack free.
[[gnu::always_inline]] inline void Scheduler::make_free(Fiber& fiber) noexcept {
  drop_result(fiber);
  if (fiber.exception) fiber.exception = nullptr;
  fiber.outcome = Outcome::kNone;
  fiber.live = false;
  fiber.cancelled = fiber.cancel_requested = false;
  fiber.group = nullptr;
  fiber.ended = nullptr;
  // Relaxed, as reset() below: nobody else has a reference.
  fiber.handle_gone.store(false, std::memory_order_relaxed);
  fiber.completion.reset();
  fibers_.put(fiber);
}

void Scheduler::unreserve(Fiber& fiber) noexcept { of(fiber).make_free(fiber); }

// ---- The life of a fiber ------------------------------------------------------------------------

void Scheduler::enter(void* argument) {
  Fiber& self = *static_cast<Fiber*>(argument);
  of(self).switch_.arrive();
  for (;;) {
    self.work(self);
    of(self).finish(self);
    // Here, and not at the end of finish(): each frame between a switch and the loop that it comes
    // back to is a return that the processor predicts wrong.
    of(self).suspend();
  }
}

// Runs on the fiber's own stack, which somebody else may be given by the time it returns.
void Scheduler::finish(Fiber& self) noexcept {
  // Relaxed: if it is set it stays, and if not the lock below decides.
  bool unowned = self.handle_gone.load(std::memory_order_relaxed);
  // A result that nobody can take goes first, and the locals: their destructors may wait, and may
  // use what the owner of a group keeps for its children.
  if (unowned) drop_result(self);
  if (self.locals) LocalTable::unref(std::exchange(self.locals, nullptr));
  if (self.ended) {
    self.ended(self);
  } else if (!unowned) {
    WaitQueue::Lock lock(self.completion.queue());
    self.completion.complete(lock,
                             [&] { unowned = self.handle_gone.load(std::memory_order_relaxed); });
  }
  if (unowned) recycle(self);
  --live_;
}

void Scheduler::recycle(Fiber& fiber) noexcept {
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
  if (fiber.outcome == Outcome::kException) [[unlikely]] {
    handle_exception(fiber, std::exchange(fiber.exception, nullptr));
  }
  make_free(fiber);
}

void Scheduler::release(Fiber& fiber) noexcept {
  Scheduler* const here = current_scheduler;
  if (!here || fiber.home.load(std::memory_order_relaxed) != here) {
    release_elsewhere(fiber);
  } else if (fiber.done()) {
    here->recycle(fiber);
  } else {
    // Relaxed: it ends on this thread.
    fiber.handle_gone.store(true, std::memory_order_relaxed);
    if (here->closing_) fiber.cancel();
  }
}

void Scheduler::release_elsewhere(Fiber& fiber) noexcept {
  {
    const WaitQueue::Lock lock(fiber.completion.queue());
    if (!fiber.done()) {
      // Relaxed: the lock orders it with the end of the fiber.
      fiber.handle_gone.store(true, std::memory_order_relaxed);
      return;
    }
  }
  drop_result(fiber);  // here, not in the loop over there, where nobody can wait
  Orphanage* orphans = nullptr;
  {
    const WaitQueue::Lock lock(fiber.completion.queue());
    if (fiber.home.load(std::memory_order_relaxed)) {
      // Under the lock the scheduler cannot be destroyed.
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
  if (what & Fiber::kStart) {
    start_here(fiber);
    if (closing_) fiber.cancel();  // spawned by another thread: nobody here waits for its cleanup
  }
  if (what & Fiber::kWake) make_ready(fiber);
  if (what & Fiber::kRecycle) recycle(fiber);
}

// ---- Switching ----------------------------------------------------------------------------------

inline Fiber& Scheduler::next() noexcept {
  if (--budget_ >= 0) {
    if (Fiber* fiber = ready_.pop_front()) return *fiber;
  }
  return loop_;
}

inline void Scheduler::go(Fiber& from, Fiber& to) noexcept {
  current_ = &to;
  switch_.jump(from.context, to.context);
}

void Scheduler::suspend() noexcept { go(*current_, next()); }

void Scheduler::yield() {
  Scheduler* const here = current_scheduler;
  if (!here || !here->current_) [[unlikely]] {
    sched_yield();
    return;
  }
  Fiber& self = *here->current_;
  if (self.cancelled && cancellation_due(self)) [[unlikely]]
    throw_cancelled();
  if (--here->budget_ < 0) [[unlikely]] {
    here->ready_.push_back(self);
    here->go(self, here->loop_);
  } else if (!here->ready_.empty()) {
    here->go(self, *here->ready_.rotate(self));
  }
}

// ---- The loop -----------------------------------------------------------------------------------

void Scheduler::run() {
  attach();
  // Acquire: sees what came before stop().
  while (!stop_.load(std::memory_order_acquire)) turn();
  stop_.store(false, std::memory_order_relaxed);
  current_scheduler = nullptr;
}

void Scheduler::attach() {
  if (current_scheduler) {
    throw std::logic_error("weft: a scheduler runs on this thread already; runs do not nest");
  }
  current_scheduler = this;
  current_ = nullptr;
  loop_.context.adopt_thread();
  switch_.bind();
}

void Scheduler::stop() noexcept {
  // Release: pairs with the acquire in run().
  stop_.store(true, std::memory_order_release);
  if (current_scheduler == this) {
    budget_ = 0;
  } else {
    port_.wake();
  }
}

// Looks at everything but fibers once, and then lets fibers run.
void Scheduler::turn() {
  inbox_.drain();
  const bool spent = budget_ < 0;
  TimePoint now = kPast;
  if (spent || !timers_.empty()) {
    now = port_.now();
    while (Timer* timer = timers_.pop_expired(now)) timer->expire();
  }
  if (ready_.empty()) {
    sleep();
  } else if (spent) {
    if (polled_ == kPast || now - polled_ >= kTurn || ++turns_unpolled_ == kMaxTurnsUnpolled) {
      port_.wait(kPast);
      polled_ = now;
      turns_unpolled_ = 0;
    }
    refill_budget(now);
  }
  if (options_.shuffle_seed) shuffle();
  if (closing_ && !reported_ && port_.now() >= report_at_) report_stragglers();
  if (Fiber* fiber = ready_.pop_front()) {
    go(loop_, *fiber);
    current_ = nullptr;
  }
}

void Scheduler::sleep() {
  TimePoint deadline = timers_.next_deadline();
  if (closing_ && !reported_) deadline = std::min(deadline, report_at_);
  if (options_.trim) deadline = std::min(deadline, fibers_.trim(port_));
  if (options_.spin > Duration::zero()) {
    const TimePoint end = std::min(port_.now() + options_.spin, deadline);
    while (port_.now() < end) {
      if (port_.wait(kPast) || !inbox_.empty()) return;
    }
  }
  // Relaxed: whoever stops it wakes the port afterwards, and that ends this wait or the next.
  if (stop_.load(std::memory_order_relaxed) || !inbox_.try_sleep()) return;
  port_.wait(deadline);
  refilled_ = kPast;
  budget_ = quantum_;
}

// Sizes the next run of fibers so that it lasts about kTurn, by how long the last one took.
void Scheduler::refill_budget(TimePoint now) noexcept {
  if (refilled_ != kPast) {
    const std::int64_t took = std::max<std::int64_t>((now - refilled_).count(), 1);
    const std::int64_t fitting = quantum_ * kTurn.count() / took;
    quantum_ = std::clamp<std::int64_t>(fitting, 1, std::min(2 * quantum_, kMaxQuantum));
  }
  refilled_ = now;
  budget_ = quantum_;
}

// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
std::uint64_t Scheduler::draw() noexcept {
  std::uint64_t z = random_ += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

// Puts the ready fibers in a random order, for a random part of a round: any order can come up.
void Scheduler::shuffle() {
  std::vector<Fiber*> fibers;
  while (Fiber* fiber = ready_.pop_front()) fibers.push_back(fiber);
  for (std::size_t i = fibers.size(); i > 1; --i) std::swap(fibers[i - 1], fibers[draw() % i]);
  for (Fiber* fiber : fibers) ready_.push_back(*fiber);
  if (!fibers.empty()) budget_ = static_cast<std::int64_t>(draw() % fibers.size());
}

// ---- Shutdown -----------------------------------------------------------------------------------

void Scheduler::shutdown() {
  attach();
  closing_ = true;
  report_at_ = port_.now() + kPatience;
  for_each_fiber([](Fiber& fiber) { fiber.cancel(); });
  do {
    if (!calls_.empty()) drop_calls();
    for (inbox_.drain(); live_ > 0; inbox_.drain()) turn();
    // Fibers on their way out may have made new ones.
  } while (!calls_.empty());
  current_scheduler = nullptr;
}

void Scheduler::report_stragglers() noexcept {
  reported_ = true;
  for_each_fiber([](Fiber& fiber) {
    const TaskInfo info = fiber.info();
    std::fprintf(stderr, "weft: the shutdown waits for fiber %llu \"%s\"%s%s\n",
                 static_cast<unsigned long long>(info.id), info.name.c_str(),
                 *info.waiting_for ? ", which waits in " : "", info.waiting_for);
    fiber.cancel();  // it may have been detached meanwhile by another thread
  });
}

}  // namespace weft
