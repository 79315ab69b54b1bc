#ifndef WEFT_IO_PROCESS_QUEUE_H_
#define WEFT_IO_PROCESS_QUEUE_H_

#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "weft/fiber/time.h"
#include "weft/io/wire.h"
#include "weft/sync/queue.h"

namespace weft {

namespace internal {

class SharedFd;

// What a ProcessQueue does with the bytes of items.
class MessageQueue {
 public:
  struct Message {
    std::string_view text() const noexcept { return {bytes.get(), size}; }

    std::unique_ptr<char[]> bytes;
    std::size_t size = 0;
  };

  explicit MessageQueue(std::size_t bytes);
  ~MessageQueue();

  // Wait until the deadline at most; kPast: not at all. push() returns false if there was no room.
  bool push(std::string_view item, TimePoint deadline);
  PopStatus pop(Message& message, TimePoint deadline);
  void close() noexcept;

 private:
  int send(std::string_view item, int file) noexcept;
  std::optional<PopStatus> receive(Message& message);

  std::unique_ptr<SharedFd> in_;   // where producers write
  std::unique_ptr<SharedFd> out_;  // where consumers read
};

}  // namespace internal

// First in, first out, for producers and consumers in several processes, which were forked from one
// another after the queue was made. An item is carried by Wire<T>.
//
//   weft::ProcessQueue<Job> jobs;  // before the fork; a global, for a job of a pool has no locals
//   weft::ProcessPool pool;
//   ...
//   jobs.push(Job{1});                   // in any of the processes
//   for (Job job : jobs) process(job);   // in any others, until close()
//
// A process that dies, by whatever signal, leaves the queue in order: an item is added and taken as
// a whole. An item that it has taken is gone with it.
//
// The kernel keeps the items. A small one counts as about 1 KiB. When the queue is full, a push
// goes on once three quarters are free. An item of more than 64 KiB lies in memory of its own (a
// memfd), which is not counted. Passing it takes a descriptor for a moment: a pop that has none
// left throws, and the item is lost.
//
// Waiters have no order. A wait that is cancelled or whose time is over takes and adds nothing.
// Items that nobody takes are dropped when the last process has gone.
//
// Threads: fibers of any scheduler inside weft::run(), which free their thread while they wait, and
// plain threads, which block, at once.
// Memory: what was done before an item was pushed is seen after its pop, also in memory that the
// processes share.
// Lifetime: each process destroys its own copy, or ends; others go on.
// Cost: a system call for each push and pop, and two copies. Two descriptors.
template <class T>
class ProcessQueue {
  static_assert(Wirable<T>, "weft::ProcessQueue: the items cannot be carried: see weft::Wire");

 public:
  class Iterator;

  // About so many bytes fit; 0 means the kernel's default, some 200 KiB. The kernel may have an
  // upper limit (net.core.wmem_max). Throws std::system_error, e.g. out of descriptors.
  explicit ProcessQueue(std::size_t bytes = 0) : messages_(bytes) {}
  ProcessQueue(const ProcessQueue&) = delete;
  ProcessQueue& operator=(const ProcessQueue&) = delete;

  // Waits until there is room, and adds the item. A cancellation point if it has to wait. Throws
  // QueueClosed; std::system_error, e.g. out of descriptors for a large item; and std::logic_error
  // if a fiber outside weft::run() has to wait. The same holds for the calls below.
  void push(const T& item) { try_push_until(item, kForever); }

  // Adds the item if there is room. Does not wait.
  bool try_push(const T& item) { return try_push_until(item, kPast); }

  // Wait, but not for longer than this. Return whether the item was added. Cancellation points if
  // they have to wait. A negative duration counts as zero.
  bool try_push_for(const T& item, AnyDuration time) {
    return try_push_until(item, internal::deadline_within(time));
  }
  bool try_push_until(const T& item, AnyTimePoint deadline) {
    WireWriter writer;
    writer.write(item);
    return messages_.push(writer.bytes(), deadline);
  }

  // Waits for an item, and takes it. A cancellation point if it has to wait.
  // Throws QueueClosed when the queue is closed and empty.
  T pop() {
    std::optional<T> item = try_pop_until(kForever);
    if (!item) throw QueueClosed();
    return std::move(*item);
  }

  // Takes an item if there is one. Does not wait. Empty also when the queue is closed and empty.
  std::optional<T> try_pop() { return try_pop_until(kPast); }

  // Wait, but not for longer than this. Empty when the time is over, or the queue closed and empty.
  // Cancellation points if they have to wait. A negative duration counts as zero.
  std::optional<T> try_pop_for(AnyDuration time) {
    return try_pop_until(internal::deadline_within(time));
  }
  std::optional<T> try_pop_until(AnyTimePoint deadline) {
    std::optional<T> item;
    pop_until(item, deadline);
    return item;
  }

  // The same for a caller that has to tell the two apart. Empty `item` first.
  PopStatus pop_for(std::optional<T>& item, AnyDuration time) {
    return pop_until(item, internal::deadline_within(time));
  }
  PopStatus pop_until(std::optional<T>& item, AnyTimePoint deadline) {
    item.reset();
    internal::MessageQueue::Message message;
    const PopStatus status = messages_.pop(message, deadline);
    if (status == PopStatus::kItem) item.emplace(WireReader(message.text()).read<T>());
    return status;
  }

  // for (auto&& item : queue): pops until the queue is closed and empty; `item` may be moved from.
  // Several may do so at once. A cancellation point where it has to wait.
  Iterator begin() { return Iterator(*this); }
  std::default_sentinel_t end() const noexcept { return {}; }

  // In all processes no item is added any more; what is there may still be taken. Waits in push()
  // and pop() throw QueueClosed. No effect twice. Does not wait.
  void close() noexcept { messages_.close(); }

 private:
  internal::MessageQueue messages_;
};

// ---- Implementation -----------------------------------------------------------------------------

// An input iterator: it holds one item that was popped.
template <class T>
class ProcessQueue<T>::Iterator {
 public:
  using iterator_concept = std::input_iterator_tag;
  using value_type = T;
  using difference_type = std::ptrdiff_t;
  using pointer = T*;
  using reference = T&&;

  explicit Iterator(ProcessQueue& queue) : queue_(&queue) { ++*this; }

  T&& operator*() const noexcept { return std::move(*item_); }
  Iterator& operator++() {
    queue_->pop_until(item_, kForever);
    return *this;
  }
  void operator++(int) { ++*this; }
  bool operator==(std::default_sentinel_t) const noexcept { return !item_; }

 private:
  ProcessQueue* queue_;
  mutable std::optional<T> item_;
};

}  // namespace weft

#endif  // WEFT_IO_PROCESS_QUEUE_H_
