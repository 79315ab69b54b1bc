#ifndef WEFT_IO_CORE_CANCEL_ON_SIGNAL_H_
#define WEFT_IO_CORE_CANCEL_ON_SIGNAL_H_

namespace weft::internal {

class Fiber;

// While it lives, SIGINT or SIGTERM cancels a fiber; a second one ends the program. Only on the
// main thread, for one fiber at a time, and not for a signal that the program handles or ignores.
//
// By a handler rather than a signalfd: it also runs where no fiber lets others run, or if another
// thread gets the signal, and it does not last in a child process after exec.
class CancelOnSignal {
 public:
  // `fiber` must outlive this.
  explicit CancelOnSignal(Fiber& fiber) noexcept;
  ~CancelOnSignal();
  CancelOnSignal(const CancelOnSignal&) = delete;
  CancelOnSignal& operator=(const CancelOnSignal&) = delete;

  // To be called if something else has put back what a signal did before, which may be out of date:
  // sets or resets the handler, as is due now.
  static void settle(int signal) noexcept;

 private:
  bool active_ = false;
};

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_CANCEL_ON_SIGNAL_H_
