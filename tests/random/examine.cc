#include "tests/random/examine.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "tests/random/interpreter.h"

namespace weft::test {
namespace {

constexpr int kMostShrinkingRuns = 2000;
constexpr std::size_t kShown = 40;  // entries of the record

// Takes out the n-th operation, in the order of the text. Counts down where there are fewer.
bool erase_op(std::vector<Op>& ops, std::size_t& n) {
  for (auto op = ops.begin(); op != ops.end(); ++op) {
    if (n == 0) {
      ops.erase(op);
      return true;
    }
    --n;
    if (erase_op(op->body, n) || erase_op(op->part, n)) return true;
  }
  return false;
}

// The first fiber ends all others, and so is left as it is, but for what it starts.
bool erase_op(Program& program, std::size_t n) {
  std::vector<Op>& main = program.fibers.front();
  for (auto op = main.begin(); op != main.end(); ++op) {
    if (op->what == Do::kSpawn && n-- == 0) {
      main.erase(op);
      return true;
    }
  }
  for (std::size_t i = 1; i < program.fibers.size(); ++i) {
    if (erase_op(program.fibers[i], n)) return true;
  }
  return false;
}

// What is never started.
void erase_unborn(Examined& examined) {
  std::vector<bool> born(examined.program.fibers.size());
  for (const Entry& entry : examined.record) {
    if (entry.type == Entry::kFiberBegin) born[static_cast<std::size_t>(entry.fiber)] = true;
  }
  for (std::size_t i = 0; i < born.size(); ++i) {
    if (!born[i]) examined.program.fibers[i].clear();
  }
}

}  // namespace

Examined examine(Program program) {
  Examined examined{.program = std::move(program)};
  examined.record = run_program(examined.program);
  examined.violation = check(examined.program, examined.record);
  if (examined.violation) return examined;
  const Record again = run_program(examined.program);
  if (again != examined.record) {
    const auto [one, other] = std::ranges::mismatch(examined.record, again);
    examined.violation = {static_cast<std::size_t>(one - examined.record.begin()),
                          "the same seed gives another record: " +
                              (other == again.end() ? "its end" : to_string(*other))};
  }
  return examined;
}

Examined shrink(Examined failed) {
  std::size_t at = 0;
  bool smaller = false;
  erase_unborn(failed);
  for (int runs = 0; runs < kMostShrinkingRuns; ++runs) {
    Program less = failed.program;
    if (!erase_op(less, at)) {
      if (!std::exchange(smaller, false)) break;
      at = 0;
      continue;
    }
    Examined examined = examine(std::move(less));
    if (examined.violation) {
      failed = std::move(examined);
      erase_unborn(failed);
      smaller = true;
    } else {
      ++at;
    }
  }
  return failed;
}

std::string to_string(const Examined& failed) {
  const std::size_t end = std::min(failed.violation->event + 1, failed.record.size());
  const std::size_t begin = end > kShown ? end - kShown : 0;
  std::string text = to_string(failed.program);
  text += "what it did, from entry " + std::to_string(begin) + " on:\n";
  for (std::size_t i = begin; i < end; ++i) text += to_string(failed.record[i]) + '\n';
  if (end <= failed.violation->event) text += "the end\n";
  return text + "wrong: " + failed.violation->rule + '\n';
}

}  // namespace weft::test
