#ifndef WEFT_TESTS_RANDOM_MODEL_H_
#define WEFT_TESTS_RANDOM_MODEL_H_

#include <cstddef>
#include <optional>
#include <string>

#include "tests/random/program.h"
#include "tests/random/record.h"

namespace weft::test {

// What a record shows that must not be.
struct Violation {
  std::size_t event = 0;  // its index
  std::string rule{};
};

// Goes through the record of a run with a simple sequential model of everything that weft offers:
// counts, deques, owners, and lists of those who wait. The model says of each step how it has to
// end, and at what time: a step that waits is decided by another step, a cancellation or a moment
// of the clock, and its end has to come at that time, before the clock goes on.
//
// What the record leaves open is taken from how it goes on: in which turn of its loop a scheduler
// looks at a deadline that was over from the start, and when a fiber, woken from a condition, asks
// for the mutex. Then the model asks only whether that was possible.
std::optional<Violation> check(const Program& program, const Record& record);

}  // namespace weft::test

#endif  // WEFT_TESTS_RANDOM_MODEL_H_
