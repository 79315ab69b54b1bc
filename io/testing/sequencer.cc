#include "weft/io/testing/sequencer.h"

#include "weft/fiber/core/error.h"

namespace weft::testing {

void Sequencer::at(std::size_t n) {
  internal::WaitQueue::Lock lock(queue_);
  for (; next_ != n; lock.lock()) {
    if (n < next_) {
      const std::string point = internal::decimal(static_cast<std::int64_t>(n));
      internal::throw_logic_error("weft::testing::Sequencer: a point used twice: ", point.c_str());
    }
    queue_.wait(lock, kForever, "Sequencer::at");
  }
  ++next_;
  queue_.wake_all(lock);
}

}  // namespace weft::testing
