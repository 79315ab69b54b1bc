#ifndef WEFT_IO_SIGNAL_H_
#define WEFT_IO_SIGNAL_H_

#include <csignal>
#include <initializer_list>

#include "weft/io/socket.h"

namespace weft {

class Fiber;

// Signals to wait for, instead of what they do otherwise.
//
//   SignalSet signals({SIGINT, SIGTERM});
//   int signal = signals.wait();
//
// While it lives the signals are blocked in the thread that made it, so make it before starting
// threads of your own: they inherit that, and a signal goes to any thread that does not block it.
// weft's own threads block all. A child process inherits it, too, also through exec: unblock there
// what it should be ended by. A signal that comes twice before it is waited for counts once. Of
// several sets with the same signal one gets it. What nobody has waited for when the last set of a
// signal goes does what it would have done.
//
// Signals that the processor raises, such as SIGSEGV, are not for this.
// Threads: those of one scheduler, on whose thread it has to be made and destroyed: of several the
// first, whose thread is the program's own.
class SignalSet {
 public:
  // Inside weft::run() it is registered at once, so that wait() has nothing to fail at. Throws
  // std::system_error: invalid_argument for a number that is no signal, or one that cannot be
  // taken; out of descriptors, or of what epoll takes.
  explicit SignalSet(std::initializer_list<int> signals);
  ~SignalSet();
  SignalSet(const SignalSet&) = delete;
  SignalSet& operator=(const SignalSet&) = delete;

  // The next signal's number. Of several that have come, the next higher one after the last that
  // this returned, going around: none waits for ever. A cancellation point. Throws std::logic_error
  // outside fibers.
  int wait();

 private:
  int take_above(int signal) const noexcept;

  sigset_t set_;
  Socket source_;
  int last_ = 0;  // that wait() has returned; 0: none yet
};

// For weft's own files: while it lives, SIGINT or SIGTERM cancels a fiber; a second one ends the
// program. Only on the main thread, for one fiber at a time, and not for a signal that the program
// handles or ignores.
class CancelOnSignal {
 public:
  // `fiber` must outlive this.
  explicit CancelOnSignal(Fiber& fiber) noexcept;
  ~CancelOnSignal();
  CancelOnSignal(const CancelOnSignal&) = delete;
  CancelOnSignal& operator=(const CancelOnSignal&) = delete;

 private:
  bool active_ = false;
};

}  // namespace weft

#endif  // WEFT_IO_SIGNAL_H_
