#ifndef WEFT_IO_TESTING_SEQUENCER_H_
#define WEFT_IO_TESTING_SEQUENCER_H_

#include <cstddef>

#include "weft/fiber/core/wait_queue.h"

namespace weft::testing {

// Forces an order upon what several fibers or threads do: points with the numbers 0, 1, 2 and so
// on are passed one after the other.
//
//   Sequencer sequencer;
//   auto other = weft::spawn([&] { sequencer.at(1), cache.drop("key"), sequencer.at(2); });
//   const auto value = cache.find("key");
//   sequencer.at(0), sequencer.at(3);  // it is dropped between the two
//   assert(cache.use(value));
//
// Threads: any. It must outlive the calls.
class Sequencer {
 public:
  // Waits until the points 0 to n - 1 have been passed, and passes point n. A cancellation point if
  // it waits; if it throws Cancelled, the points after n are never passed. Throws std::logic_error
  // if n has been passed, also while it waits.
  void at(std::size_t n);

 private:
  internal::WaitQueue queue_;
  std::size_t next_ = 0;
};

}  // namespace weft::testing

#endif  // WEFT_IO_TESTING_SEQUENCER_H_
