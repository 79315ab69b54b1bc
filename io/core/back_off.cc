#include "weft/io/core/back_off.h"

#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "weft/fiber/core/home.h"
#include "weft/fiber/this_fiber.h"
#include "weft/sync/event.h"
#include "weft/sync/executor.h"

namespace weft::internal {
namespace {

// Returns an event that a thread sets after `pause` on the machine's clock; null if there is no
// thread for it.
std::shared_ptr<Event> event_after(Duration pause) {
  try {
    auto event = std::make_shared<Event>();
    default_thread_pool().post([event, pause] {
      std::this_thread::sleep_for(pause);
      event->set();
    });
    return event;
  } catch (const std::system_error&) {  // no thread can be started
    return nullptr;
  }
}

}  // namespace

void BackOff::wait() {
  Home* const here = Home::here();
  if (!here || !here->port().is_virtual()) return sleep_for(pause_);
  const std::shared_ptr<Event> over = event_after(pause_);
  if (!over) return sleep_for(pause_);
  const TimePoint now = here->now();
  if (std::exchange(paused_at_, now) != now) {
    const ExpectedEvent end;
    over->wait();
  } else {
    over->wait_until(here->timers().next_deadline());
  }
}

}  // namespace weft::internal
