#ifndef WEFT_SYNC_CORE_QUEUE_STORE_H_
#define WEFT_SYNC_CORE_QUEUE_STORE_H_

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace weft::internal {

// What a queue keeps its items in. Memory is allocated apart from being put to use, so that a queue
// can do the former outside of its lock. All but allocate() runs under that lock, and is noexcept:
// what T throws while it is moved ends the program.
//
// move_to() moves everything into new memory and gives back the old, unless the new has no room for
// one item more than there are: others may have got more meanwhile.

// First in, first out: a ring.
template <class T>
class RingStore {
 public:
  struct Memory {
    union Slot {
      Slot() noexcept {}
      ~Slot() {}
      T item;
    };
    std::unique_ptr<Slot[]> slots;
    std::size_t room = 0;  // a power of two
  };

  RingStore() = default;
  RingStore(RingStore&& other) noexcept
      : memory_(std::exchange(other.memory_, {})),
        head_(std::exchange(other.head_, 0)),
        size_(std::exchange(other.size_, 0)) {}
  ~RingStore() {
    while (size_ > 0) (void)pop();
  }

  // Memory for at least so many.
  static Memory allocate(std::size_t items) {
    const std::size_t room = std::bit_ceil(items);
    return {std::make_unique<typename Memory::Slot[]>(room), room};
  }

  void move_to(Memory& memory) noexcept {
    if (memory.room <= size_) return;
    for (std::size_t i = 0; i < size_; ++i) {
      T& item = slot(i);
      ::new (static_cast<void*>(&memory.slots[i].item)) T(std::move(item));
      item.~T();
    }
    std::swap(memory_, memory);
    head_ = 0;
  }

  std::size_t size() const noexcept { return size_; }
  bool has_memory() const noexcept { return size_ < memory_.room; }

  // REQUIRES: has_memory().
  void push(T&& item) noexcept {
    ::new (static_cast<void*>(&slot(size_))) T(std::move(item));
    ++size_;
  }

  // REQUIRES: not empty.
  T pop() noexcept {
    T item = take(0);
    head_ = (head_ + 1) & (memory_.room - 1);
    return item;
  }
  T pop_last() noexcept { return take(size_ - 1); }

 private:
  // What is left in the slot is no item.
  T take(std::size_t i) noexcept {
    T& place = slot(i);
    T item(std::move(place));
    place.~T();
    --size_;
    return item;
  }
  T& slot(std::size_t i) noexcept { return memory_.slots[(head_ + i) & (memory_.room - 1)].item; }

  Memory memory_;
  std::size_t head_ = 0;
  std::size_t size_ = 0;
};

// Last in, first out: the same memory, taken from at its other end.
template <class T>
class StackStore : public RingStore<T> {
 public:
  T pop() noexcept { return this->pop_last(); }
};

// The least first, of equal ones the oldest: a heap.
template <class T, class Less>
class HeapStore {
  struct Entry {
    T item;
    std::uint64_t number;  // counts the pushes
  };

 public:
  using Memory = std::vector<Entry>;

  explicit HeapStore(Less less) : less_(std::move(less)) {}

  static Memory allocate(std::size_t items) {
    Memory memory;
    memory.reserve(items);
    return memory;
  }
  void move_to(Memory& memory) noexcept {
    if (memory.capacity() <= entries_.size()) return;
    for (Entry& entry : entries_) memory.push_back(std::move(entry));
    std::swap(entries_, memory);
  }

  std::size_t size() const noexcept { return entries_.size(); }
  bool has_memory() const noexcept { return entries_.size() < entries_.capacity(); }

  void push(T&& item) noexcept {
    entries_.push_back({std::move(item), pushes_++});
    std::push_heap(entries_.begin(), entries_.end(), After{less_});
  }
  T pop() noexcept {
    std::pop_heap(entries_.begin(), entries_.end(), After{less_});
    T item(std::move(entries_.back().item));
    entries_.pop_back();
    return item;
  }

 private:
  // Puts last, which for a heap is on top, what is to be popped first.
  struct After {
    Less& less;
    bool operator()(const Entry& a, const Entry& b) const {
      if (less(b.item, a.item)) return true;
      return !less(a.item, b.item) && b.number < a.number;
    }
  };

  Memory entries_;
  Less less_;
  std::uint64_t pushes_ = 0;
};

}  // namespace weft::internal

#endif  // WEFT_SYNC_CORE_QUEUE_STORE_H_
