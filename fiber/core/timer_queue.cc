#include "weft/fiber/core/timer_queue.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace weft::internal {
namespace {

std::uint64_t since_epoch(TimePoint time) noexcept {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(time.time_since_epoch().count(), 0));
}

}  // namespace

void TimerQueue::add(Timer& timer, TimePoint deadline) noexcept {
  timer.deadline_ = since_epoch(deadline);
  timer.order_ = added_++;
  ++size_;
  place(timer);
}

void TimerQueue::remove(Timer& timer) noexcept {
  --size_;
  if (timer.place_ == Timer::kNear) {
    Timer* orphans = merge_children(&timer);
    if (heap_ == &timer) {
      heap_ = orphans;
    } else {
      Timer& left = *timer.left_;
      (left.child_ == &timer ? left.child_ : left.right_) = timer.right_;
      if (timer.right_) timer.right_->left_ = &left;
      heap_ = merge(heap_, orphans);
    }
  } else {
    (timer.left_ ? timer.left_->right_ : chain(timer)) = timer.right_;
    if (timer.right_) timer.right_->left_ = timer.left_;
    if (!chain(timer) && slots_[timer.place_] == Slot{}) {
      occupied_[timer.place_ / kSlots] &= ~(std::uint64_t{1} << timer.place_ % kSlots);
    }
  }
  timer.place_ = Timer::kIdle;
}

TimePoint TimerQueue::next_deadline() noexcept {
  int place;
  std::uint64_t start;
  while (!heap_ && next_slot(place, start)) {
    // Opening it would move base_ far ahead, and all that comes before it would go to the heap.
    if (place >= kSlots) return TimePoint(Duration(static_cast<std::int64_t>(start)));
    open_slot(place, start);
  }
  return heap_ ? heap_->deadline() : kForever;
}

Timer* TimerQueue::pop_expired(TimePoint now) noexcept {
  const std::uint64_t limit = since_epoch(now);
  while (base_ <= limit) {
    int place;
    std::uint64_t start;
    if (next_slot(place, start) && start <= limit) {
      open_slot(place, start);
    } else {
      move_base((limit / kGranularity + 1) * kGranularity);
    }
  }
  Timer* timer = heap_;
  if (!timer || timer->deadline_ > limit) return nullptr;
  --size_;
  heap_ = merge_children(timer);
  timer->place_ = Timer::kIdle;
  return timer;
}

// Puts a timer where base_ says.
void TimerQueue::place(Timer& timer) noexcept {
  timer.left_ = timer.right_ = timer.child_ = nullptr;
  if (timer.deadline_ < base_) {
    timer.place_ = Timer::kNear;
    heap_ = merge(heap_, &timer);
    return;
  }
  const std::uint64_t differs = (timer.deadline_ ^ base_) >> kGranularityBits;
  const int level = differs ? (std::bit_width(differs) - 1) / kBits : 0;
  const auto digit =
      static_cast<int>(timer.deadline_ >> (kGranularityBits + level * kBits)) & (kSlots - 1);
  timer.place_ = level * kSlots + digit;
  occupied_[level] |= std::uint64_t{1} << digit;
  Timer*& first = chain(timer);
  timer.right_ = first;
  if (first) first->left_ = &timer;
  first = &timer;
}

// Empties a slot and places its timers anew, after base_ has moved.
void TimerQueue::drain(int place) noexcept {
  Slot slot = std::exchange(slots_[place], {});
  occupied_[place / kSlots] &= ~(std::uint64_t{1} << place % kSlots);
  for (bool more = true; more;) {
    more = false;
    for (Timer*& first : slot) {
      Timer* timer = first;
      if (!timer) continue;
      more = true;
      first = timer->right_;
      __builtin_prefetch(first);
      this->place(*timer);
    }
  }
}

// REQUIRES: no timer of the wheel is due before `base`.
void TimerQueue::move_base(std::uint64_t base) noexcept {
  base_ = base;
  // Outer slots whose span base_ has entered belong further in.
  for (int level = kLevels - 1; level > 0; --level) {
    const auto digit = static_cast<int>(base >> (kGranularityBits + level * kBits)) & (kSlots - 1);
    if (occupied_[level] >> digit & 1) drain(level * kSlots + digit);
  }
}

// The slot that comes first, and where its span starts. False if the wheel is empty.
bool TimerQueue::next_slot(int& place, std::uint64_t& start) const noexcept {
  for (int level = 0; level < kLevels; ++level) {
    if (!occupied_[level]) continue;
    const int digit = std::countr_zero(occupied_[level]);
    const int shift = kGranularityBits + level * kBits;
    place = level * kSlots + digit;
    // By the invariant, the timers agree with base_ above this digit.
    start = (base_ & ~((std::uint64_t{kSlots} << shift) - 1)) | std::uint64_t(digit) << shift;
    return true;
  }
  return false;
}

// Moves base_ to the slot, and past it if it is an innermost one: its timers go to the heap.
void TimerQueue::open_slot(int place, std::uint64_t start) noexcept {
  if (place >= kSlots) {
    move_base(start);
    return;
  }
  base_ = start + kGranularity;
  drain(place);
  move_base(base_);
}

bool TimerQueue::before(const Timer& a, const Timer& b) noexcept {
  return a.deadline_ != b.deadline_ ? a.deadline_ < b.deadline_ : a.order_ < b.order_;
}

// Fredman, Sedgewick, Sleator, Tarjan: The pairing heap (1986). Either may be null.
Timer* TimerQueue::merge(Timer* a, Timer* b) noexcept {
  if (!a || !b) return a ? a : b;
  if (before(*b, *a)) std::swap(a, b);
  b->left_ = a;
  b->right_ = a->child_;
  if (b->right_) b->right_->left_ = b;
  a->child_ = b;
  return a;
}

// Makes one heap of a root's children: pairs from left to right, then all from right to left.
Timer* TimerQueue::merge_children(Timer* parent) noexcept {
  Timer* pairs = nullptr;  // linked through right_, the last pair first
  for (Timer* first = parent->child_; first;) {
    Timer* second = first->right_;
    Timer* rest = second ? second->right_ : nullptr;
    first->left_ = first->right_ = nullptr;
    if (second) second->left_ = second->right_ = nullptr;
    Timer* pair = merge(first, second);
    pair->right_ = pairs;
    pairs = pair;
    first = rest;
  }
  Timer* heap = nullptr;
  while (pairs) {
    Timer* next = pairs->right_;
    pairs->left_ = pairs->right_ = nullptr;
    heap = merge(heap, pairs);
    pairs = next;
  }
  parent->child_ = nullptr;
  return heap;
}

}  // namespace weft::internal
