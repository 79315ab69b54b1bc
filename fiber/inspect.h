#ifndef WEFT_FIBER_INSPECT_H_
#define WEFT_FIBER_INSPECT_H_

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "weft/fiber/stack_trace.h"
#include "weft/fiber/time.h"

namespace weft {

// A fiber as others see it.
struct TaskInfo {
  enum class State : std::uint8_t { kReady, kRunning, kWaiting, kDone };

  std::uint64_t id = 0;  // of the process: never used twice
  std::string name;      // as given to spawn, cut to 31 bytes
  State state = State::kReady;
  const char* waiting_for = "";  // the call that it waits in, e.g. "sleep_until"

  // How long it has waited, to a few milliseconds; exact on virtual time. If it does not wait: how
  // long the scheduler's loop has not turned, i.e. for how long at most it has run.
  Duration since{};
  // The id of the task that it joins, or that holds the lock that it waits for. Zero if there is
  // none, or it is not known: because a thread holds it, several readers do, it was just released,
  // or a task of another scheduler holds it.
  std::uint64_t waits_for = 0;
  unsigned scheduler = 0;  // its scheduler's place in Runtime::schedulers()
  StackTrace stack;        // by all_tasks({.stacks = true})

  // Cancels the task, as Task::cancel() does. No effect if it has ended since, or its runtime is
  // gone: no other task is ever taken for it. From any fiber or thread; a task may cancel itself.
  // Does not wait. On the thread of the task's scheduler it takes effect at once, elsewhere by a
  // call that is posted to that scheduler. There it looks through all fibers: O(stacks ever used),
  // unless the caller is the task itself. Throws std::bad_alloc; what the posted call throws goes
  // to the exception handler.
  void cancel() const;
};

// What all_tasks() is to find out.
struct TaskListOptions {
  bool stacks = false;  // where each is: costs about 1 us a task, and 5 us if its stack is cold
};

// The fibers that there are, where they wait and for what.
//
//   log(weft::current_task().name);
//   for (const weft::TaskInfo& task : weft::all_tasks()) {
//     if (task.since > 1min) log(task.name, task.waiting_for), task.cancel();
//   }
//   weft::print_tasks();  // of all schedulers, with stacks, on stderr

// The running fiber. Throws std::logic_error outside fibers.
TaskInfo current_task();

// All fibers of the calling fiber's scheduler that have not ended, in no particular order; for
// those of the others, spread([] { return all_tasks(); }). O(stacks ever used). Throws
// std::logic_error outside fibers.
std::vector<TaskInfo> all_tasks(TaskListOptions options = {});

// Prints the fibers of all schedulers of the process, with their stacks. Those that wait for the
// same in the same place are printed together; calls of weft's own are left out. A cycle of tasks
// that wait for each other is named. At most 10,000 fibers are listed, the others counted.
//
// From fibers and plain threads. Blocks the calling thread until the other schedulers have
// answered, as a rule less than a millisecond. A scheduler whose loop does not turn for 100 ms
// is stuck in a fiber: it is interrupted by SIGURG, and that fiber's own stack is printed. A system
// call of that fiber such as poll() or usleep() may then return EINTR. (A thread that blocks
// SIGURG, or runs under ThreadSanitizer, is printed as not answering.) Less is printed if memory
// runs out.
void print_tasks(std::FILE* to = stderr);

}  // namespace weft

#endif  // WEFT_FIBER_INSPECT_H_
