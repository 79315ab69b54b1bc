#ifndef WEFT_FIBER_CORE_STACK_TEXT_H_
#define WEFT_FIBER_CORE_STACK_TEXT_H_

#include <span>

#include "weft/fiber/core/text.h"

namespace weft::internal {

// Writes a line for each return address of a stack, indented: see StackTrace::to_string(). If there
// is no memory for a name, the symbol comes as it is.
void write_stack(Text& text, std::span<void* const> frames) noexcept;

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_STACK_TEXT_H_
