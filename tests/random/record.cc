#include "tests/random/record.h"

#include <array>
#include <cstdio>

namespace weft::test {

std::string to_string(const Outcome& outcome) {
  static constexpr std::array<const char*, Outcome::kUnknown + 1> kNames{
      "done",          "no",      "never began",   "TimeoutError",   "Cancelled",   "QueueClosed",
      "TaskCancelled", "failure", "shutting down", "broken promise", "set already", "logic error",
      "unknown"};
  std::string text = kNames[outcome.kind];
  if (outcome.value != 0) text += ' ' + std::to_string(outcome.value);
  return text;
}

std::int64_t append(std::int64_t list, const Outcome& outcome) {
  const auto value = static_cast<std::uint64_t>(outcome.value);
  const std::uint64_t one = 1 + static_cast<std::uint64_t>(outcome.kind) + 100 * value;
  return static_cast<std::int64_t>(1'000'003 * static_cast<std::uint64_t>(list) + one);
}

std::string to_string(const Entry& entry) {
  char head[64];
  std::snprintf(head, sizeof(head), "%14.3f us  fiber %2d  ", static_cast<double>(entry.at) / 1000,
                entry.fiber);
  switch (entry.type) {
    case Entry::kBegin:
      return head + to_string(entry.step) + " ...";
    case Entry::kParked:
      return std::string(head) + "waits";
    case Entry::kEnd:
      return head + to_string(entry.step) + ": " + to_string(entry.outcome);
    case Entry::kFiberBegin:
      return std::string(head) + "begins";
    case Entry::kFiberEnd:
      return std::string(head) + "ends: " + to_string(entry.outcome);
    case Entry::kUnhandled:
      return std::string(head) + "the exception handler takes " + to_string(entry.outcome);
    case Entry::kLeft:
      return std::string(head) + "left of " + to_string(entry.step) + ": " +
             to_string(entry.outcome);
  }
  return head;
}

}  // namespace weft::test
