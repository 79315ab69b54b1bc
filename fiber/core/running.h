#ifndef WEFT_FIBER_CORE_RUNNING_H_
#define WEFT_FIBER_CORE_RUNNING_H_

#include <atomic>
#include <cstdint>
#include <limits>

#include "weft/fiber/time.h"

namespace weft::internal {

class Fiber;
class RunQueue;
class Tracer;

// What runs on a thread. Written by the scheduler that runs there.
struct Running {
  static constexpr std::int64_t kNoTurn = std::numeric_limits<std::int64_t>::max();

  // First: g++ needs an instruction less for what is at the address itself.
  RunQueue* untraced = nullptr;   // the scheduler, but null while a Trace records it
  RunQueue* scheduler = nullptr;  // null on a plain thread
  // Null on a plain thread and in a scheduler's loop. From before a switch until after it: what is
  // switched to, which may be the loop's own, without a stack of a pool.
  Fiber* fiber = nullptr;
  // Resumptions until the turn may be over: see Turn.
  std::int64_t budget = kNoTurn;
  // When the loop looked last, to a few milliseconds, and how often it has; for reports.
  TimePoint turn_began{};
  std::uint64_t turns = 0;
  Tracer* tracer = nullptr;  // where it is recorded; otherwise null
};

// Of the calling thread. For -fPIC, which would make a call of each access, the model of its
// storage is named. Otherwise the compiler knows a better one, which takes no register.
#if defined(__PIC__) && !defined(__PIE__)
[[gnu::tls_model("initial-exec")]]
#endif
inline constinit thread_local Running running;

inline Fiber* current_fiber() noexcept { return running.fiber; }

// The same. Throws std::logic_error, saying that `caller` needs a fiber.
Fiber& require_fiber(const char* caller);

// To be called before what may wait but often need not, such as taking an item: it counts as a
// resumption, so that a loop of such waits holds up nothing. If the turn is over, the loop has its
// look. Then the caller goes on first; only at every fourth turn in a row that it ends like this,
// all others run before. Not a cancellation point. Outside fibers it does nothing.
inline void count_wait() noexcept;

// The two halves of it: the second is due if the first returns true.
inline bool count_down() noexcept { return --running.budget < 0; }
[[gnu::cold]] void let_loop_look() noexcept;

inline void count_wait() noexcept {
  if (count_down()) [[unlikely]]
    let_loop_look();
}

// What may own a lock: a fiber, or a plain thread. Its address is its name in the locks that it
// holds. A later fiber, or thread, may get the same address. So a fiber or thread that ends while
// it holds a lock ends the program.
struct alignas(8) LockOwner {
  // How many locks it holds. Only the owner itself changes this.
  std::uint32_t locks_held = 0;
};

// The calling thread as one. It lives until the thread ends. If the thread then holds a lock, which
// nobody else could unlock, the program ends with a sentence. (Not where the program is ending
// anyway.)
LockOwner& this_thread_owner() noexcept;

// How many forks lie between the program's first process and this one. Counted by a handler of
// pthread_atfork(), which fork() calls; vfork(), clone() and _Fork() do not.
extern constinit std::atomic<unsigned> forks_so_far;

// The process that an object was made in. fork() copies the object into a child, but no thread
// other than the one that forks. What the kernel keeps (an epoll instance, an eventfd) is shared by
// both: a child that changes it takes it away from its parent.
//
// Threads: any. Safe in a handler for signals. Costs a load and a comparison.
class HomeProcess {
 public:
  // The calling process.
  HomeProcess() noexcept : forks_(current()) {}

  // False in a child that was forked since.
  bool is_this() const noexcept { return forks_ == current(); }

 private:
  // Relaxed: it only changes where there is one thread.
  static unsigned current() noexcept { return forks_so_far.load(std::memory_order_relaxed); }

  unsigned forks_;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_RUNNING_H_
