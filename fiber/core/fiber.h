#ifndef WEFT_FIBER_CORE_FIBER_H_
#define WEFT_FIBER_CORE_FIBER_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <string_view>
#include <type_traits>

#include "weft/fiber/cancel.h"
#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/completion.h"
#include "weft/fiber/core/context.h"
#include "weft/fiber/core/inbox.h"
#include "weft/fiber/core/intrusive_list.h"
#include "weft/fiber/core/running.h"

namespace weft {
class TaskGroup;
struct SpawnOptions;
}  // namespace weft

namespace weft::internal {

class LocalTable;
class RunQueue;
class Scope;
class StackPool;
class Waiter;
struct Orphanage;

// How a fiber's work ended.
enum class Ending : std::uint8_t {
  kNone,       // it has not ended
  kValue,      // the result is in the payload
  kException,  // in Fiber::exception
  kCancelled,  // it left by Cancelled
  kTaken,      // what there was has been taken
};

// Whether a handle of a fiber is left.
enum class Ownership : std::uint8_t {
  kHeld,
  kGone,              // nobody: dropped on the home thread, or there never was one
  kDroppedElsewhere,  // none is left, but the thread that dropped it may hold the completion's lock
};

// A fiber as messages name it: fiber 3 "name", or fiber 3. What it is called may differ.
struct FiberLabel {
  FiberLabel() = default;
  explicit FiberLabel(const Fiber& fiber, const char* noun = "fiber") noexcept;
  char text[80] = {};
};

// How cancellation reaches a fiber now: see cancel.h. Both bytes are looked at by one instruction.
struct Attention {
  bool cancelled = false;  // the next wait throws Cancelled
  bool limited = false;    // a timeout around it may expire, with no shield between

  // Whether yield() has to look for a cancellation.
  bool needed() const noexcept {
    std::uint16_t both;
    static_assert(sizeof(both) == sizeof(*this));
    std::memcpy(&both, this, sizeof(both));
    return both != 0;
  }
};

// What a switch and a wake-up touch: one cache line, the first of the control block.
struct FiberHot : Attention {
  bool cancel_requested = false;  // by Task::cancel() or a shutdown; until the work is over
  bool refusals_told = false;     // on stderr
  std::uint16_t refusals = 0;     // waits that threw at once, since `cancelled` changed
  Context context;
  Fiber* next_ready = nullptr;      // on the ready queue
  Atomic<RunQueue*> home{nullptr};  // runs it, all its life; null once that is gone
  Waiter* waiter = nullptr;         // what it is parked in; null while it runs or is ready
};
#if !defined(WEFT_ASAN) && !defined(WEFT_TSAN) && !defined(WEFT_VALGRIND)
static_assert(sizeof(FiberHot) == 64);
#endif

// The control block of a fiber, at the top of its own stack, with the callable and the result.
//
// A stack's control block and context are made once and serve one task after another: between
// tasks the context is parked in the loop of Lives::hand_over(). One life of a block: reserve() ->
// payload constructed -> start() -> work -> finish -> its handle is released -> recycled. The block
// is recycled when both the work has ended and no handle is left, on the home thread.
//
// Threads: plain members belong to the home thread, but what a handle reads after done() was seen
// true was published by it. `completion` has the lock for the rest.
class alignas(64) Fiber : public FiberHot,
                          public InboxNode,
                          public ListNode<TaskGroup>,
                          public LockOwner {
 public:
  // Callables with their results up to this size live here, larger ones on the heap.
  static constexpr std::size_t kPayloadSize = 256;
  static constexpr std::size_t kNameSize = 32;

  // Tasks of other threads for the home thread, bits of `requests`.
  enum Request : std::uint32_t {
    kStart = 1,     // it was spawned by another thread: make it ready for the first time
    kWake = 2,      // its waiter was claimed: make it ready
    kCancel = 4,    // see cancel()
    kRecycle = 8,   // the last handle is gone, and it has ended
    kForeign = 16,  // with kStart: not by a fiber on its way out, whose end is that of its own, too
    kStartForeign = kStart | kForeign,
    kInterrupt = 32  // see Scope::interrupt()
  };

  Fiber() noexcept;

  bool done() const noexcept { return completion.done(); }
  std::string_view name_view() const noexcept { return {name, name_size}; }
  void set_name(std::string_view text) noexcept {
    name_size = 0;
    if (!text.empty()) copy_name(text);
  }
  // Fetches what a spawn writes into the cache.
  void prefetch() const noexcept {
    const char* const block = reinterpret_cast<const char*>(this);
    for (int line = 0; line < 3; ++line) __builtin_prefetch(block + line * 64, 1);
  }

  // For waits in the queue of `completion`: see OwnedWait.
  static OwnedWait::Owner owner_of(WaitQueue& queue) noexcept;
  static const OwnedWait kJoin;
  static const OwnedWait kJoinByDestructor;

  // From any thread that has a handle: makes its current or next wait throw, and all later ones.
  void cancel() noexcept;

  // What was to be cancelled is over. What is destroyed from now on may wait like anybody.
  void end_work() noexcept {
    work = nullptr;
    cancelled = cancel_requested = refusals_told = false;
    refusals = 0;
  }

  // Cancelled has left the work: what that means for the owner.
  void end_by_cancelled() noexcept;

  // Reports the failure that was kept for the task, which ends otherwise.
  void report_kept() noexcept;

  // The task has ended, and holds a lock. Ends the program with a sentence.
  [[noreturn, gnu::cold]] void fail_holding() const noexcept;

  // From any thread: asks the home thread for something. `completion`'s lock is held, or the
  // fiber cannot end meanwhile for another reason.
  void request(Request what) noexcept;

  // The task at hand.
  // `work` runs and destroys the callable and sets the ending; null once it is over.
  void (*work)(Fiber&) noexcept = nullptr;
  void (*drop)(Fiber&) noexcept = nullptr;  // destroys the result and frees a payload on the heap
  void* payload = nullptr;
  Scope* scope = nullptr;  // the innermost one
  // A failure that was found while the stack unwound, and the scope that has to report it; null:
  // the task itself.
  std::exception_ptr kept;
  Scope* kept_in = nullptr;
  bool kept_while_cancelled = false;  // so it is most likely Cancelled that unwound
  std::exception_ptr exception;
  TaskGroup* group = nullptr;
  void (*ended)(Fiber&) noexcept = nullptr;  // called at the end, if there is a group
  LocalTable* locals = nullptr;
  Completion completion;
  Ending ending = Ending::kNone;
  // Changes once; by other threads, with the completion's lock.
  Atomic<Ownership> handle{Ownership::kHeld};
  bool live = false;     // started, and not recycled
  bool visitor = false;  // its stack is of the pools for spawns by other threads
  std::uint8_t name_size = 0;
  std::uint64_t id = 0;
  StackPool* pool = nullptr;
  Orphanage* orphanage = nullptr;  // keeps the stack once home is null
  char name[kNameSize];
  Atomic<std::uint32_t> requests{0};
  std::uint64_t woken_by = 0;  // with kWake and kStart: the fiber that asks, if it is traced

  alignas(std::max_align_t) std::byte storage[kPayloadSize];

 private:
  void copy_name(std::string_view text) noexcept;
};

// The caller: its fiber, or else its thread.
inline LockOwner& caller() noexcept {
  if (Fiber* const fiber = current_fiber()) return *fiber;
  return this_thread_owner();
}

// Whether a wait of the running fiber has to throw Cancelled. A destructor that was called by
// unwinding is cancelled only by scopes of its own.
bool scopes_reach(const Fiber& running) noexcept;
inline bool cancellation_due(const Fiber& running) noexcept {
  return running.cancelled && scopes_reach(running);
}

// Whether a wait of the running fiber would be an error: see NoWaitingScope. REQUIRES:
// Fiber::cancelled.
bool waiting_is_refused(const Fiber& running) noexcept;

// Throws Cancelled in the running fiber, which was about to wait in `what`: others run first. A
// fiber that catches it and tries again, over and over, is reported, and slowed down. In a
// NoWaitingScope, throws what that says.
[[noreturn]] void refuse_wait(const char* what);

// Throws Cancelled if the caller is a fiber that is cancelled, for a call that fails without a
// wait: others run first.
void throw_if_cancelled();

// Runs the body of a fiber's work, unless it was cancelled before it began, and notes its ending.
// What the caller destroys afterwards may wait.
template <class Body>
void run_work(Fiber& fiber, Body body) noexcept {
  if (fiber.cancel_requested) {
    fiber.ending = Ending::kCancelled;
    fiber.end_work();
    return;
  }
  try {
    body();
    fiber.ending = Ending::kValue;
  } catch (const Cancelled&) {
    fiber.end_by_cancelled();
  } catch (...) {
    fiber.exception = std::current_exception();
    fiber.ending = Ending::kException;
  }
  if (fiber.kept) [[unlikely]]
    fiber.report_kept();
  fiber.end_work();
}

// ---- One life of a block ------------------------------------------------------------------------

// A fiber without work yet, for the scheduler that the options name. The caller fills its payload
// and then calls start() or unreserve(). Throws as StackPool::take() does, and std::logic_error
// where the options name no scheduler and the caller is no fiber.
//
// The type of `layout` is part of the function's name: where a program is compiled for ASan or TSan
// and the library is not, or the other way round, their fibers differ, and the linker says so.
using Layout = std::integral_constant<std::size_t, sizeof(Context)>;
Fiber& reserve(const SpawnOptions& options, Layout layout = {});
void start(Fiber& fiber, const SpawnOptions& options) noexcept;
void unreserve(Fiber& fiber) noexcept;
// The same for a fiber that has its work already: destroys the callable, which may wait.
void discard(Fiber& fiber) noexcept;

// The handle of a fiber is given up: what it would have taken goes to the exception handler, and
// the block is recycled, now or when the work has ended. From any thread.
void release(Fiber& fiber) noexcept;

// True in a child of the process in which the fiber was started and has not ended: it never will.
bool left_behind(const Fiber& fiber) noexcept;

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_FIBER_H_
