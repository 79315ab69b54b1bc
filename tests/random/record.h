#ifndef WEFT_TESTS_RANDOM_RECORD_H_
#define WEFT_TESTS_RANDOM_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/random/program.h"

// What a run of a program has done.
namespace weft::test {

struct Outcome {
  enum Kind : std::uint8_t {
    kOk,
    kNo,  // false, or nothing: the time is over, or there was none at once
    kNeverBegan,
    // Exceptions.
    kTimeoutError,
    kCancelled,
    kClosed,
    kTaskCancelled,
    kFailure,
    kShuttingDown,
    kBroken,
    kSatisfied,
    kLogicError,
    kUnknown
  };

  Kind kind = kOk;
  std::int64_t value = 0;

  bool thrown() const { return kind >= kTimeoutError; }
  bool operator==(const Outcome&) const = default;
};

struct Entry {
  enum Type : std::uint8_t {
    kBegin,       // of a step
    kParked,      // the fiber waits now, in a step that tells that; for the first time
    kEnd,         // of a step, how
    kFiberBegin,  // of `fiber`
    kFiberEnd,    // its callable is destroyed
    kUnhandled,   // the exception handler was called
    kLeft         // when all is over, so much is left in step.object, of what step.what takes
  };

  Type type = kBegin;
  int fiber = 0;
  std::int64_t at = 0;  // nanoseconds since the start
  Step step{};
  Outcome outcome{};

  bool operator==(const Entry&) const = default;
};

using Record = std::vector<Entry>;

// How a select() ends: the index of the case that it has done, and what it has popped.
inline constexpr std::int64_t kNoItem = -1;
constexpr Outcome chosen(std::int64_t index, std::int64_t item = kNoItem) {
  return {Outcome::kOk, 10 * (item + 1) + index};
}
constexpr std::size_t chosen_index(const Outcome& outcome) {
  return static_cast<std::size_t>(outcome.value % 10);
}
constexpr std::int64_t chosen_item(const Outcome& outcome) { return outcome.value / 10 - 1; }

// Appends an outcome to a list, kept as a number that depends on the order.
std::int64_t append(std::int64_t list, const Outcome& outcome);

std::string to_string(const Outcome& outcome);
std::string to_string(const Entry& entry);

}  // namespace weft::test

#endif  // WEFT_TESTS_RANDOM_RECORD_H_
