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

// Signals to wait for, instead of what they do otherwise.
//
//   SignalSet signals({SIGINT, SIGTERM});
//   int signal = signals.wait();
//
// While it lives the signals are blocked in the thread that made it, and every thread that it
// starts inherits that. A thread that does not block them, such as one that a library started
// before, may still take one: there a handler forwards it to the set's thread. So a signal handler
// of the program is out of use meanwhile; one that is installed meanwhile stays, and gets what such
// threads take. If SIGCHLD is ignored it stays so: the kernel then sends none.
//
// weft's own threads block all signals. A child process inherits what is blocked, also through
// exec: unblock there what it should be ended by. A signal that comes twice before it is waited for
// counts once. If several sets contain a signal, one of them receives it. Signals still pending
// when the last set is destroyed take their usual action.
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

  const sigset_t set_;
  internal::Socket source_;
  const std::unique_ptr<const internal::SignalRoute> route_;
  int last_ = 0;  // that wait() has returned; 0: none yet
};

}  // namespace weft

#endif  // WEFT_IO_SIGNAL_H_
