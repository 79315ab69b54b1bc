#ifndef WEFT_SYNC_QUEUE_H_
#define WEFT_SYNC_QUEUE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "weft/fiber/cancel.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/time.h"
#include "weft/sync/core/queue_store.h"

namespace weft {

// What push() throws when the queue is closed, and pop() when it is closed and empty.
class QueueClosed : public std::runtime_error {
 public:
  QueueClosed() : std::runtime_error("weft: the queue is closed") {}
};

// For Queue::close(): what is in the queue is dropped.
struct Discard {};
inline constexpr Discard kDiscard;

// How a pop with a time limit ended: with an item, because the time was over, or because the queue
// is closed and empty.
enum class PopStatus : std::uint8_t { kItem, kLate, kClosed };

namespace internal {

// A queue for any number of producers and consumers, with room for so many items, or for any
// number. Which item pop() takes is up to the store: see Queue, PriorityQueue, LifoQueue below.
//
//   weft::Queue<Job> jobs(100);
//   auto worker = weft::spawn([&] { for (Job job : jobs) process(job); });
//   jobs.push(Job{1});  // waits while 100 are there
//   jobs.close();       // the worker ends when it has taken all
//
// push(), pop() and the tries with a time limit may let other fibers run, even if they need not
// wait. A push to a queue without a capacity does not.
//
// Fair: an item goes to the consumer that waited longest, and room to the producer that did: a
// push that waits keeps its place. A pop that is cancelled or whose time is over takes no
// item; a push leaves the item where it was.
//
// T is anything that can be moved, for a PriorityQueue also assigned. What moves and destroys it
// may not throw, wait or use the queue.
//
// Threads: fibers of any scheduler and plain threads, at once; a thread that waits blocks.
// Memory: what was done before an item was pushed is seen after its pop.
// Lifetime: may be destroyed, with what is left in it, once no other caller will use it; also by a
// caller that was just woken from it. Memory grows with the most items it ever held, and stays.
// Cost: an operation that does not wait costs one lock of a few instructions, and no allocation
// once there is memory for the items.
template <class T, class Store>
class BasicQueue {
 public:
  class Iterator;

  BasicQueue(const BasicQueue&) = delete;
  BasicQueue& operator=(const BasicQueue&) = delete;

  // Waits until there is room, and adds the item. A cancellation point if it has to wait.
  // Throws QueueClosed; then, as when it is cancelled or there is no memory, `item` is untouched.
  void push(T&& item) { push_until(item, kForever); }
  void push(const T& item) { push(T(item)); }

  // Adds the item if there is room. Does not wait. If there is none, `item` is untouched (but a
  // Cancelled in an exception_ptr turns into TaskCancelled). Throws QueueClosed.
  bool try_push(T&& item) {
    hand_out(item);
    Lock lock(waiters_);
    return add(lock, item);
  }
  bool try_push(const T& item) { return try_push(T(item)); }

  // Waits, but not for longer than this. Return whether the item was added, else it is untouched.
  // Cancellation points if they have to wait. A negative duration counts as zero. Throw
  // QueueClosed.
  bool try_push_for(T&& item, AnyDuration time) {
    return try_push_until(std::move(item), deadline_within(time));
  }
  bool try_push_for(const T& item, AnyDuration time) { return try_push_for(T(item), time); }
  bool try_push_until(T&& item, AnyTimePoint deadline) { return push_until(item, deadline); }
  bool try_push_until(const T& item, AnyTimePoint deadline) {
    return try_push_until(T(item), deadline);
  }

  // Waits for an item, and takes it. A cancellation point if it has to wait.
  // Throws QueueClosed when the queue is closed and empty.
  T pop() {
    count_wait();
    Lock lock(waiters_);
    if (store_.size() != 0) [[likely]]
      return take(lock);
    std::optional<T> item;
    wait_for_item(lock, item, kForever);
    if (!item) throw QueueClosed();
    return std::move(*item);
  }

  // Takes an item if there is one. Does not wait. Empty also when the queue is closed and empty.
  std::optional<T> try_pop() {
    Lock lock(waiters_);
    if (store_.size() == 0) return std::nullopt;
    return take(lock);
  }

  // Waits, but not for longer than this. Empty when the time is over, or the queue closed and
  // empty. Cancellation points if they have to wait. A negative duration counts as zero.
  std::optional<T> try_pop_for(AnyDuration time) { return try_pop_until(deadline_within(time)); }
  std::optional<T> try_pop_until(AnyTimePoint deadline) {
    std::optional<T> item;
    pop_into(item, deadline);
    return item;
  }

  // The same for a caller that has to tell the two apart. Empties `item` first.
  //
  //   std::optional<Job> job;
  //   while (jobs.pop_for(job, 1s) != weft::PopStatus::kClosed) {
  //     job ? process(*job) : report_idle();
  //   }
  PopStatus pop_for(std::optional<T>& item, AnyDuration time) {
    return pop_until(item, deadline_within(time));
  }
  PopStatus pop_until(std::optional<T>& item, AnyTimePoint deadline) {
    item.reset();
    return pop_into(item, deadline);
  }

  // For weft::select().
  template <class Target>
  class Pop;
  template <class Target>
  class PopCase;
  template <class Item>
  class PushCase;

  // for (auto&& item : queue): pops until the queue is closed and empty; `item` may be moved from.
  // Several may do so at once. A cancellation point where it has to wait.
  Iterator begin() { return Iterator(*this); }
  std::default_sentinel_t end() const noexcept { return {}; }

  // No item is added any more; what is there may still be taken. Waits in push() and pop() throw
  // QueueClosed. No effect twice. Does not wait. O(waiters).
  void close() noexcept {
    Lock lock(waiters_);
    closed_ = true;
    waiters_.wake_all(lock);
  }

  // The same, and drops what is there: asyncio's shutdown(immediate=True). The items count as done,
  // so that join() waits only for those that were popped. A push that waits keeps its item. Also
  // for a queue that is closed already. The items are destroyed by the caller, outside of the lock:
  // they may wait and use the queue. O(waiters + items).
  void close(Discard) noexcept {
    Claimed joiners;
    Lock lock(waiters_);
    closed_ = true;
    finish(std::min<std::uint64_t>(store_.size(), unfinished_), joiners);
    const Store dropped(std::move(store_));
    waiters_.wake_all(lock);
    joiners.resume();
  }
  bool is_closed() const noexcept {
    const Lock lock(waiters_);
    return closed_;
  }

  // How many items are there, and how many fit: 0 means any number.
  std::size_t size() const noexcept {
    const Lock lock(waiters_);
    return store_.size();
  }
  bool empty() const noexcept { return size() == 0; }
  std::size_t capacity() const noexcept { return capacity_; }

  // To be called by a consumer when it has dealt with an item that it popped. Does not wait.
  // Throws std::logic_error if it is called more often than items were pushed.
  void task_done() {
    Claimed claimed;
    {
      Lock lock(waiters_);
      if (unfinished_ == 0) {
        lock.unlock();
        throw std::logic_error("weft::Queue::task_done: called more often than items were pushed");
      }
      finish(1, claimed);
    }
    claimed.resume();
  }

  // Waits until task_done() was called for every item that was pushed, also to a closed queue.
  // A cancellation point if it has to wait.
  void join() {
    count_wait();
    Lock lock(waiters_);
    if (unfinished_ == 0) return;
    Lock also(joiners_);
    lock.unlock();
    joiners_.wait(also, kForever, "Queue::join");
  }

 protected:
  BasicQueue(std::size_t capacity, Store store) : store_(std::move(store)), capacity_(capacity) {}
  ~BasicQueue() = default;

 private:
  using Lock = WaitQueue::Lock;

  // A waiter for an item, and where that is put. Without one when resumed: the queue was closed.
  struct Popper : Waiter {
    explicit Popper(std::optional<T>& its_item) : Waiter("Queue::pop"), item(its_item) {}
    void take(T& from) noexcept { item.emplace(std::move(from)); }
    std::optional<T>& item;
  };

  // A waiter for room, and whence the item is taken. Not taken when resumed: closed.
  struct Pusher : Waiter {
    explicit Pusher(T& its_item) : Waiter("Queue::push"), item(its_item) {}
    T& item;
    bool taken = false;
  };

  static constexpr std::size_t kFirstRoom = 8;

  bool is_full() const noexcept { return capacity_ != 0 && store_.size() >= capacity_; }

  // So many items are done with. REQUIRES: the lock is held.
  void finish(std::uint64_t items, Claimed& joiners) noexcept {
    unfinished_ -= items;
    if (unfinished_ != 0) return;
    Lock lock(joiners_);
    joiners_.claim_all(lock, joiners);
  }

  // A Cancelled is for the fiber that was cancelled alone.
  static void hand_out(T& item) noexcept {
    if constexpr (std::is_same_v<T, std::exception_ptr>) item = for_another_task(std::move(item));
  }

  bool push_until(T& item, TimePoint deadline) {
    hand_out(item);
    // What never waits need not let others run: its caller may hold a lock of the thread.
    if (capacity_ != 0) count_wait();
    Lock lock(waiters_);
    return add(lock, item) || wait_for_room(lock, item, deadline);
  }

  // Returns false if there is no room.
  bool add(Lock& lock, T& item) {
    for (;;) {
      if (closed_) [[unlikely]]
        fail_closed(lock);
      if (!waiters_.empty(lock) && store_.size() == 0) {
        if (auto* popper = static_cast<Popper*>(waiters_.claim(lock))) {
          ++unfinished_;
          lock.unlock();
          popper->take(item);
          popper->resume();
          return true;
        }
      }
      if (is_full()) return false;
      if (store_.has_memory()) [[likely]] {
        store_.push(std::move(item));
        ++unfinished_;
        return true;
      }
      grow(lock);
    }
  }

  // Outside of the lock, as far as possible: afterwards everything has to be looked at anew.
  [[gnu::noinline]] void grow(Lock& lock) {
    const std::size_t before = store_.size();
    lock.unlock();
    auto memory = Store::allocate(std::max(2 * before, kFirstRoom));
    lock.lock();
    if (!store_.has_memory()) store_.move_to(memory);
    lock.unlock();
    { auto old = std::move(memory); }
    lock.lock();
  }

  [[gnu::always_inline]] bool wait_for_room(Lock& lock, T& item, TimePoint deadline) {
    Pusher self(item);
    if (!waiters_.wait(lock, self, deadline)) return false;
    if (!self.taken) throw QueueClosed();
    return true;
  }

  // Leaves `item` empty if the time is over, or the queue closed and empty.
  [[gnu::always_inline]] PopStatus pop_into(std::optional<T>& item, TimePoint deadline) {
    count_wait();
    Lock lock(waiters_);
    if (store_.size() == 0) [[unlikely]]
      return wait_for_item(lock, item, deadline);
    item.emplace(take(lock));
    return PopStatus::kItem;
  }

  // REQUIRES: not empty.
  T take(Lock& lock) noexcept {
    T item = store_.pop();
    if (!waiters_.empty(lock)) admit(lock);
    return item;
  }

  // Takes the item of the push that waited longest.
  [[gnu::noinline]] void admit(Lock& lock) noexcept {
    if (auto* pusher = static_cast<Pusher*>(waiters_.claim(lock))) {
      store_.push(std::move(pusher->item));
      ++unfinished_;
      pusher->taken = true;
      lock.unlock();
      pusher->resume();
    }
  }

  // Inlined, as wait_for_room() is: see fiber/README.md, "The switch".
  [[gnu::always_inline]] PopStatus wait_for_item(Lock& lock, std::optional<T>& item,
                                                 TimePoint deadline) {
    if (closed_) {
      lock.unlock();
      return PopStatus::kClosed;
    }
    Popper self(item);
    if (!waiters_.wait(lock, self, deadline)) return PopStatus::kLate;
    return item ? PopStatus::kItem : PopStatus::kClosed;
  }

  [[gnu::noinline]] static void fail_closed(Lock& lock) {
    lock.unlock();
    throw QueueClosed();
  }

  // Its lock guards everything below. Either poppers wait in it, and then the queue is empty, or
  // pushers, and then it is full.
  mutable WaitQueue waiters_;
  Store store_;
  const std::size_t capacity_;
  bool closed_ = false;
  std::uint64_t unfinished_ = 0;  // pushed, but no task_done()
  WaitQueue joiners_;             // locked after waiters_
};

}  // namespace internal

// First in, first out.
template <class T>
class Queue : public internal::BasicQueue<T, internal::RingStore<T>> {
 public:
  explicit Queue(std::size_t capacity = 0)
      : internal::BasicQueue<T, internal::RingStore<T>>(capacity, {}) {}
};

// The least item first, and of equal ones the oldest. `Less` may not throw, wait or use the queue.
// Taking and adding are O(log size).
template <class T, class Less = std::less<T>>
class PriorityQueue : public internal::BasicQueue<T, internal::HeapStore<T, Less>> {
 public:
  explicit PriorityQueue(std::size_t capacity = 0, Less less = {})
      : internal::BasicQueue<T, internal::HeapStore<T, Less>>(
            capacity, internal::HeapStore<T, Less>(std::move(less))) {}
};

// Last in, first out.
template <class T>
class LifoQueue : public internal::BasicQueue<T, internal::StackStore<T>> {
 public:
  explicit LifoQueue(std::size_t capacity = 0)
      : internal::BasicQueue<T, internal::StackStore<T>>(capacity, {}) {}
};

// ---- Implementation -----------------------------------------------------------------------------

namespace internal {

// An input iterator: it holds one item that was popped.
template <class T, class Store>
class BasicQueue<T, Store>::Iterator {
 public:
  using iterator_concept = std::input_iterator_tag;
  using value_type = T;
  using difference_type = std::ptrdiff_t;
  using pointer = T*;
  using reference = T&&;

  explicit Iterator(BasicQueue& queue) : queue_(&queue) { queue_->pop_into(item_, kForever); }

  T&& operator*() const noexcept { return std::move(*item_); }
  [[gnu::always_inline]] Iterator& operator++() {  // as pop_into() is
    item_.reset();
    queue_->pop_into(item_, kForever);
    return *this;
  }
  void operator++(int) { ++*this; }
  bool operator==(std::default_sentinel_t) const noexcept { return !item_; }

 private:
  BasicQueue* queue_;
  mutable std::optional<T> item_;
};

}  // namespace internal

}  // namespace weft

#endif  // WEFT_SYNC_QUEUE_H_
