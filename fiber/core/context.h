#ifndef WEFT_FIBER_CORE_CONTEXT_H_
#define WEFT_FIBER_CORE_CONTEXT_H_

#include <cstddef>
#include <cstdint>

// Which sanitizer this is compiled for, as gcc and clang each say it: WEFT_ASAN, WEFT_TSAN.

#if defined(__SANITIZE_ADDRESS__)
#define WEFT_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define WEFT_TSAN 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEFT_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define WEFT_TSAN 1
#endif
#endif

namespace weft::internal {

// The C++ runtime's record of a thread's exceptions, as the Itanium C++ ABI lays it out: the
// stack of those being handled, and how many are in flight. weft keeps one for each fiber.
struct ExceptionState {
  void* caught = nullptr;
  unsigned uncaught = 0;
};

// What is kept of a line of execution while it does not run: its registers (on its own stack,
// through boost::context::fiber), its exception state and its errno.
class Context {
 public:
  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // Prepares `entry(argument)` to run on the stack [bottom, top) at the first switch to this
  // context. `entry` must call SwitchState::arrive() first, and must never return.
  void create(void* bottom, void* top, void (*entry)(void* argument), void* argument);

  // Makes this the context of the calling thread's own stack, until disown_thread().
  void adopt_thread() noexcept;
  void disown_thread() noexcept;

  // Gives back what sanitizers hold. The stack itself is dropped without being unwound:
  // the caller knows that nothing is left on it.
  void destroy() noexcept;

  // While not running: fetches the saved registers into the cache.
  void prefetch() const noexcept {
    __builtin_prefetch(handle_);
    __builtin_prefetch(static_cast<const char*>(handle_) + 64);
  }

  // While not running: where its registers lie, for unwind.cc; null while it runs, and before
  // create(). Safe in a handler for signals.
  const void* parked_at() const noexcept;

  // While not running: how many exceptions are in flight, as std::uncaught_exceptions() says it;
  // not zero if a destructor that one of them called waits.
  unsigned uncaught_exceptions() const noexcept { return exceptions_.uncaught; }

 private:
  friend struct DebuggerLayout;
  friend struct SwitchState;

  void* handle_ = nullptr;  // the storage of a boost::context::fiber, which is one pointer
  ExceptionState exceptions_;
  int errno_ = 0;
#if defined(WEFT_ASAN)
  void* fake_stack_ = nullptr;
  const void* bottom_ = nullptr;
  std::size_t size_ = 0;
  bool leak_root_ = false;
#endif
#if defined(WEFT_TSAN)
  void* tsan_fiber_ = nullptr;
#endif
#if defined(WEFT_VALGRIND)
  unsigned valgrind_id_ = 0;
#endif
};

// A thread's part in the switch, whose code is in context_switch.h.
struct SwitchState {
  // To be called on the thread that will switch: the two addresses are constants of a thread.
  void bind() noexcept;

  // Leaves `from`, which is the running context, and goes on in `to`, which is not. Returns when
  // somebody switches back to `from`, which must then call restore(from).
  void jump(Context& from, Context& to) noexcept;
  void restore(Context& self) noexcept;

  // Leaves the running context for ever, and calls f() on the stack of `to`, which waits there and
  // never goes on. f() does not return. What either stack holds is not unwound.
  template <class F>
  [[noreturn]] void leave(Context& to, F f) noexcept;

  // The first thing that a new context does.
  void arrive() noexcept;

  ExceptionState* exceptions = nullptr;  // the running fiber's, as the C++ runtime keeps it
  int* error = nullptr;                  // errno
#if defined(WEFT_TSAN)
  std::uint64_t signals = 0;  // those that the thread blocks, while it switches
#endif
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_CONTEXT_H_
