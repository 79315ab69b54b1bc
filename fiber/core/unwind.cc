#include "weft/fiber/core/unwind.h"

#include <unwind.h>

// walk_parked_context(context, callback, argument) calls _Unwind_Backtrace(callback, argument) such
// that for the unwinder the parked context has made this call. The unwinder finds the caller of a
// function by what the function's unwind information says of where the registers were saved. Here
// that information is written by hand: "in the parked context". So nothing runs on the parked
// stack, and nothing is written to it. (To resume the context with a function that unwinds, as
// others do, would leave it parked inside that function, and cannot be done in a handler.)
extern "C" {
[[gnu::visibility("hidden")]] _Unwind_Reason_Code weft_walk_parked_context(
    const void* context, _Unwind_Trace_Fn callback, void* argument);
[[gnu::visibility("hidden")]] extern const char weft_walk_parked_context_end[];
}

#define WEFT_TEXT(macro) WEFT_QUOTED(macro)
#define WEFT_QUOTED(text) #text

// What is around it for every processor.
#define WEFT_FUNCTION_BEGIN                                          \
  ".pushsection .text.weft_walk_parked_context, \"ax\", @progbits\n" \
  ".globl weft_walk_parked_context\n"                                \
  ".hidden weft_walk_parked_context\n"                               \
  ".type weft_walk_parked_context, @function\n"                      \
  "weft_walk_parked_context:\n"                                      \
  ".cfi_startproc\n"
#define WEFT_FUNCTION_END                                          \
  "ret\n"                                                          \
  ".cfi_endproc\n"                                                 \
  ".globl weft_walk_parked_context_end\n"                          \
  ".hidden weft_walk_parked_context_end\n"                         \
  "weft_walk_parked_context_end:\n"                                \
  ".size weft_walk_parked_context, . - weft_walk_parked_context\n" \
  ".popsection\n"

#if defined(__x86_64__)

asm(WEFT_FUNCTION_BEGIN R"(
  pushq %rbx
  .cfi_def_cfa_offset 16
  .cfi_offset %rbx, -16
  movq %rdi, %rbx
  movq %rsi, %rdi
  movq %rdx, %rsi
  .cfi_remember_state
  .cfi_def_cfa %rbx, )" WEFT_TEXT(WEFT_PARKED_SIZE) R"(
  .cfi_offset %rbp, -0x10
  .cfi_offset %rbx, -0x18
  .cfi_offset %r15, -0x20
  .cfi_offset %r14, -0x28
  .cfi_offset %r13, -0x30
  .cfi_offset %r12, -0x38
  call _Unwind_Backtrace@PLT
  .cfi_restore_state
  popq %rbx
  .cfi_def_cfa_offset 8
  .cfi_restore %rbx
)" WEFT_FUNCTION_END);

#elif defined(__aarch64__)

asm(WEFT_FUNCTION_BEGIN R"(
  stp x29, x30, [sp, -32]!
  .cfi_def_cfa_offset 32
  .cfi_offset x29, -32
  .cfi_offset x30, -24
  str x19, [sp, 16]
  .cfi_offset x19, -16
  mov x29, sp
  mov x19, x0
  mov x0, x1
  mov x1, x2
  .cfi_remember_state
  .cfi_def_cfa x19, )" WEFT_TEXT(WEFT_PARKED_SIZE) R"(
  .cfi_offset x30, -0x10
  .cfi_offset x29, -0x20
  .cfi_offset x28, -0x28
  .cfi_offset x27, -0x30
  .cfi_offset x26, -0x38
  .cfi_offset x25, -0x40
  .cfi_offset x24, -0x48
  .cfi_offset x23, -0x50
  .cfi_offset x22, -0x58
  .cfi_offset x21, -0x60
  .cfi_offset x20, -0x68
  .cfi_offset x19, -0x70
  .cfi_offset d15, -0x78
  .cfi_offset d14, -0x80
  .cfi_offset d13, -0x88
  .cfi_offset d12, -0x90
  .cfi_offset d11, -0x98
  .cfi_offset d10, -0xa0
  .cfi_offset d9, -0xa8
  .cfi_offset d8, -0xb0
  bl _Unwind_Backtrace
  .cfi_restore_state
  ldr x19, [sp, 16]
  ldp x29, x30, [sp], 32
  .cfi_restore x19
  .cfi_restore x29
  .cfi_restore x30
  .cfi_def_cfa_offset 0
)" WEFT_FUNCTION_END);

#else
#error "weft knows how Boost.Context parks a context on x86-64 and aarch64 only"
#endif

namespace weft::internal {
namespace {

struct Walk {
  std::span<void*> frames;
  std::size_t count = 0;
  const void* first = nullptr;  // frames are dropped until this address comes; null: none is
};

bool is_own(const void* address) noexcept {
  return address >= reinterpret_cast<const void*>(&weft_walk_parked_context) &&
         address <= weft_walk_parked_context_end;
}

_Unwind_Reason_Code note_frame(_Unwind_Context* context, void* argument) noexcept {
  Walk& walk = *static_cast<Walk*>(argument);
  int interrupted = 0;
  const _Unwind_Ptr found = _Unwind_GetIPInfo(context, &interrupted);
  if (found == 0) return _URC_END_OF_STACK;
  void* const address = reinterpret_cast<void*>(found);  // NOLINT: it is one
  if (walk.first && address != walk.first) return _URC_NO_REASON;
  if (is_own(address)) return _URC_NO_REASON;
  walk.first = nullptr;
  if (walk.count == walk.frames.size()) return _URC_END_OF_STACK;
  // All are return addresses: just behind the instruction.
  walk.frames[walk.count++] = static_cast<char*>(address) + (interrupted != 0 ? 1 : 0);
  return _URC_NO_REASON;
}

}  // namespace

std::size_t walk_parked(const Context& context, std::span<void*> frames) noexcept {
  Walk walk{frames};
  if (context.parked_at()) weft_walk_parked_context(context.parked_at(), note_frame, &walk);
  return walk.count;
}

[[gnu::noinline]] std::size_t walk_here(std::span<void*> frames,
                                        const void* return_address) noexcept {
  Walk walk{frames};
  walk.first = return_address ? return_address : __builtin_return_address(0);
  _Unwind_Backtrace(note_frame, &walk);
  return walk.count;
}

std::size_t walk_interrupted(std::span<void*> frames, const void* interrupted_at) noexcept {
  return walk_here(frames, interrupted_at);
}

void warm_unwinder() noexcept {
  void* frame = nullptr;
  walk_here({&frame, 1});
}

}  // namespace weft::internal
