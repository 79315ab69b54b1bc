#ifndef WEFT_FIBER_CORE_TIMER_QUEUE_H_
#define WEFT_FIBER_CORE_TIMER_QUEUE_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "weft/fiber/time.h"

namespace weft::internal {

// A deadline and what to do then. It lives where its owner puts it, usually on the stack of the
// fiber that waits, and must be removed from its queue before it is destroyed.
class Timer {
 public:
  // `expire` runs on the scheduler's own context, off the queue. It may not wait.
  explicit Timer(void (*expire)(Timer&) noexcept) : expire_(expire) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  bool pending() const noexcept { return place_ != kIdle; }
  TimePoint deadline() const noexcept {
    return TimePoint(Duration(static_cast<std::int64_t>(deadline_)));
  }
  // Then it is kForever. REQUIRES: the timer is not pending.
  void forget_deadline() noexcept {
    deadline_ = static_cast<std::uint64_t>(kForever.time_since_epoch().count());
  }
  void expire() noexcept { expire_(*this); }

 private:
  friend class TimerQueue;

  static constexpr int kIdle = -1;
  static constexpr int kNear = -2;

  // In a slot: the neighbours. In the heap: the sibling or parent to the left, the sibling right.
  Timer* left_ = nullptr;
  Timer* right_ = nullptr;
  Timer* child_ = nullptr;  // in the heap: the first child
  std::uint64_t deadline_ = 0;
  std::uint64_t order_ = 0;  // of addition: equal deadlines expire first come, first served
  void (*expire_)(Timer&) noexcept;
  int place_ = kIdle;  // or kNear, or the index of a slot
};

// All pending timers of one scheduler, in the order of their deadlines, to the nanosecond.
//
// Timers due within the current millisecond or so, or 60 after a sleep, are in a pairing heap;
// later ones wait unsorted in the slots of a hierarchical wheel (Varghese and Lauck, 1987) whose
// innermost slots are a millisecond wide, and a slot is sorted only when its time comes. So a
// timeout that is cancelled costs two list operations however many are pending, and a sleeper among
// a million is touched about three times, each time shortly before its fiber runs.
//
// Never allocates. Not thread-safe.
class TimerQueue {
 public:
  TimerQueue() = default;
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;

  bool empty() const noexcept { return size_ == 0; }
  std::size_t size() const noexcept { return size_; }

  // O(1). REQUIRES: the timer is not pending.
  void add(Timer& timer, TimePoint deadline) noexcept;

  // O(1) in the wheel, O(log n) amortized in the heap. REQUIRES: the timer is pending here.
  void remove(Timer& timer) noexcept;

  // When to look again: the earliest deadline if that is within some 60 ms, else a time before it;
  // kForever if no timer is pending. Amortized O(1).
  TimePoint next_deadline() noexcept;

  // Takes off the queue the earliest timer whose deadline is at or before `now`; null if there is
  // none. Amortized O(log n) for n timers within a millisecond.
  Timer* pop_expired(TimePoint now) noexcept;

 private:
  // The timers of a slot are in several lists, by their order_. Each timer of another fiber is a
  // cache miss, and in one list each miss would wait for the one before.
  static constexpr int kChains = 8;
  using Slot = std::array<Timer*, kChains>;

  Timer*& chain(const Timer& timer) noexcept {
    return slots_[static_cast<std::size_t>(timer.place_)][timer.order_ % kChains];
  }

  static constexpr int kLevels = 8;  // of 64 slots each: 2^(20 + 48) ns, more than all of time
  static constexpr int kBits = 6;
  static constexpr int kSlots = 1 << kBits;
  static constexpr int kGranularityBits = 20;  // the innermost slots: 1.05 ms
  static constexpr std::uint64_t kGranularity = std::uint64_t{1} << kGranularityBits;

  void place(Timer& timer) noexcept;
  void drain(int place) noexcept;
  void move_base(std::uint64_t base) noexcept;
  bool next_slot(int& place, std::uint64_t& start) const noexcept;
  void open_slot(int place, std::uint64_t start) noexcept;

  static bool before(const Timer& a, const Timer& b) noexcept;
  static Timer* merge(Timer* a, Timer* b) noexcept;
  static Timer* merge_children(Timer* parent) noexcept;

  // Invariants. Timers with a deadline before base_ are in the heap, the others in the wheel;
  // base_ is a multiple of kGranularity. A timer of level L agrees with base_ in all digits (of
  // kBits bits, above kGranularityBits) above digit L; its digit L picks the slot and is greater
  // than base_'s, or for level 0 not less. So the first slot of the lowest level comes first.
  Timer* heap_ = nullptr;
  std::uint64_t base_ = 0;  // unsigned: it may pass the end of time
  std::size_t size_ = 0;
  std::uint64_t added_ = 0;
  std::array<std::uint64_t, kLevels> occupied_{};  // a bit for each slot that is not empty
  std::array<Slot, kLevels * kSlots> slots_{};
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_TIMER_QUEUE_H_
