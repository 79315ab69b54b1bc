#ifndef WEFT_TESTS_RANDOM_INTERPRETER_H_
#define WEFT_TESTS_RANDOM_INTERPRETER_H_

#include "tests/random/program.h"
#include "tests/random/record.h"

namespace weft::test {

// What the fiber's task returns.
inline std::int64_t result_of(int fiber) { return 10 * fiber + 7; }

// Queues compare items by this only.
inline std::int64_t urgency_of(std::int64_t item) { return item / 1000; }

// Runs the program on virtual time and tells what happened, in its order.
Record run_program(const Program& program);

}  // namespace weft::test

#endif  // WEFT_TESTS_RANDOM_INTERPRETER_H_
