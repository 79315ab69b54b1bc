#include "weft/fiber/stack_trace.h"

#include "weft/fiber/core/stack_text.h"
#include "weft/fiber/core/text.h"
#include "weft/fiber/core/unwind.h"

namespace weft {

static_assert(StackTrace::kMaxFrames == internal::kMaxFrames);

[[gnu::noinline]] StackTrace StackTrace::current() {
  void* frames[kMaxFrames];
  const std::size_t count = internal::walk_here(frames, __builtin_return_address(0));
  return StackTrace({frames, count});
}

std::string StackTrace::to_string() const {
  std::string lines;
  {
    internal::Text text(internal::to_string, &lines);
    internal::write_stack(text, frames_);
  }
  return lines;
}

}  // namespace weft
