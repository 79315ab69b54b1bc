#include "weft/io/testing/run_test.h"

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>

#include "weft/fiber/core/calls.h"
#include "weft/fiber/core/error.h"
#include "weft/fiber/core/virtual_port.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/this_fiber.h"
#include "weft/io/spread.h"

namespace weft::internal {
namespace {

// "7 (socket:[123])". The folder itself is open while it is read.
std::set<std::string> open_descriptors() {
  std::set<std::string> all;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry, gone).string();
    if (!target.ends_with("/fd"))
      all.insert(entry.path().filename().string() + " (" + target + ")");
  }
  return all;
}

// Those of this thread's scheduler that have ended, or have not, but for `main` and the caller.
std::string tasks_left(std::uint64_t main, bool ended) {
  std::string left;
  for (const Fiber* fiber : Calls::here()->started()) {
    if (fiber->id == main || fiber == current_fiber() || fiber->done() != ended) continue;
    left += std::string("; ") + FiberLabel(*fiber, "task").text;
    left += fiber->done()   ? " has ended, but its handle is left, and so its stack"
            : fiber->waiter ? std::string(" is left, and waits in ") + fiber->waiter->what()
                            : " is left, and ready";
  }
  return left;
}

// `left` begins with a semicolon and a blank, or is empty.
void check_none(const std::string& left) {
  if (!left.empty()) throw_logic_error("weft::testing::run_test: ", left.c_str() + 2);
}

void check_tasks(bool ended) {
  const std::uint64_t main = current_fiber()->id;
  for (const auto& left : spread([=] { return tasks_left(main, ended); })) check_none(left);
}

void run_seed(const std::function<void(std::uint64_t)>& body, std::uint64_t seed,
              testing::TestOptions& options) {
  const std::string number = std::to_string(seed);
  std::string text = "weft::testing::run_shuffled: failed with seed " + number +
                     "; WEFT_SEED=" + number + " repeats it";
  try {
    options.run.shuffle_seed = seed;
    run_checked([&] { body(seed); }, options);
  } catch (const std::exception& failure) {
    std::throw_with_nested(std::logic_error(text + ": " + failure.what()));
  } catch (...) {
    std::throw_with_nested(std::logic_error(text));
  }
}

VirtualPort& virtual_port(const char* caller) {
  require_fiber(caller);
  Port& port = Home::here()->port();
  if (!port.is_virtual()) throw_logic_error(caller, " needs virtual time");
  return static_cast<VirtualPort&>(port);
}

}  // namespace

void run_checked(const std::function<void()>& body, const testing::TestOptions& options) {
  RunOptions run = options.run;
  run.virtual_time = !options.real_time;
  if (run.on_deadlock == OnDeadlock::kAutomatic) run.on_deadlock = OnDeadlock::kFail;
  const std::set<std::string> before = open_descriptors();
  weft::run(
      [&] {
        body();
        check_tasks(false);
        sleep_for(Duration(1));  // a plain thread that drops a last handle asks for the stack's end
        check_tasks(true);
      },
      run);
  std::string left;
  for (const std::string& descriptor : open_descriptors()) {
    if (before.count(descriptor) == 0) left += "; descriptor " + descriptor + " is left";
  }
  check_none(left);
}

void run_seeds(const std::function<void(std::uint64_t)>& body, unsigned seeds,
               testing::TestOptions& options) {
  if (const char* const given = std::getenv("WEFT_SEED")) {
    char* end = nullptr;
    const std::uint64_t seed = std::strtoull(given, &end, 10);
    if (*given == '\0' || *end != '\0')
      throw_invalid_argument("weft::testing::run_shuffled: WEFT_SEED is no number: ", given);
    return run_seed(body, seed, options);
  }
  if (seeds == 0) throw_invalid_argument("weft::testing::run_shuffled: no seeds");
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) run_seed(body, seed, options);
}

}  // namespace weft::internal

namespace weft::testing {

void run_until_blocked() {
  internal::virtual_port("weft::testing::run_until_blocked").wait_for_standstill();
}

void advance(AnyDuration time) {
  internal::VirtualPort& port = internal::virtual_port("weft::testing::advance");
  sleep_for(time);
  port.wait_for_standstill();
}

}  // namespace weft::testing
