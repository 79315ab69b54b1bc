#ifndef WEFT_TESTS_RANDOM_GENERATOR_H_
#define WEFT_TESTS_RANDOM_GENERATOR_H_

#include <cstdint>

#include "tests/random/program.h"

namespace weft::test {

// How long the first fiber sleeps before it ends all others, in nanoseconds: whoever still waits
// then would wait for ever.
inline constexpr std::int64_t kHorizon = 1'000'000'000;

// A program drawn from the seed. Some of its fibers may wait for ever, but all of them end once
// they are cancelled: whatever cancellation does not reach has a time limit of its own.
Program make_program(std::uint64_t seed);

}  // namespace weft::test

#endif  // WEFT_TESTS_RANDOM_GENERATOR_H_
