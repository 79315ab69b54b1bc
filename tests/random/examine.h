#ifndef WEFT_TESTS_RANDOM_EXAMINE_H_
#define WEFT_TESTS_RANDOM_EXAMINE_H_

#include <optional>
#include <string>

#include "tests/random/model.h"
#include "tests/random/program.h"
#include "tests/random/record.h"

namespace weft::test {

// A program, what it did, and what was wrong with that, if anything.
struct Examined {
  Program program{};
  Record record{};
  std::optional<Violation> violation{};
};

// Runs it twice: the second record has to be that of the first.
Examined examine(Program program);

// Less of a program that fails: without whatever it also fails without.
Examined shrink(Examined failed);

// The program, the end of its record, the rule that it breaks.
std::string to_string(const Examined& failed);

}  // namespace weft::test

#endif  // WEFT_TESTS_RANDOM_EXAMINE_H_
