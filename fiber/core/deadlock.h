#ifndef WEFT_FIBER_CORE_DEADLOCK_H_
#define WEFT_FIBER_CORE_DEADLOCK_H_

#include <atomic>

namespace weft::internal {

// What a verdict of deadlock has to know of: see deadlock.cc.

// Threads of weft's own that wait for others to give them something to do, and so wake no fiber. A
// thread stops counting before it is given something, not when it has noticed.
extern constinit std::atomic<int> resting_threads;

// A handler for signals of weft's own, which wakes no fiber but one that is to be cancelled. Any
// other handler might wake one.
void add_harmless_handler(void (*handler)(int)) noexcept;

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_DEADLOCK_H_
