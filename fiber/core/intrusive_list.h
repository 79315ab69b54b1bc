#ifndef WEFT_FIBER_CORE_INTRUSIVE_LIST_H_
#define WEFT_FIBER_CORE_INTRUSIVE_LIST_H_

#include <cstddef>

namespace weft::internal {

// The links of an object that is on at most one list of its `Tag`: derive from it.
// The object must leave the list before it is destroyed.
template <class Tag = void>
class ListNode {
 public:
  constexpr ListNode() noexcept = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;

  bool linked() const noexcept { return next_ != nullptr; }

 private:
  template <class, class>
  friend class IntrusiveList;

  ListNode* prev_ = nullptr;
  ListNode* next_ = nullptr;
};

// A doubly linked list that owns nothing and allocates nothing. Every operation is O(1).
// Not thread-safe. Neither movable nor copyable: the nodes point at the list.
template <class T, class Tag = void>
class IntrusiveList {
 public:
  constexpr IntrusiveList() noexcept { head_.prev_ = head_.next_ = &head_; }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;

  bool empty() const noexcept { return head_.next_ == &head_; }

  // Null if the list is empty.
  T* front() const noexcept { return empty() ? nullptr : object(head_.next_); }

  T* back() const noexcept { return empty() ? nullptr : object(head_.prev_); }

  // The element after `item`, or null.
  T* next(const T& item) const noexcept {
    ListNode<Tag>* node = static_cast<const ListNode<Tag>&>(item).next_;
    return node == &head_ ? nullptr : object(node);
  }

  // The element before `item`, or null.
  T* previous(const T& item) const noexcept {
    ListNode<Tag>* node = static_cast<const ListNode<Tag>&>(item).prev_;
    return node == &head_ ? nullptr : object(node);
  }

  // REQUIRES: `item` is on no list of this tag.
  void push_back(T& item) noexcept { insert(nullptr, item); }

  // Puts `item` in front of `next`, or at the end if that is null.
  // REQUIRES: `next` is on this list; `item` is on no list of this tag.
  void insert(T* next, T& item) noexcept {
    ListNode<Tag>& after = next ? static_cast<ListNode<Tag>&>(*next) : head_;
    ListNode<Tag>& node = item;
    node.prev_ = after.prev_;
    node.next_ = &after;
    after.prev_->next_ = &node;
    after.prev_ = &node;
  }

  // REQUIRES: `item` is on this list.
  void erase(T& item) noexcept {
    ListNode<Tag>& node = item;
    node.prev_->next_ = node.next_;
    node.next_->prev_ = node.prev_;
    node.prev_ = node.next_ = nullptr;
  }

  // Null if the list is empty.
  T* pop_front() noexcept {
    T* item = front();
    if (item) erase(*item);
    return item;
  }

 private:
  static T* object(ListNode<Tag>* node) noexcept { return static_cast<T*>(node); }

  ListNode<Tag> head_;
};

// A first-in first-out queue over one pointer in each element, named by its member pointer.
// Not thread-safe.
template <class T, auto Next>
class IntrusiveQueue {
 public:
  bool empty() const noexcept { return head_ == nullptr; }
  T* front() const noexcept { return head_; }

  // O(size).
  std::size_t size() const noexcept {
    std::size_t items = 0;
    for (const T* item = head_; item; item = item->*Next) ++items;
    return items;
  }

  // REQUIRES: `item` is on no queue.
  void push_back(T& item) noexcept {
    item.*Next = nullptr;
    if (head_) {
      tail_->*Next = &item;
    } else {
      head_ = &item;
    }
    tail_ = &item;
  }

  void push_front(T& item) noexcept {
    item.*Next = head_;
    if (!head_) tail_ = &item;
    head_ = &item;
  }

  // push_back(item) and then pop_front(). REQUIRES: the queue is not empty.
  T* rotate(T& item) noexcept {
    T* first = head_;
    item.*Next = nullptr;
    // A branch that is predicted is faster than reading what was written just before.
    if (first == tail_) [[likely]] {
      head_ = &item;
    } else {
      head_ = first->*Next;
      tail_->*Next = &item;
    }
    tail_ = &item;
    return first;
  }

  // Null if the queue is empty.
  T* pop_front() noexcept {
    T* item = head_;
    if (item) head_ = item->*Next;
    return item;
  }

 private:
  T* head_ = nullptr;
  T* tail_ = nullptr;  // meaningless while head_ is null
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_INTRUSIVE_LIST_H_
