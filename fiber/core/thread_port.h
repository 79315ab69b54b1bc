#ifndef WEFT_FIBER_CORE_THREAD_PORT_H_
#define WEFT_FIBER_CORE_THREAD_PORT_H_

#include "weft/fiber/core/parker.h"
#include "weft/fiber/core/port.h"

namespace weft::internal {

// A Port without I/O: the thread sleeps on a futex. With it, fiber/ runs and is tested alone.
class ThreadPort final : public Port {
 public:
  TimePoint now() const noexcept override { return Clock::now(); }
  bool wait(TimePoint deadline) override { return parker_.wait(deadline); }
  bool pending(TimePoint deadline) override {
    return deadline == kPast ? parker_.posted() : parker_.await(deadline);
  }
  void wake() noexcept override { parker_.post(); }

 private:
  Parker parker_;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_THREAD_PORT_H_
