#ifndef WEFT_IO_SIGNAL_H_
#define WEFT_IO_SIGNAL_H_

#include <sys/types.h>

#include <csignal>
#include <initializer_list>

#include "weft/fiber/core/intrusive_list.h"
#include "weft/io/core/socket.h"

namespace weft {

namespace internal {
class Fiber;
}

// For weft's own files: while it lives, signals come to the thread that made it, and wait there.
// The thread blocks them. One that another thread takes, because it does not block it, is forwarded
// by a handler; what was there before is put back when the last route of the signal ends.
class SignalRoute : public ListNode<> {
 public:
  explicit SignalRoute(const sigset_t& signals) noexcept;
  ~SignalRoute();
  SignalRoute(const SignalRoute&) = delete;
  SignalRoute& operator=(const SignalRoute&) = delete;

  const sigset_t& signals() const noexcept { return signals_; }
  pid_t thread() const noexcept { return thread_; }
  void set_thread(pid_t thread) noexcept { thread_ = thread; }

 private:
  const sigset_t signals_;
  pid_t thread_;
};

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
  SignalSet(const SignalSet&) = delete;
  SignalSet& operator=(const SignalSet&) = delete;

  // The next signal's number. Of several that have come, the next higher one after the last that
  // this returned, going around: none waits for ever. A cancellation point. Throws std::logic_error
  // outside fibers.
  int wait();

 private:
  int take_above(int signal) const noexcept;

  const sigset_t set_;
  Socket source_;
  const SignalRoute route_;
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
