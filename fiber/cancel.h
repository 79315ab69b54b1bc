#ifndef WEFT_FIBER_CANCEL_H_
#define WEFT_FIBER_CANCEL_H_

#include <exception>
#include <stdexcept>

namespace weft {

namespace internal {

[[noreturn]] void throw_cancelled();

// What another task may be given: `exception`, or TaskCancelled in place of a Cancelled.
std::exception_ptr for_another_task(std::exception_ptr exception) noexcept;

}  // namespace internal

// What a wait throws in a fiber that was cancelled: by Task::cancel(), by the end of its owner or
// of the runtime, by a timeout or another CancelScope around it, or by a child's failure in
// with_task_group().
//
// Cancellation is a level, not an event: from the request on, every wait of the fiber throws, so a
// `catch (...)` may delay the end but cannot swallow it. A wait that throws at once lets others run
// first. A fiber that catches Cancelled 1,000 times in a row and waits again is named on stderr,
// once. From then on each of its waits takes a millisecond. Waits do not throw inside shield(),
// except for a scope or a group's body that begins in there. Cancelled is no std::exception, so
// that a handler for errors does not catch it by accident. Only weft throws it.
//
// A destructor may wait. If stack unwinding has called it, its waits do not throw, except for a
// timeout or a group's body that begins in the destructor itself. Otherwise the waits of a
// cancelled fiber do throw there. As a destructor is noexcept, Cancelled that leaves it ends the
// program, with a sentence. So a destructor waits in shield(), or in shield_for(), which also
// limits how long.
//
//   try {
//     serve(stream);
//   } catch (const weft::Cancelled&) {
//     weft::shield([&] { say_goodbye(stream); });  // these waits do not throw
//     throw;
//   }
//
// It concerns the fiber that was cancelled and no other. Where it is handed to another task, by
// Promise::set_exception(), a Queue<std::exception_ptr>, run_in_executor() or the exception
// handler, it arrives as TaskCancelled.
class Cancelled final {
 private:
  friend void internal::throw_cancelled();
  Cancelled() = default;
};

// What joining a task throws when that task ended by cancellation.
class TaskCancelled : public std::runtime_error {
 public:
  TaskCancelled() : std::runtime_error("weft: the task was cancelled") {}
};

// What with_timeout and with_deadline throw when the time is over.
class TimeoutError : public std::runtime_error {
 public:
  TimeoutError() : std::runtime_error("weft: the time is over") {}
};

}  // namespace weft

#endif  // WEFT_FIBER_CANCEL_H_
