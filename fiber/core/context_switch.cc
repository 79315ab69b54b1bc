// What prepares a context, and binds a thread to the switch. Context is declared in context.h.

#include "weft/fiber/core/context_switch.h"

#include <cxxabi.h>
#include <pthread.h>

#include <boost/context/fiber.hpp>
#include <boost/context/preallocated.hpp>
#include <boost/version.hpp>
#include <cerrno>
#include <new>

#include "weft/fiber/core/context.h"

#if defined(WEFT_ASAN)
#include <sanitizer/lsan_interface.h>

#include <atomic>
#include <utility>
#endif
#if defined(WEFT_VALGRIND)
#include <valgrind/valgrind.h>
#endif

namespace weft::internal {
namespace {

// The stack belongs to a StackPool; Boost only borrows it.
struct Borrowed {
  boost::context::stack_context allocate() { return {}; }
  void deallocate(boost::context::stack_context&) noexcept {}
};

#if defined(WEFT_ASAN)

// LeakSanitizer knows the stack that each thread runs on, and no other. Where a program calls
// exit() in a fiber, what only others refer to would be a leak: so theirs are made known, and the
// thread's own. All of each, dead frames too, so that a true leak may be hidden there. Up to a
// number, because each one that is taken back is looked for in a list.
constexpr int kMaxLeakRoots = 8192;
constinit std::atomic<int> leak_roots{0};

bool register_leak_root(const void* bottom, std::size_t size) noexcept {
  // Relaxed, both: the count bounds a list, and orders nothing.
  if (leak_roots.fetch_add(1, std::memory_order_relaxed) >= kMaxLeakRoots) {
    leak_roots.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  __lsan_register_root_region(bottom, size);
  return true;
}

void unregister_leak_root(const void* bottom, std::size_t size) noexcept {
  __lsan_unregister_root_region(bottom, size);
  leak_roots.fetch_sub(1, std::memory_order_relaxed);
}

#endif

}  // namespace

void Context::create(void* bottom, void* top, void (*entry)(void*), void* argument) {
  namespace bc = boost::context;
  bc::stack_context stack;
  stack.sp = top;
  stack.size = static_cast<std::size_t>(static_cast<char*>(top) - static_cast<char*>(bottom));
#if defined(WEFT_VALGRIND)
  // Before the first jump: without it, that looks like one huge frame of the running stack.
  valgrind_id_ = VALGRIND_STACK_REGISTER(bottom, top);
#endif
#if defined(WEFT_TSAN)
  // Boost runs a few of its own functions on the new stack: TSan must book them there.
  tsan_fiber_ = __tsan_create_fiber(0);
  void* creator = __tsan_get_current_fiber();
  const std::uint64_t signals = block_signals();
  __tsan_switch_to_fiber(tsan_fiber_, 0);
#endif
  new (&handle_) bc::fiber(std::allocator_arg, bc::preallocated(top, stack.size, stack), Borrowed(),
                           [entry, argument](bc::fiber&&) -> bc::fiber {
                             entry(argument);
                             __builtin_unreachable();
                           });
#if defined(WEFT_TSAN)
  __tsan_switch_to_fiber(creator, 0);
  unblock_signals(signals);
#endif
#if defined(WEFT_ASAN)
  fake_stack_ = nullptr;
  bottom_ = bottom;
  size_ = stack.size;
  leak_root_ = register_leak_root(bottom_, size_);
#endif
}

void Context::adopt_thread() noexcept {
#if defined(WEFT_ASAN)
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
    void* bottom = nullptr;
    pthread_attr_getstack(&attributes, &bottom, &size_);
    bottom_ = bottom;
    pthread_attr_destroy(&attributes);
    leak_root_ = register_leak_root(bottom_, size_);
  }
#endif
#if defined(WEFT_TSAN)
  tsan_fiber_ = __tsan_get_current_fiber();
#endif
}

void Context::disown_thread() noexcept {
#if defined(WEFT_ASAN)
  if (std::exchange(leak_root_, false)) unregister_leak_root(bottom_, size_);
#endif
}

void Context::destroy() noexcept {
#if defined(WEFT_TSAN)
  if (tsan_fiber_) __tsan_destroy_fiber(tsan_fiber_);
  tsan_fiber_ = nullptr;
#endif
#if defined(WEFT_ASAN)
  if (std::exchange(leak_root_, false)) unregister_leak_root(bottom_, size_);
#endif
#if defined(WEFT_VALGRIND)
  VALGRIND_STACK_DEREGISTER(valgrind_id_);
#endif
  handle_ = nullptr;
}

// What jump_fcontext() and ontop_fcontext() leave on the stack that they park has been laid out
// like this since 1.81. It is not part of Boost's interface: a test unwinds a known chain of calls.
static_assert(BOOST_VERSION >= 108100);

const void* Context::parked_at() const noexcept {
#if BOOST_CONTEXT_SHADOW_STACK
  // One word more precedes them.
  if (handle_) return static_cast<const char*>(handle_) + sizeof(void*);
#endif
  return handle_;
}

void SwitchState::bind() noexcept {
  exceptions = reinterpret_cast<ExceptionState*>(abi::__cxa_get_globals());
  error = &errno;
}

}  // namespace weft::internal
