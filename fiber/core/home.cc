#include "weft/fiber/core/home.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "weft/fiber/core/error.h"
#include "weft/fiber/core/group.h"

namespace weft {

TimePoint now() noexcept {
  const internal::Home* const here = internal::Home::here();
  return here ? here->now() : Clock::now();
}

Scheduler& Scheduler::current() {
  if (!internal::Home::here()) {
    internal::throw_logic_error(
        "weft::Scheduler::current: no scheduler here; call it inside weft::run");
  }
  return *internal::Home::here();
}

void Scheduler::set_exception_handler(ExceptionHandler handler) {
  static_cast<internal::Home*>(this)->set_handler(std::move(handler));
}

}  // namespace weft

namespace weft::internal {

Fiber& require_fiber(const char* caller) {
  if (!running.fiber) throw_logic_error(caller, " needs a fiber; call it inside weft::run");
  return *running.fiber;
}

void Home::require_this_process() const {
  if (!is_of_this_process()) {
    throw_logic_error("weft: the runtime was made before fork(); make one in the child");
  }
}

void Home::set_group(Group& group) {
  group.join(*this);
  group_.store(&group, std::memory_order_relaxed);
}

void Home::attach_thread() noexcept {
  running = {
      .untraced = tracer_ ? nullptr : this, .scheduler = this, .budget = 0, .tracer = tracer_};
  // Under the lock: where the number is seen, heartbeat() sees this thread.
  const std::lock_guard lock(outside_.thread_lock);
  expect_caller();
  outside_.thread_id.store(static_cast<pid_t>(syscall(SYS_gettid)), std::memory_order_relaxed);
}

void Home::detach_thread() noexcept {
  {
    const std::lock_guard lock(outside_.thread_lock);
    outside_.thread_id.store(0, std::memory_order_relaxed);
  }
  running = {};
}

// What the thread writes all the time is read without an order, word by word, and only compared: to
// make these words atomic would cost the switch an instruction or two.
#if defined(WEFT_TSAN)
[[gnu::no_sanitize("thread"), gnu::noinline]]
#endif
static Home::Heartbeat
peek(const Running& thread) noexcept {
  const volatile Running& now = thread;
  return {.turns = now.turns, .budget = now.budget, .fiber = now.fiber};
}

Home::Heartbeat Home::heartbeat() const noexcept {
  const std::lock_guard lock(outside_.thread_lock);
  if (thread_id() == 0) return {};
  return peek(*outside_.thread.load(std::memory_order_relaxed));
}

void Home::set_handler(ExceptionHandler handler) {
  handler_ = handler ? std::make_shared<const ExceptionHandler>(std::move(handler)) : nullptr;
}

bool left_behind(const Fiber& fiber) noexcept {
  // Relaxed: as in RunQueue::of().
  const RunQueue* const home = fiber.home.load(std::memory_order_relaxed);
  return home && !static_cast<const Home*>(home)->is_of_this_process() && !fiber.done();
}

}  // namespace weft::internal
