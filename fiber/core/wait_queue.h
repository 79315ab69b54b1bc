#ifndef WEFT_FIBER_CORE_WAIT_QUEUE_H_
#define WEFT_FIBER_CORE_WAIT_QUEUE_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/intrusive_list.h"
#include "weft/fiber/time.h"

namespace weft::internal {

class Fiber;
class Parker;
class SelectCase;
class WaitQueue;
struct LockOwner;

// Names a call that waits until a certain fiber or thread acts. It is passed as a string, which is
// empty; behind it lies what reports want to know.
//
//   constinit const OwnedWait kLock("Mutex::lock", [](WaitQueue& queue) noexcept { ... });
//   queue.wait(lock, kForever, kLock);
class OwnedWait {
 public:
  // The one that has to act. If its id is given, it is a fiber that cannot be gone while the wait
  // lasts. Otherwise the address may only be compared.
  struct Owner {
    const LockOwner* address = nullptr;  // null: not known
    std::uint64_t id = 0;
  };
  // `queue` is the one that the waiter is parked in. Called on the waiter's thread, in a handler
  // for signals, too: may not wait for a lock.
  using Find = Owner (*)(WaitQueue& queue) noexcept;

  constexpr OwnedWait(const char* name, Find find) noexcept : name_(name), find_(find) {}
  OwnedWait(const OwnedWait&) = delete;
  OwnedWait& operator=(const OwnedWait&) = delete;

  operator const char*() const noexcept { return &empty_; }

  // What a wait was given as its name, which is as long as the program; null if it is a string.
  static const OwnedWait* of(const char* what) noexcept {
    return *what ? nullptr : reinterpret_cast<const OwnedWait*>(what);
  }
  const char* name() const noexcept { return name_; }
  Owner owner(WaitQueue& queue) const noexcept { return find_(queue); }

 private:
  friend struct DebuggerLayout;

  const char empty_ = '\0';  // comes first
  const char* const name_;
  const Find find_;
};

// The object that a member lies in. (A pointer to a member is an offset: Itanium C++ ABI, 2.3.)
template <class T, class M>
T& object_with(M& member, M T::*place) noexcept {
  return *reinterpret_cast<T*>(reinterpret_cast<char*>(&member) -
                               std::bit_cast<std::ptrdiff_t>(place));
}

// One that waits, on its own stack: a fiber, or a plain thread. Derive from it to add what is to be
// handed over, or what the waker has to know.
// Or one that watches: a function is called before it is claimed, and may keep it from that.
class Waiter : public ListNode<> {
 public:
  // For the caller of enqueue(): a fiber of this thread's scheduler, or the thread itself.
  // `what` names the call, for reports; it must live as long as the program. See OwnedWait.
  explicit Waiter(const char* what) noexcept : what_(what) {}

  // A watcher. `notify` runs under the queue's lock, on the thread that wakes, and may not wait,
  // throw or touch the queue. It is off the queue by then. Returns it if it is to be woken, or else
  // null.
  using Notify = Waiter* (*)(Waiter&) noexcept;
  explicit Waiter(Notify notify) noexcept : notify_(notify) {}

  // To be called by the one that claimed it, after the queue's lock was released: makes its fiber
  // ready or wakes its thread. The waiter may be gone when this returns, and the queue with it.
  void resume() noexcept;

  // Parks until claimed: true, or until `deadline`: false. Throws Cancelled, and then was not
  // claimed. On a plain thread the deadline counts on the machine's clock.
  // REQUIRES: on the waiter's own thread, after WaitQueue::enqueue().
  bool park(TimePoint deadline);

  // The fiber or thread that waits, as Scheduler::caller() names it. REQUIRES: it was enqueued.
  const LockOwner& owner() const noexcept;

  // True if it is a fiber of the calling thread's scheduler: it does not run before the caller
  // waits. REQUIRES: it was enqueued.
  bool is_local() const noexcept;

  // For reports. REQUIRES: it is no watcher.
  const char* what() const noexcept {
    const OwnedWait* const owned = OwnedWait::of(what_);
    return owned ? owned->name() : what_;
  }
  // When the fiber was parked, to a few milliseconds; exact on virtual time.
  TimePoint since() const noexcept { return TimePoint(Duration(since_)); }
  // On the waiter's own thread; safe in a handler for signals.
  OwnedWait::Owner waits_for() const noexcept {
    const OwnedWait* const owned = OwnedWait::of(what_);
    return owned && queue_ ? owned->owner(*queue_) : OwnedWait::Owner();
  }

 private:
  friend class Scope;
  friend class Claimed;
  friend struct DebuggerLayout;
  friend class Selection;
  friend class WaitQueue;

  // kWaiting turns into one of the others exactly once. A timeout or a cancellation claims on the
  // waiter's own thread only; a waker on any thread, under the queue's lock.
  enum class State : std::uint8_t { kWaiting, kWoken, kTimedOut, kCancelled };

  bool adopt_caller() noexcept;
  void adopt_thread() noexcept;

  bool is_here() const noexcept;  // is_local(), to be inlined
  void wake() noexcept;
  bool claim_to_wake() noexcept;
  Waiter* claim_unlinked() noexcept;
  bool claim_to_abort(State reason) noexcept;
  bool park_here(TimePoint deadline);  // park(), to be inlined
  bool park_until(TimePoint deadline);
  bool park_thread(TimePoint deadline);
  bool outcome() const;
  void abort(State reason) noexcept;
  void dequeue() noexcept;

  Atomic<State> state_{State::kWaiting};
  WaitQueue* queue_ = nullptr;  // null: nobody but a timer or a cancellation ends this wait
  Fiber* fiber_ = nullptr;
  Parker* thread_ = nullptr;
  Waiter* next_claimed_ = nullptr;
  const char* what_ = nullptr;
  Duration::rep since_;  // set when a fiber is parked
  Notify notify_ = nullptr;
  SelectCase* case_;  // if `notify_` is that of a Selection
};

// Waiters that were claimed, in the order of the claims, to be resumed after the queue's lock was
// released. REQUIRES: resume() is called before the end.
class Claimed {
 public:
  void add(Waiter& waiter) noexcept { waiters_.push_back(waiter); }
  void resume() noexcept;

 private:
  IntrusiveQueue<Waiter, &Waiter::next_claimed_> waiters_;
};

// The one way to block. A list of waiters, first come, first served, and the lock that also guards
// what they wait for:
//
//   void Semaphore::acquire() {                    void Semaphore::release() {
//     WaitQueue::Lock lock(queue_);                  WaitQueue::Lock lock(queue_);
//     if (permits_ > 0) { --permits_; return; }      if (Waiter* next = queue_.claim(lock)) {
//     queue_.wait(lock, kForever, "acquire");          lock.unlock();
//   }                                                  next->resume();
//                                                    } else { ++permits_; }
//                                                  }
//
// (sync/semaphore.h does a little more.) What is handed over by a claim belongs to the claimed: a
// timeout or a cancellation that comes later finds the waiter taken, so nothing is lost, no waiter
// is overtaken, and nothing needs repair.
//
// Threads: fibers of any scheduler and plain threads, at once. The queue may be destroyed as soon
// as all waits have returned, also by a waiter that was just woken, while the waker still is on its
// way out: after the lock is released the waker touches only the waiter, and nothing after
// resume().
class WaitQueue {
 public:
  // std::unique_lock, less what it does about misuse.
  class Lock {
   public:
    explicit Lock(WaitQueue& queue) noexcept : queue_(queue) { lock(); }
    Lock(WaitQueue& queue, std::try_to_lock_t) noexcept
        : queue_(queue), held_(queue.lock_.try_lock()) {}
    ~Lock() {
      if (held_) unlock();
    }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

    void lock() noexcept {
      queue_.lock_.lock();
      held_ = true;
    }
    void unlock() noexcept {
      held_ = false;
      queue_.lock_.unlock();
    }

    bool owns_lock() const noexcept { return held_; }

   private:
    WaitQueue& queue_;
    bool held_;
  };

  WaitQueue() = default;
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;

  // Waits at the end of the queue until claimed: true, or until `deadline`: false.
  // Releases the lock, and comes back without it. Throws Cancelled, before the wait, when others
  // have run, or during it, and then was not claimed. On a plain thread the deadline counts on the
  // machine's clock.
  bool wait(Lock& lock, Waiter& waiter, TimePoint deadline);
  bool wait(Lock& lock, TimePoint deadline, const char* what) {
    Waiter waiter(what);
    return wait(lock, waiter, deadline);
  }

  // The same, not at the end but in front of `next`, which is on the queue; at the end if that is
  // null.
  bool wait_before(Lock& lock, Waiter* next, Waiter& waiter, TimePoint deadline);

  // The two halves of it, for a caller that has something to do in between: enqueue() releases the
  // lock, and throws Cancelled where that is due; then waiter.park().
  void enqueue(Lock& lock, Waiter& waiter);

  // Waits in no queue, until `deadline`: only a cancellation ends it earlier.
  static void wait_nowhere(TimePoint deadline, const char* what);

  // Takes the first waiter off the queue for the caller to resume() after unlocking; null if
  // nobody waits. What the caller did before is seen by the one it wakes.
  Waiter* claim(Lock&) noexcept;

  // The same for all, in their order. Those that only watch are called.
  void claim_all(Lock&, Claimed& claimed) noexcept;

  // claim_all(), unlock and resume: for waiters that look again. Releases the lock; the queue
  // may be gone when this returns.
  void wake_all(Lock& lock) noexcept;

  // If it depends on the waiter whether it is claimed: the first one, or null; and the claim of
  // that one and no other, null if its wait has just ended. It is off the queue then, too.
  Waiter* first(const Lock&) const noexcept { return waiters_.front(); }
  Waiter* claim_first(Lock&) noexcept;

  // The same for one that is not the first. REQUIRES: it is on the queue, and waits to be woken.
  Waiter* claim(Lock&, Waiter& waiter) noexcept;

  // The waiter behind that one, or null.
  Waiter* next(const Lock&, const Waiter& waiter) const noexcept { return waiters_.next(waiter); }

  bool empty(const Lock&) const noexcept { return waiters_.empty(); }

  // Adds a watcher. REQUIRES: it is removed, or was notified, before it is destroyed.
  void watch(Lock&, Waiter& watcher) noexcept { waiters_.push_back(watcher); }
  // Returns false if it was notified already.
  bool unwatch(Waiter& watcher) noexcept;

  // Calls visit(watcher) for those that have this function.
  template <class Visit>
  void for_each_watcher(const Lock&, Waiter::Notify notify, Visit visit) {
    for (Waiter* waiter = waiters_.front(); waiter; waiter = waiters_.next(*waiter)) {
      if (waiter->notify_ == notify) visit(*waiter);
    }
  }

 private:
  friend class Selection;
  friend class Waiter;

  void add(Lock& lock, Waiter* next, Waiter& waiter);  // enqueue(), to be inlined
  Waiter* take_first() noexcept;                       // claim_first(), to be inlined
  void wake_all(Lock& lock, Waiter* first) noexcept;

  SpinLock lock_;
  IntrusiveList<Waiter> waiters_;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_WAIT_QUEUE_H_
