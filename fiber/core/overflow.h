#ifndef WEFT_FIBER_CORE_OVERFLOW_H_
#define WEFT_FIBER_CORE_OVERFLOW_H_

namespace weft::internal {

// Names the fiber that overflows its stack, on stderr:
//
//   weft: task 17 "session" overflowed its stack of 256 KiB, at 0x7f3a1c2bf000
//       #0    _Z5parsei    app+0x17ca    1,008 bytes
//       #1    _Z5parsei    app+0x17d4    1,024 bytes a frame, 249 times
//       #250  _Z14handle_requestv    app+0x1999    64 bytes
//
// A handler of SIGSEGV decides it by the address: the guard of a stack was touched. Afterwards the
// handler that was there before gets the signal; or else the instruction faults once more, and the
// core that this leaves is that of the overflow. The handler cannot run on the stack that is full.
// So each thread that runs a scheduler has another one for signals.
//
// Not under ASan, which has a handler of its own that reports the same.
class OverflowNames {
 public:
  // For the thread that is about to run a scheduler. The first call in the process installs the
  // handler, which stays. A thread that has an alternate stack keeps it; if that is smaller than 16
  // KiB, the functions are left out. If there is no memory for one, an overflow is not named.
  void attach() noexcept;

  // On the same thread.
  void detach() noexcept;

 private:
  void* stack_ = nullptr;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_OVERFLOW_H_
