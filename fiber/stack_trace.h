#ifndef WEFT_FIBER_STACK_TRACE_H_
#define WEFT_FIBER_STACK_TRACE_H_

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace weft {

// The calls that a fiber or a thread is in: where it waits, or where current() was called.
//
//   std::puts(weft::StackTrace::current().to_string().c_str());
//   for (const auto& task : weft::all_tasks({.stacks = true})) log(task.name,
//   task.stack.to_string());
//
// Taking one reads the stack and writes nothing; it costs some 0.1 us a frame. Names are looked up
// by to_string() only, in the symbol table of the program or library: none are needed for taking
// it.
//
// Threads: a value like any other.
class StackTrace {
 public:
  // At most this many frames, the innermost, are kept.
  static constexpr std::size_t kMaxFrames = 64;

  StackTrace() = default;
  // Of return addresses that were taken in another way, the innermost first.
  explicit StackTrace(std::span<void* const> frames) : frames_(frames.begin(), frames.end()) {}

  // Of the caller, which comes first.
  static StackTrace current();

  // The return addresses, the innermost first.
  std::span<void* const> frames() const noexcept { return frames_; }
  bool empty() const noexcept { return frames_.empty(); }

  // A line for each frame: its number, the function's name, the file that it is in and the call's
  // place in that, as `addr2line -Cfie FILE PLACE` takes it:
  //
  //     #0 transfer(Account&, Account&)  app+0x2a54
  //
  // The innermost frames are left out if they are weft's, and so are the outermost, which only
  // start the fiber. A function without a symbol has no name; where nothing is known of it, there
  // is the address.
  std::string to_string() const;

  bool operator==(const StackTrace&) const = default;

 private:
  std::vector<void*> frames_;
};

}  // namespace weft

#endif  // WEFT_FIBER_STACK_TRACE_H_
