#include "tests/faults/turns.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/faults/seam.h"

namespace weft::faults {
namespace {

constexpr std::size_t kMostFaults = 4;

// One that is armed. Written while nobody calls what it is for.
struct Fault {
  std::atomic<std::size_t> call{SIZE_MAX};
  std::atomic<long> first{0};
  std::atomic<long> last{0};
  std::atomic<int> what{kPassed};
};

constinit Fault faults[kMostFaults];
constinit std::atomic<long> called[std::size(kCalls)];
constinit std::atomic<long> strikes{0};
constinit std::atomic<long> last_strikes{0};
constinit std::atomic<const Fault*> last_fault{nullptr};

[[noreturn]] void refuse(std::string_view text) {
  throw std::invalid_argument("no fault: " + std::string(text));
}

// The text up to the next `end`, which is taken off with it.
std::string_view take(std::string_view& text, char end) {
  const std::size_t size = text.find(end);
  const std::string_view taken = text.substr(0, size);
  text.remove_prefix(size == text.npos ? text.size() : size + 1);
  return taken;
}

std::size_t call_named(std::string_view name) {
  for (std::size_t i = 0; i < std::size(kCalls); ++i) {
    if (name == kCalls[i]) return i;
  }
  refuse(name);
}

int error_named(std::string_view name) {
  if (name == "short") return kShort;
  for (int error = 1; error < 150; ++error) {
    const char* known = strerrorname_np(error);
    if (known && name == known) return error;
  }
  refuse(name);
}

void arm(Fault& fault, std::string_view text) {
  std::string_view rest = text;
  const std::string_view call = take(rest, ':');
  std::string_view turn = take(rest, ':');
  const bool for_ever = turn.ends_with('+');
  if (for_ever) turn.remove_suffix(1);
  long number = 0;
  const auto [end, error] = std::from_chars(turn.data(), turn.data() + turn.size(), number);
  if (error != std::errc() || end != turn.data() + turn.size() || number < 1) refuse(text);
  fault.what = error_named(rest);
  fault.first = number;
  fault.last = for_ever ? LONG_MAX : number;
  fault.call = call_named(call);
}

}  // namespace

int turn_of(std::size_t call) noexcept {
  const long number = called[call].fetch_add(1) + 1;
  for (Fault& fault : faults) {
    if (fault.call != call || number < fault.first || number > fault.last) continue;
    ++strikes;
    if (&fault == last_fault) ++last_strikes;
    return fault.what;
  }
  return kPassed;
}

void arm(std::string_view text) {
  for (Fault& fault : faults) fault.call = SIZE_MAX;
  for (auto& count : called) count = 0;
  strikes = 0;
  last_strikes = 0;
  for (std::size_t i = 0; !text.empty(); ++i) {
    if (i == kMostFaults) refuse(text);
    arm(faults[i], take(text, ','));
    last_fault = &faults[i];
  }
}

long struck() { return strikes; }

long struck_last() { return last_strikes; }

std::vector<Count> counts() {
  std::vector<Count> result;
  for (std::size_t i = 0; i < std::size(kCalls); ++i) {
    if (const long count = called[i]) result.push_back({kCalls[i], count});
  }
  return result;
}

long count_of(std::string_view call) { return called[call_named(call)]; }

std::vector<std::string> descriptors() {
  std::vector<std::string> result;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;  // the iterator's own
    const std::string target = std::filesystem::read_symlink(entry.path(), gone);
    if (target.ends_with("/fd") && target.starts_with("/proc/")) continue;
    result.push_back(entry.path().filename().string() + " " + target);
  }
  return result;
}

}  // namespace weft::faults
