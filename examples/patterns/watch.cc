// A thermostat that can be set while it works: the heaters only need to know the latest value.
// Run it: ./bazelw run -c opt //examples/patterns:watch_program

#include "weft/examples/patterns/watch.h"

#include <chrono>
#include <cstdio>
#include <memory>
#include <utility>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

void heat(const char* room, patterns::Watch<int>::Reader degrees, weft::Duration pause) {
  do {
    std::printf("%s: %d degrees\n", room, degrees.get());
    weft::sleep_for(pause);  // valves move slowly
  } while (degrees.wait());
  std::printf("%s: off\n", room);
}

void winter() {
  auto degrees = std::make_unique<patterns::Watch<int>>(18);
  weft::TaskGroup group;
  group.spawn([own = degrees->reader()] { heat("kitchen", own, 1ms); });
  group.spawn([own = degrees->reader()] { heat("cellar", own, 25ms); });
  for (const int next : {19, 20, 21}) {
    weft::sleep_for(10ms);
    degrees->set(next);
  }
  weft::sleep_for(30ms);
  degrees.reset();
  group.join();
}

}  // namespace

// The clock is virtual: it jumps.
int main() { weft::run(winter, {.virtual_time = true}); }
