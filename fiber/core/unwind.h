#ifndef WEFT_FIBER_CORE_UNWIND_H_
#define WEFT_FIBER_CORE_UNWIND_H_

#include <cstddef>
#include <span>

#include "weft/fiber/core/context.h"

// How many bytes of registers lie at Context::parked_at(). A literal, for the assembler.
#if defined(__aarch64__)
#define WEFT_PARKED_SIZE 0xb0
#else
#define WEFT_PARKED_SIZE 0x48
#endif

namespace weft::internal {

// Which calls a stack is in: return addresses, the innermost first, as many as there is room for.
// Reads only; allocates nothing; safe in a handler for signals once warm_unwinder() has been
// called, but not for a thread that is throwing: see uncaught_exceptions(). Costs some 0.1 us a
// frame.

// At most this many frames of a stack are of interest.
inline constexpr std::size_t kMaxFrames = 64;

// Of a context that is parked. REQUIRES: it stays parked meanwhile: call this on the thread that
// would run it.
std::size_t walk_parked(const Context& context, std::span<void*> frames) noexcept;

// Of the caller, from the function on that `return_address` leads to. Null: from the caller on.
std::size_t walk_here(std::span<void*> frames, const void* return_address = nullptr) noexcept;

// In a handler for signals: of what was interrupted, from the instruction `interrupted_at` on.
std::size_t walk_interrupted(std::span<void*> frames, const void* interrupted_at) noexcept;

// What the unwinder does the first time may allocate. Call it before the first handler.
void warm_unwinder() noexcept;

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_UNWIND_H_
