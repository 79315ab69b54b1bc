#ifndef WEFT_FIBER_INBOX_H_
#define WEFT_FIBER_INBOX_H_

#include <atomic>

namespace weft {

// What one thread asks another's scheduler to do. The poster provides the node; `run` may free it.
class InboxNode {
 public:
  // `run` runs on the scheduler's own context. It may not wait.
  explicit InboxNode(void (*run)(InboxNode&) noexcept) noexcept : run_(run) {}
  InboxNode(const InboxNode&) = delete;
  InboxNode& operator=(const InboxNode&) = delete;

 private:
  friend class Inbox;

  InboxNode* next_ = nullptr;
  void (*run_)(InboxNode&) noexcept;
};

// What other threads posted to a scheduler: any thread pushes, the owner takes all at once.
// Lock-free: a stack in one atomic word, reversed when it is taken.
class Inbox {
 public:
  // Returns whether the owner is asleep and has to be woken: true once per sleep.
  // REQUIRES: the node is in no inbox.
  [[nodiscard]] bool push(InboxNode& node) noexcept {
    InboxNode* head = head_.load(std::memory_order_relaxed);
    do {
      node.next_ = head == asleep() ? nullptr : head;
      // Release: whoever takes the node sees what was written before the push.
    } while (!head_.compare_exchange_weak(head, &node, std::memory_order_release,
                                          std::memory_order_relaxed));
    return head == asleep();
  }

  // Runs everything that was pushed, first come, first served. Only the owner calls this.
  void drain() noexcept {
    // Relaxed: a node that this look misses is found at the next one, or refuses the sleep.
    if (!head_.load(std::memory_order_relaxed)) return;
    // Acquire: pairs with the release of push().
    InboxNode* newest = head_.exchange(nullptr, std::memory_order_acquire);
    InboxNode* oldest = nullptr;
    while (newest && newest != asleep()) {
      InboxNode* next = newest->next_;
      newest->next_ = oldest;
      oldest = newest;
      newest = next;
    }
    while (oldest) {
      InboxNode* next = oldest->next_;  // read first: run_ may push the node again or free it
      oldest->run_(*oldest);
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
    return head_.compare_exchange_strong(nothing, asleep(), std::memory_order_relaxed);
  }

 private:
  // A value of head_ that is no node. With it in the word itself, the owner's announcement and a
  // push cannot miss each other, and neither side needs a fence.
  InboxNode* asleep() const noexcept {
    return reinterpret_cast<InboxNode*>(const_cast<Inbox*>(this));
  }

  // null: empty, the owner is awake. asleep(): empty, the owner sleeps. Else: the newest node.
  std::atomic<InboxNode*> head_{nullptr};
};

}  // namespace weft

#endif  // WEFT_FIBER_INBOX_H_
