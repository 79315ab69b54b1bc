#include "weft/fiber/core/virtual_port.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "weft/fiber/core/running.h"

namespace weft::internal {

// ---- VirtualPort --------------------------------------------------------------------------------

VirtualPort::VirtualPort(Port& outside, VirtualClock& clock)
    : outside_(outside), clock_(clock), next_(std::exchange(clock.ports_, this)) {
  clock.busy_.fetch_add(1, std::memory_order_relaxed);  // relaxed: nobody waits yet
}

// To a fiber in wait_for_standstill() the present is a deadline: the clock comes to it like to any
// other, when nothing can run.
bool VirtualPort::wait(TimePoint deadline) {
  if (deadline <= now()) return outside_.wait(kPast);
  WaitQueue::Lock lock(watchers_);
  const bool watched = !watchers_.empty(lock);
  lock.unlock();
  const bool came = clock_.wait(*this, watched ? now() : deadline);
  if (!watched || !reached_) return came;
  lock.lock();
  watchers_.wake_all(lock);
  return true;
}

void VirtualPort::wait_for_standstill() {
  WaitQueue::Lock lock(watchers_);
  watchers_.wait(lock, kForever, "run_until_blocked");
}

void VirtualPort::expect(int events) noexcept {
  const std::lock_guard lock(clock_.lock_);
  clock_.expected_ += events;
  if (events > 0) clock_.patient_.store(true, std::memory_order_relaxed);
}

// May be called by a handler for signals, and so takes no lock.
void VirtualPort::wake() noexcept {
  // A call from a thread without a scheduler is an event from outside.
  if (!running.scheduler) clock_.patient_.store(true, std::memory_order_relaxed);
  set_busy();
  outside_.wake();
}

// Relaxed, here and elsewhere: a scheduler that does this counts as busy itself. It takes the
// clock's lock before it is idle, which orders this before the next count. Other threads may be
// overlooked, like any event that comes a moment later; but no port runs that is not counted.
void VirtualPort::set_busy() noexcept {
  clock_.busy_.fetch_add(1, std::memory_order_relaxed);
  // Release: pairs with the acquire in wait(); a port that finds itself not idle is counted.
  if (!idle_.exchange(false, std::memory_order_release)) {
    clock_.busy_.fetch_sub(1, std::memory_order_relaxed);
  }
}

// ---- VirtualClock -------------------------------------------------------------------------------

// Events from outside are taken only when the port is counted as busy: between the two no port
// could see that one has come.
bool VirtualClock::wait(VirtualPort& port, TimePoint deadline) {
  std::unique_lock lock(lock_);
  port.deadline_ = deadline;
  port.reached_ = false;
  port.idle_.store(true, std::memory_order_relaxed);
  busy_.fetch_sub(1, std::memory_order_relaxed);
  TimePoint grace = kForever;  // its end; pending() may return early
  TimePoint stuck = kForever;  // when this returns though nothing has come
  while (port.idle_.load(std::memory_order_acquire)) {
    TimePoint until = kForever;
    if (busy_.load(std::memory_order_relaxed) == 0 && !anything_pending()) {
      if (expected_ > 0 && patient_.load(std::memory_order_relaxed)) {
        until = grace = std::min(grace, port.outside_.now() + kGrace);
      } else {
        grace = kForever;
        if (jump(port)) {
          port.patience_ = Duration::zero();
          return false;
        }
        // A port that was woken by the jump is busy now. If none was there is nothing to jump to.
        if (busy_.load(std::memory_order_relaxed) == 0) {
          until = stuck = std::min(stuck, port.outside_.now() + port.patience_);
        }
      }
    }
    lock.unlock();
    const bool came = port.outside_.pending(until);
    lock.lock();
    if (came && port.idle_.load(std::memory_order_relaxed)) {
      patient_.store(true, std::memory_order_relaxed);
      port.set_busy();
    } else if (port.outside_.now() >= stuck && busy_.load(std::memory_order_relaxed) == 0) {
      port.patience_ = std::max(2 * port.patience_, kGrace);
      port.set_busy();
      return false;
    } else if (port.outside_.now() >= until && busy_.load(std::memory_order_relaxed) == 0) {
      patient_.store(false, std::memory_order_relaxed);
    }
  }
  port.patience_ = Duration::zero();
  lock.unlock();
  return port.outside_.wait(kPast);
}

bool VirtualClock::anything_pending() const {
  VirtualPort* port = ports_;
  while (port && !port->outside_.pending(kPast)) port = port->next_;
  return port != nullptr;
}

// To the first deadline, if there is one; whose it is goes on. Returns whether `self` does.
bool VirtualClock::jump(VirtualPort& self) {
  TimePoint next = kForever;
  for (VirtualPort* port = ports_; port; port = port->next_) next = std::min(next, port->deadline_);
  if (next == kForever) return false;
  now_ = next;
  for (VirtualPort* port = ports_; port; port = port->next_) {
    if (port->deadline_ != next) continue;
    port->reached_ = true;
    port->set_busy();
    if (port != &self) port->outside_.wake();
  }
  return self.deadline_ == next;
}

}  // namespace weft::internal
