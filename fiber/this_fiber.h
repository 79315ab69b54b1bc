#ifndef WEFT_FIBER_THIS_FIBER_H_
#define WEFT_FIBER_THIS_FIBER_H_

#include <string_view>

#include "weft/fiber/inspect.h"
#include "weft/fiber/time.h"

namespace weft {

// What the running fiber does to itself. The waits also work on plain threads, where they block
// the thread.
//
//   weft::sleep_for(5s);                            // other fibers run meanwhile
//   for (Row& row : rows) work(row), weft::yield();  // and here after each row
//   log(weft::current_task().name);

// Lets the other ready fibers run first. A cancellation point: throws Cancelled, afterwards, if a
// cancellation has reached the fiber by then, or the time of a timeout around it is over. It reads
// the clock if there is one, with no shield between.
void yield();

// Waits. A cancellation point also where the time is over already; never returns early.
// A negative duration counts as zero; other fibers may still run.
void sleep_for(AnyDuration wait);
void sleep_until(AnyTimePoint time);

// Renames the running fiber, as reports and lists of tasks show it: for one that works on one
// request after another. Cut to 31 bytes. Throws std::logic_error outside fibers.
void set_task_name(std::string_view name);

}  // namespace weft

#endif  // WEFT_FIBER_THIS_FIBER_H_
