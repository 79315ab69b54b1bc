#ifndef WEFT_IO_SIGNAL_H_
#define WEFT_IO_SIGNAL_H_

#include <csignal>
#include <initializer_list>
#include <memory>

#include "weft/io/core/socket.h"

namespace weft::internal {
class SignalRoute;
}

namespace weft {

// Signals that a fiber waits for, instead of their usual action.
//
//   SignalSet signals({SIGINT, SIGTERM});
//   const int signal = signals.wait();
//   server.stop();
//
// While a set lives its signals are blocked in the thread that made it, and in every thread that
// this one starts. Another thread, e.g. one that a library started before, may still take such a
// signal: a handler then forwards it to the set's thread. So a signal handler of the program has no
// effect meanwhile. One that is installed meanwhile stays, and gets the signals that such threads
// take. If SIGCHLD is ignored it stays so: the kernel then sends none.
//
// weft's own threads block all signals. A child process inherits what is blocked, also through
// exec: unblock there the signals that should end it. A signal that comes twice before it is waited
// for counts once. If several sets contain a signal, one of them receives it. Signals still pending
// when the last set is destroyed take their usual action.
//
// Not for signals that the processor raises, such as SIGSEGV.
//
// Threads: make, use and destroy a set on the thread of one scheduler. If there are several, let it
// be the first, whose thread is the program's own.
class SignalSet {
 public:
  // Does not wait. Inside weft::run() the set is registered with the reactor at once, so that
  // wait() cannot fail later. Throws std::system_error: invalid_argument for a number that is no
  // signal, or one that cannot be blocked; or if the process is out of descriptors.
  explicit SignalSet(std::initializer_list<int> signals);
  ~SignalSet();
  SignalSet(const SignalSet&) = delete;
  SignalSet& operator=(const SignalSet&) = delete;

  // Waits for the next signal and returns its number. If several have come, they are taken in the
  // order of their numbers, from the last one that was returned, going around: each has its turn.
  // A cancellation point. Throws std::logic_error outside fibers.
  int wait();

 private:
  int take_above(int signal) const noexcept;

  const sigset_t set_;
  internal::Socket source_;
  const std::unique_ptr<const internal::SignalRoute> route_;
  int last_ = 0;  // that wait() has returned; zero before the first
};

}  // namespace weft

#endif  // WEFT_IO_SIGNAL_H_
