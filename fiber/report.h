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
//   weft::set_report_handler([](std::string_view text) { syslog(LOG_WARNING, "%.*s",
//                                                               int(text.size()), text.data()); });
//
// The handler may run on any thread and fiber, on several at once, and in the scheduler's loop, so
// it may not wait; its stack may be small. What it throws is dropped. What weft would say while it
// runs, on the same thread, goes to stderr. So does what is said in a handler for signals, such as
// the overflow of a stack.
//
// Threads: any. A report that is under way may still go to the handler before.
void set_report_handler(ReportHandler handler);

}  // namespace weft

#endif  // WEFT_FIBER_REPORT_H_
