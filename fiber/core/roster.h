#ifndef WEFT_FIBER_CORE_ROSTER_H_
#define WEFT_FIBER_CORE_ROSTER_H_

#include <cstdint>

namespace weft::internal {

class Home;

// All schedulers of the process, for reports and for debuggers. While one lives, no scheduler of
// the list is destroyed, and none is made: hold it for moments only.
//
//   const Roster roster;
//   for (Home* home = roster.first(); home; home = roster.next(*home)) look_at(*home);
//
// Threads: any; not in a handler for signals. A child process has the list of its parent: see
// Home::is_of_this_process().
class Roster {
 public:
  Roster() noexcept;
  ~Roster();
  Roster(const Roster&) = delete;
  Roster& operator=(const Roster&) = delete;

  // In the order in which they were made.
  Home* first() const noexcept;
  Home* next(const Home& home) const noexcept;
  bool has(const Home& home) const noexcept;

  static void add(Home& home) noexcept;
  static void remove(Home& home) noexcept;
};

// ---- For debuggers ------------------------------------------------------------------------------

// Where a debugger finds the fibers of a process, or of its core, without debug information.
// Offsets are in bytes, from the beginning of the object that a name begins with. What is not said
// here: of a std::vector the first two words are its begin and its end, a std::unique_ptr is one
// word, and what lies on a parked stack is as unwind.cc says it.
//
// fiber/gdb/weft.py reads these numbers in this order. Whatever changes the order or a meaning
// changes `version`, here and there.
struct DebuggerLayout {
  std::uint32_t version;

  // A scheduler; the first is named by weft_roster.
  std::uint32_t scheduler_next;            // pointer to the next one, or null
  std::uint32_t scheduler_number;          // unsigned
  std::uint32_t scheduler_thread;          // pointer to the Running of its thread
  std::uint32_t scheduler_thread_id;       // pid_t; 0: no thread runs it, and the pointer is stale
  std::uint32_t scheduler_own_pools;       // std::vector<std::unique_ptr<StackPool>>
  std::uint32_t scheduler_visitors_pools;  // the same
  std::uint32_t scheduler_idle_runner;     // pointer to a fiber that is no task now, or null
  std::uint32_t running_fiber;             // pointer to the fiber that runs, or null

  // A StackPool, and its slabs. The top of stack i of a slab lies at
  // base + (i + 1) * stride - i % colours * colour_step; its Fiber ends there.
  std::uint32_t pool_stride;  // std::size_t
  std::uint32_t pool_slabs;   // std::vector<Slab>
  std::uint32_t slab_base;    // pointer
  std::uint32_t slab_used;    // std::size_t: how many stacks, from the first on, may have a Fiber
  std::uint32_t slab_size;    // sizeof
  std::uint32_t colours;      // a number
  std::uint32_t colour_step;  // bytes

  // A Fiber. Memory that was given back reads as zero, and so as one that is not live.
  std::uint32_t fiber_size;       // sizeof
  std::uint32_t fiber_live;       // bool: it was started, and is not recycled
  std::uint32_t fiber_done;       // bool
  std::uint32_t fiber_id;         // std::uint64_t
  std::uint32_t fiber_name;       // char[]
  std::uint32_t fiber_name_size;  // std::uint8_t
  std::uint32_t fiber_waiter;     // pointer to the Waiter that it is parked in; null if it is ready
  std::uint32_t fiber_parked_at;  // pointer to its registers, on its stack; null while it runs
  std::uint32_t parked_size;      // of these registers; behind them the stack goes on

  // A Waiter. If what it waits in is an empty string, that is an OwnedWait.
  std::uint32_t waiter_what;      // pointer to a string
  std::uint32_t owned_wait_name;  // pointer to a string

  static constexpr DebuggerLayout of_this_build() noexcept;
};

// Where a debugger begins: it finds this by its name. The pointer to the layout keeps the linker
// from dropping that.
struct DebuggerRoster {
  const DebuggerLayout* layout;
  Home* first;  // the first scheduler, or null
};

extern "C" {
extern const DebuggerLayout weft_layout;
extern DebuggerRoster weft_roster;
}

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_ROSTER_H_
