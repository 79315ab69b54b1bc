#ifndef WEFT_FIBER_VIRTUAL_PORT_H_
#define WEFT_FIBER_VIRTUAL_PORT_H_

#include "weft/fiber/port.h"

namespace weft {

// A Port whose clock stands still while anything can run, and jumps to the next deadline when
// nothing can: a test that sleeps an hour takes microseconds, and takes the same path each time.
//
// Outside events still come through `outside`, and come first: the clock jumps only after a look
// there found none. With no deadline to jump to, the thread sleeps in `outside`.
// What other threads do in the meantime takes no virtual time. Where something is expected from
// them, the next jump waits for it first, but for no longer than kGrace of the machine's time: what
// blocks until the clock has moved must not keep it.
class VirtualPort final : public Port {
 public:
  // `outside` must outlive this port. The clock starts one second after its epoch.
  explicit VirtualPort(Port& outside) : outside_(outside) {}

  TimePoint now() const noexcept override { return now_; }
  bool wait(TimePoint deadline) override;
  void expect(int events) noexcept override {
    expected_ += events;
    if (events > 0) patient_ = true;
  }
  void wake() noexcept override { outside_.wake(); }

 private:
  Port& outside_;
  static constexpr Duration kGrace = std::chrono::milliseconds(100);

  TimePoint now_{std::chrono::seconds(1)};
  int expected_ = 0;
  bool patient_ = false;  // something was expected since a jump last waited in vain
};

}  // namespace weft

#endif  // WEFT_FIBER_VIRTUAL_PORT_H_
