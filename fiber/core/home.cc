#include "weft/fiber/core/home.h"

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
  group_ = &group;
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
