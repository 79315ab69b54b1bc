// Time limits and cancellation: nested timeouts, a shield, cancel(), and a group that fails as one.
// Run it: ./bazelw run -c opt //examples:timeouts

#include <chrono>
#include <cstdio>
#include <stdexcept>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

// Prints how a wait ends, even by cancellation: cleanup needs no more than a destructor.
struct Step {
  explicit Step(const char* its_name) : name(its_name) { std::printf("  %s begins\n", name); }
  ~Step() { std::printf("  %s %s\n", name, finished ? "is finished" : "is given up"); }

  void wait(weft::Duration time) {
    weft::sleep_for(time);
    finished = true;
  }

  const char* const name;
  bool finished = false;
};

void nested_timeouts() {
  std::puts("Of two timeouts, the one whose time is over throws:");
  weft::with_timeout(10s, [] {
    try {
      weft::with_timeout(50ms, [] { Step("the inner query").wait(10s); });
    } catch (const weft::TimeoutError&) {
      std::puts("  the inner time is over; there is some left outside");
    }
    Step("a shorter query").wait(50ms);
  });
}

void shielded() {
  std::puts("What is shielded ends as it should, and the timeout comes afterwards:");
  try {
    weft::with_timeout(50ms, [] {
      weft::shield([] { Step("the commit").wait(100ms); });
      Step("the report").wait(100ms);
    });
  } catch (const weft::TimeoutError& e) {
    std::printf("  caught TimeoutError: %s\n", e.what());
  }
}

void cancelled() {
  std::puts("A task that is cancelled unwinds, and get() throws:");
  auto task = weft::spawn([] { Step("the task").wait(10s); });
  weft::sleep_for(50ms);
  task.cancel();
  try {
    task.get();
  } catch (const weft::TaskCancelled& e) {
    std::printf("  caught TaskCancelled: %s\n", e.what());
  }
}

void group_fails() {
  std::puts("In a group, the first failure cancels the rest:");
  try {
    weft::TaskGroup group;
    group.spawn([] { Step("the first download").wait(10s); });
    group.spawn([] { Step("the second download").wait(10s); });
    group.spawn([] {
      weft::sleep_for(50ms);
      std::puts("  the third download fails");
      throw std::runtime_error("the disk is full");
    });
    group.join();
  } catch (const std::runtime_error& e) {
    std::printf("  caught what it threw: %s\n", e.what());
  }
}

}  // namespace

int main() {
  weft::run([] {
    nested_timeouts();
    shielded();
    cancelled();
    group_fails();
  });
}
