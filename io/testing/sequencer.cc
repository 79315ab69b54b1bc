#include "weft/io/testing/sequencer.h"

#include <string>

#include "weft/fiber/core/error.h"

namespace weft::testing {

void Sequencer::at(std::size_t n) {
  internal::WaitQueue::Lock lock(queue_);
  if (!used_.insert(n).second) {
    const std::string point = std::to_string(n);
    internal::throw_logic_error("weft::testing::Sequencer: a point used twice: ", point.c_str());
  }
  while (next_ != n) {
    queue_.wait(lock, kForever, "Sequencer::at");
    lock.lock();
  }
  ++next_;
  queue_.wake_all(lock);
}

}  // namespace weft::testing
