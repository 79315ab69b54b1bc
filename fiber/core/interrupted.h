#ifndef WEFT_FIBER_CORE_INTERRUPTED_H_
#define WEFT_FIBER_CORE_INTERRUPTED_H_

#include <ucontext.h>

#include <cstddef>
#include <cstdint>

namespace weft::internal {

// What a handler for signals has interrupted: for one with SA_SIGINFO, whose third argument this is
// made of.
struct Interrupted {
  explicit Interrupted(const void* handlers_context) noexcept {
    const auto& context = *static_cast<const ucontext_t*>(handlers_context);
    alternate_size = context.uc_stack.ss_size;
#if defined(__x86_64__)
    code = static_cast<std::uintptr_t>(context.uc_mcontext.gregs[REG_RIP]);
    stack = static_cast<std::uintptr_t>(context.uc_mcontext.gregs[REG_RSP]);
#elif defined(__aarch64__)
    code = context.uc_mcontext.pc;
    stack = context.uc_mcontext.sp;
#endif
  }
  std::uintptr_t code = 0;         // the instruction
  std::uintptr_t stack = 0;        // the stack pointer
  std::size_t alternate_size = 0;  // of the thread's stack for handlers
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_INTERRUPTED_H_
