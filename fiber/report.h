#ifndef WEFT_FIBER_REPORT_H_
#define WEFT_FIBER_REPORT_H_

#include <functional>
#include <string_view>

namespace weft {

// Gets what weft has to say: lines that each begin with "weft: " or are indented, without the end
// of the last line.
using ReportHandler = std::function<void(std::string_view text)>;

// Sets where weft's reports go: a shutdown that takes long, a listener out of descriptors, a
// deadlock, a scheduler that is held up, a failure that ends the program. Null: to stderr, as
// before the first call.
//
//   weft::set_report_handler([](std::string_view text) {
//     syslog(LOG_WARNING, "%.*s", static_cast<int>(text.size()), text.data());
//   });
//
// The handler may run on any thread and fiber, on several at once, and in the scheduler's loop, so
// it may not wait; its stack may be small. What it throws is dropped. What weft would say while it
// runs, on the same thread, goes to stderr. So does what is said in a handler for signals, such as
// the overflow of a stack.
//
// Threads: any. A report that is under way may still go to the handler before.
void set_report_handler(ReportHandler handler);

// What happens at a deadlock: tasks wait, and nothing is left that could wake one. No task is
// ready, no time to come, no descriptor is waited for, no job runs, the process has no thread that
// is not weft's, and no handler for signals but weft's own and those that end the program at a
// fault. Otherwise there is no verdict: none is false.
enum class OnDeadlock {
  kAutomatic,  // kFail on virtual time, else kReport
  kIgnore,
  // On virtual time at once; otherwise after a second, or a few while unused stacks are given back
  // to the system. A report says what each task waits for, and names the cycle, if there is one.
  // Once, until a task has run again.
  kReport,
  // And run() throws std::logic_error. At the end of a runtime the program is terminated instead.
  kFail
};

}  // namespace weft

#endif  // WEFT_FIBER_REPORT_H_
