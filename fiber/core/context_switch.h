#ifndef WEFT_FIBER_CORE_CONTEXT_SWITCH_H_
#define WEFT_FIBER_CORE_CONTEXT_SWITCH_H_

#include <boost/context/fiber.hpp>
#include <cstring>
#include <new>
#include <utility>

#include "weft/fiber/core/context.h"

#if defined(WEFT_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(WEFT_TSAN)
#include <sanitizer/tsan_interface.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#endif

// The switch itself, apart from context.h so that only the sources of Context and of the scheduler
// see Boost's header, and the latter inlines this.
//
// It goes through resume_with(), which calls a function on the stack it arrives at, and not through
// resume(). That function stores the handle of the context that was left, so none has to be kept of
// the one that runs; and it arrives by a `ret` that pairs with the `call` it left by, where
// resume() arrives by an indirect jump. So the processor's stack of return addresses stays in step,
// and the functions above the switch return as predicted where both contexts wait in the same
// place. Each return mispredicted costs as much as the switch itself.
namespace weft::internal {

inline boost::context::fiber& context_handle(void*& storage) noexcept {
  static_assert(sizeof(boost::context::fiber) == sizeof(storage));
  return *std::launder(reinterpret_cast<boost::context::fiber*>(&storage));
}

#if defined(WEFT_TSAN)

// A signal that comes between two calls that TSan sees waits for the next one, which runs the
// handler: the next of the fiber that was hit. So none may come from its last call to the switch,
// after which it may never run again. Returns what to pass to unblock_signals(), on this thread.
inline std::uint64_t block_signals() noexcept {
  constexpr std::uint64_t kAll = ~std::uint64_t{0};
  std::uint64_t before = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &kAll, &before, sizeof(before));
  static std::atomic<int> call{0};  // the call for those that came before; it orders nothing
  (void)call.load(std::memory_order_relaxed);
  return before;
}

inline void unblock_signals(std::uint64_t before) noexcept {
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof(before));
}

#endif

// Boost.Context 1.88 and later swaps the exception state too. Its swap nests inside this one and is
// harmless; this one stays because the state of a fiber that waits is asked for.
inline void SwitchState::jump(Context& from, Context& to) noexcept {
  std::memcpy(&from.exceptions_, exceptions, sizeof(ExceptionState));  // one move, not two
  from.errno_ = *error;
#if defined(WEFT_ASAN)
  __sanitizer_start_switch_fiber(&from.fake_stack_, to.bottom_, to.size_);
#endif
#if defined(WEFT_TSAN)
  signals = block_signals();
  __tsan_switch_to_fiber(to.tsan_fiber_, 0);
#endif
  auto store = [&from](boost::context::fiber&& left) {
    // The handle of a running context is empty, and an empty one needs no destruction.
    new (&from.handle_) boost::context::fiber(std::move(left));
    return boost::context::fiber();
  };
  (void)std::move(context_handle(to.handle_)).resume_with(store);
}

inline void SwitchState::restore(Context& self) noexcept {
#if defined(WEFT_ASAN)
  __sanitizer_finish_switch_fiber(self.fake_stack_, nullptr, nullptr);
#endif
#if defined(WEFT_TSAN)
  unblock_signals(signals);
#endif
  std::memcpy(exceptions, &self.exceptions_, sizeof(ExceptionState));
  *error = self.errno_;
}

template <class F>
void SwitchState::leave(Context& to, F f) noexcept {
#if defined(WEFT_ASAN)
  void* kept = nullptr;  // what lies on the stack that is left is still used
  __sanitizer_start_switch_fiber(&kept, to.bottom_, to.size_);
#endif
#if defined(WEFT_TSAN)
  // To TSan a fiber is a thread, and in the child of several threads it ignores what the one does
  // that has forked. So it is not told of the switch.
  signals = block_signals();
#endif
  (void)std::move(context_handle(to.handle_)).resume_with([&](boost::context::fiber&& left) {
    restore(to);
    f();
    return std::move(left);
  });
  __builtin_unreachable();
}

inline void SwitchState::arrive() noexcept {
#if defined(WEFT_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
#if defined(WEFT_TSAN)
  unblock_signals(signals);
#endif
  *exceptions = {};
  *error = 0;
}

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_CONTEXT_SWITCH_H_
