#ifndef WEFT_FIBER_CORE_INBOX_H_
#define WEFT_FIBER_CORE_INBOX_H_

#include <cstdint>

#include "weft/fiber/core/atomic.h"

namespace weft::internal {

class Calls;

// What one thread asks another's scheduler to do. The poster provides the node; `run` may free it.
class InboxNode {
 public:
  // `run` runs on the context of the scheduler, `running`, and may not wait; or with null, when
  // that runs no more, and then on a plain thread or on a fiber of another one.
  using Run = void (*)(InboxNode& node, Calls* running) noexcept;
  explicit InboxNode(Run run) noexcept : run_(run) {}
  InboxNode(const InboxNode&) = delete;
  InboxNode& operator=(const InboxNode&) = delete;

 private:
  friend class Inbox;
  friend class Calls;  // which queues them

  InboxNode* next_ = nullptr;
  Run run_;
};

// What other threads posted to a scheduler: any thread pushes, the owner takes all at once.
// Lock-free: a stack in one atomic word, reversed when it is taken.
class Inbox {
 public:
  // Returns whether the owner is asleep and has to be woken: true once per sleep.
  // REQUIRES: the node is in no inbox.
  [[nodiscard]] bool push(InboxNode& node) noexcept {
    // Relaxed, and where the exchange fails: a guess, of which nothing is read.
    InboxNode* head = head_.load(std::memory_order_relaxed);
    do {
      node.next_ = head == asleep() ? nullptr : head;
      // Release: the owner, which takes the node, sees what was written before the push.
    } while (!head_.compare_exchange_weak(head, &node, std::memory_order_release,
                                          std::memory_order_relaxed));
    return head == asleep();
  }

  // To be called after a push() that returned true, once the owner was woken.
  void woke() noexcept {
    // Release: pairs with the acquire of settle().
    woken_.fetch_add(1, std::memory_order_release);
  }

  // Runs everything that was pushed, first come, first served. Only the owner calls this:
  // `running`, or null when that runs no more.
  void drain(Calls* running = nullptr) noexcept {
    // Relaxed: a node that this look misses is found at the next one, or refuses the sleep.
    if (!head_.load(std::memory_order_relaxed)) return;
    // Acquire: pairs with the release of push().
    InboxNode* newest = head_.exchange(nullptr, std::memory_order_acquire);
    if (sleeping_ && newest != asleep()) ++owed_;
    sleeping_ = false;
    InboxNode* oldest = nullptr;
    while (newest && newest != asleep()) {
      InboxNode* next = newest->next_;
      newest->next_ = oldest;
      oldest = newest;
      newest = next;
    }
    while (oldest) {
      InboxNode* next = oldest->next_;  // read first: run_ may push the node again or free it
      oldest->run_(*oldest, running);
      oldest = next;
    }
  }

  // Relaxed: a hint.
  bool empty() const noexcept {
    const InboxNode* head = head_.load(std::memory_order_relaxed);
    return !head || head == asleep();
  }

  // Announces that the owner is about to sleep: from now on a push says so to its caller.
  // False if something came before. The next drain() ends it. Only the owner calls this.
  bool try_sleep() noexcept {
    InboxNode* nothing = nullptr;
    // Relaxed: the word itself orders the announcement and the pushes.
    sleeping_ = head_.compare_exchange_strong(nothing, asleep(), std::memory_order_relaxed);
    return sleeping_;
  }

  // How many of its sleeps a push has ended. Only the owner calls this.
  std::uint64_t wakes() const noexcept { return owed_; }

  // Waits until all wake-ups that push() asked for have been made. The owner may have been woken
  // by something else and be at its end, while a waker still is on its way to the port.
  // REQUIRES: the inbox was drained. Only the owner calls this.
  void settle() noexcept {
    // Acquire: pairs with the release of woke().
    while (woken_.load(std::memory_order_acquire) != owed_) let_others_run();
  }

 private:
  // A value of head_ that is no node. With it in the word itself, the owner's announcement and a
  // push cannot miss each other, and neither side needs a fence.
  InboxNode* asleep() const noexcept {
    return reinterpret_cast<InboxNode*>(const_cast<Inbox*>(this));
  }

  // null: empty, the owner is awake. asleep(): empty, the owner sleeps. Else: the newest node.
  Atomic<InboxNode*> head_{nullptr};

  Atomic<std::uint64_t> woken_{0};  // wake-ups by the pushing threads
  std::uint64_t owed_ = 0;          // how many the owner knows of
  bool sleeping_ = false;           // try_sleep() succeeded since the last drain()
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_INBOX_H_
