// Values that every receiver gets. A slow receiver misses some, and learns how many.
#ifndef WEFT_EXAMPLES_PATTERNS_BROADCAST_H_
#define WEFT_EXAMPLES_PATTERNS_BROADCAST_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "weft/weft.h"

namespace patterns {

// Gives each value to all receivers that there are, each of which has a queue of `capacity` values.
// A push never waits: if a queue is full, its oldest value makes room. A capacity of 0 is refused.
//
//   patterns::Broadcast<Price> prices(100);
//   auto screen = weft::spawn([own = prices.subscribe()]() mutable { for (;;) show(own.pop()); });
//   prices.push(Price{42});
//
// T is copied for each receiver. Its copies and its destructor may not wait, nor its moves throw.
// Threads: any, at once. Lifetime: destroy it when no call is under way; receivers may outlive it.
template <class T>
class Broadcast {
 public:
  struct Item {
    T value;
    std::uint64_t missed;  // by this receiver right before; within queue(): a number
  };

  // For one fiber or thread at a time. Movable; after that each use throws std::logic_error.
  class Receiver {
   public:
    Receiver(std::shared_ptr<weft::Queue<Item>> values, std::uint64_t next)
        : values_(std::move(values)), next_(next) {}

    // Waits for a value, and takes it. A cancellation point if it has to wait. Throws
    // weft::QueueClosed if the Broadcast is gone and all values are taken.
    Item pop() { return counted(queue().pop()); }

    // For weft::select(): what was popped from queue() has to pass through counted(), in order.
    weft::Queue<Item>& queue() const {
      if (!values_) throw std::logic_error("patterns::Broadcast: this receiver was moved from");
      return *values_;
    }
    Item counted(Item item) {
      item.missed -= std::exchange(next_, item.missed + 1);
      return item;
    }

   private:
    std::shared_ptr<weft::Queue<Item>> values_;
    std::uint64_t next_;
  };

  explicit Broadcast(std::size_t capacity) : capacity_(capacity) {
    if (capacity == 0) throw std::invalid_argument("patterns::Broadcast: the capacity is 0");
  }
  ~Broadcast() {
    for_each_receiver([](auto& values) { values.close(); });
  }

  // A receiver of all values from now on. Does not wait.
  Receiver subscribe() {
    const auto values = std::make_shared<weft::Queue<Item>>(capacity_);
    const std::lock_guard lock(mutex_);
    std::erase_if(receivers_, [](const auto& each) { return each.expired(); });
    receivers_.push_back(values);
    return Receiver(values, pushed_);
  }

  // Gives each receiver the value. Does not wait. O(receivers). If copying throws, some miss it.
  void push(const T& value) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t number = pushed_++;
    for_each_receiver([&](auto& values) {
      Item item{value, number};
      while (!values.try_push(std::move(item))) values.try_pop();
    });
  }

 private:
  void for_each_receiver(auto f) {
    for (const auto& each : receivers_) {
      if (const auto values = each.lock()) f(*values);
    }
  }

  const std::size_t capacity_;
  std::mutex mutex_;  // guards the rest; held for no wait
  std::vector<std::weak_ptr<weft::Queue<Item>>> receivers_;
  std::uint64_t pushed_ = 0;
};

}  // namespace patterns

#endif  // WEFT_EXAMPLES_PATTERNS_BROADCAST_H_
