#ifndef WEFT_FIBER_CORE_STACK_H_
#define WEFT_FIBER_CORE_STACK_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "weft/fiber/time.h"

namespace weft::internal {

// While it lives, a handler for signals on this thread finds a flag set, and keeps away from what
// is being changed.
class NotSteady {
 public:
  explicit NotSteady(bool& changing) noexcept : changing_(changing) { set(true); }
  ~NotSteady() { set(false); }
  NotSteady(const NotSteady&) = delete;
  NotSteady& operator=(const NotSteady&) = delete;

 private:
  void set(bool changing) noexcept {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    changing_ = changing;
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }

  bool& changing_;
};

// How the lowest page of a stack is made to fault.
enum class GuardKind {
  kAutomatic,  // kMarker where the kernel has it (Linux 6.13), else kMprotect
  kMarker,     // MADV_GUARD_INSTALL: lives in the page table and splits no mapping
  kMprotect,   // two mappings a stack: ends at half of vm.max_map_count
};

// Guarded stacks of one size, carved from large slabs of reserved address space.
//
// A stack goes back to the pool with its context on it, and comes back warm: last in, first out,
// guard in place, nothing unmapped. What stays unused for a second is trimmed. Slabs are returned
// to the system when the pool is destroyed. Not thread-safe.
class StackPool {
 public:
  // A place at the top of the stack: its user keeps a control block there and runs below it.
  struct Stack {
    void* top;
    bool warm;  // as put() left it; else all zero
  };

  // Called with the top of a warm stack whose memory is about to be dropped.
  using Discard = void (*)(void* top) noexcept;

  // `stack_size`: address space for each stack, its guard page included; rounded up to pages.
  // Throws std::invalid_argument if it is less than min_size().
  StackPool(std::size_t stack_size, Discard discard, GuardKind guards = GuardKind::kAutomatic);
  ~StackPool();
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;

  // Throws std::bad_alloc, naming the call, when there is no address space or memory, and
  // std::system_error, naming the limit, when the kernel allows no further guard.
  Stack take() {
    if (free_count_ == 0) return carve();
    const Free stack = free_[--free_count_];
    if (free_count_ < least_free_) least_free_ = free_count_;
    return {reinterpret_cast<void*>(stack & ~kWarm), (stack & kWarm) != 0};
  }

  // The top of the stack that take() returns after `others` more; null if it would be a new one.
  void* upcoming(std::size_t others) const noexcept {
    if (free_count_ <= others) return nullptr;
    return reinterpret_cast<void*>(free_[free_count_ - 1 - others] & ~kWarm);
  }

  // Takes back a stack that nothing runs on any more, or will before anybody else calls take().
  void put(void* top) noexcept { free_[free_count_++] = reinterpret_cast<Free>(top) | kWarm; }

  // Gives memory back: whole stacks that lay unused since the last round, and of the others what is
  // below the top page. Does a bounded piece of work (some 50 microseconds); a round starts at most
  // once a second. Returns when to call again: kPast to go on, kForever if nothing is left to give.
  TimePoint trim(TimePoint now) noexcept;

  // Whether there is enough unused that trim() may find something.
  bool may_trim() const noexcept { return free_count_ > kAlwaysWarm; }

  // Calls visit(top) for every stack that was ever taken, in no particular order. Memory that was
  // dropped since reads as zero.
  template <class Visit>
  void for_each(Visit visit) const {
    for (const Slab& slab : slabs_) {
      for (std::size_t i = 0; i < slab.used; ++i) visit(top_of(slab, i));
    }
  }

  // Whether a handler for signals, on the thread that uses the pool, may not call for_each() now.
  bool is_changing() const noexcept { return changing_; }

  std::size_t stack_size() const noexcept { return stack_size_; }
  void* bottom_of(void* top) const noexcept;  // of the usable part: the guard ends here

  // How many were ever taken, and how many of them are free. O(slabs), and O(1).
  std::size_t carved() const noexcept;
  std::size_t free() const noexcept { return free_count_; }

  // Whether the address is in the guard of this stack.
  bool is_guarded(void* top, const void* address) const noexcept;

  // The top of the stack in whose guard the address is; null if it is in none. O(slabs). Allocates
  // nothing.
  void* guarded_by(const void* address) const noexcept;

  // How many are out. O(slabs).
  std::size_t in_use() const noexcept { return carved() - free_count_; }

  static std::size_t min_size() noexcept;
  static std::size_t round_up(std::size_t stack_size) noexcept;

 private:
  friend struct DebuggerLayout;

  struct Slab {
    char* base;
    std::size_t count;
    std::size_t used;     // this many, the first, were handed out at least once
    std::size_t guarded;  // this many, the first, have their guard
  };

  Stack carve();
  void add_slab();
  void install_guard(char* page);
  void install_guards(Slab& slab);
  void* top_of(const Slab& slab, std::size_t index) const noexcept;
  static char* end_of(void* top) noexcept;
  void decommit(void* top, std::size_t keep) noexcept;

  // A free stack: its top, with the lowest bit set where it is warm.
  using Free = std::uintptr_t;
  static constexpr Free kWarm = 1;

  // Tops at the same place of their pages would share a few sets of the caches, and the control
  // blocks of some hundred fibers evict each other. So they are staggered, by less than a quarter
  // of a page (Bonwick: The slab allocator, 1994, calls this colouring).
  static constexpr std::size_t kColours = 16;
  static constexpr std::size_t kColourStep = 64;

  // At least this many stay warm, however long they are unused.
  static constexpr std::size_t kAlwaysWarm = 16;

  const std::size_t stack_size_;
  const std::size_t stride_;  // from a stack to the next of its slab
  const Discard discard_;
  GuardKind guards_;
  bool changing_ = false;  // slabs_, just now
  std::vector<Slab> slabs_;

  // Last in, first out. Beside the stacks, not in them: a free list must not touch cold memory.
  // There is room for all stacks, so put() cannot fail.
  std::vector<Free> free_;
  std::size_t free_count_ = 0;

  // The round of trimming under way: what it has seen of free_, and how much of it lay unused.
  std::size_t seen_ = 0;
  std::size_t unused_ = 0;
  std::size_t least_free_ = 0;  // the least free_count_ since the round began
  TimePoint round_began_ = kPast;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_STACK_H_
