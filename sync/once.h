#ifndef WEFT_SYNC_ONCE_H_
#define WEFT_SYNC_ONCE_H_

#include <functional>
#include <utility>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/callable.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/core/wait_queue.h"

namespace weft {

// Whether something that is to be done once has been done: see call_once().
//
//   weft::Once loaded;
//   ...
//   weft::call_once(loaded, [] { load(); });  // load() may wait
//
// If the function may wait, use it instead of std::call_once, and instead of the first
// initialisation of a function's static variable. There a second fiber of the same thread would
// block the thread, and so the first fiber, for ever.
//
// Threads: fibers of any scheduler and plain threads, at once; a thread that waits blocks.
// Memory: what the function did is seen after every call_once(), and where done() is true.
// Lifetime: must outlive all calls, also those that find it done.
class Once {
 public:
  Once() = default;
  Once(const Once&) = delete;
  Once& operator=(const Once&) = delete;

  // Whether a call's function has returned. Does not wait.
  bool done() const noexcept {
    return done_.load(std::memory_order_acquire);  // acquire: pairs with the release in end()
  }

 private:
  template <class F, class... Arguments>
  friend void call_once(Once& once, F&& f, Arguments&&... arguments);

  static internal::OwnedWait::Owner owner_of(internal::WaitQueue& queue) noexcept;
  static const internal::OwnedWait kWait;

  bool begin();
  void end(bool done) noexcept;

  internal::Atomic<bool> done_{false};
  internal::WaitQueue queue_;
  // Changes under the queue's lock; only reports read it without.
  internal::Atomic<const internal::LockOwner*> runner_{nullptr};
};

// Calls f(arguments...), unless a function called for `once` has returned before. If another one is
// under way, waits for its end. If that one throws, Cancelled included, its own caller gets the
// exception, and one of the waiters calls its function instead.
//
// A cancellation point if it has to wait. Once the function has returned, this costs one load.
// Throws std::invalid_argument if f is null, and what f throws. If f calls it for the same `once`,
// it would wait for itself: the program ends with a sentence.
template <class F, class... Arguments>
void call_once(Once& once, F&& f, Arguments&&... arguments) {
  internal::checked_callable(f, "call_once");
  if (once.done() || !once.begin()) return;
  try {
    std::invoke(std::forward<F>(f), std::forward<Arguments>(arguments)...);
  } catch (...) {
    once.end(false);
    throw;
  }
  once.end(true);
}

}  // namespace weft

#endif  // WEFT_SYNC_ONCE_H_
