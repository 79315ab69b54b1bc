// A service that answers 100 requests a second, or 5 at once after a pause: a hasty client and a
// bulky one, in turn.
// Run it: ./bazelw run -c opt //examples/patterns:rate_limiter_program

#include "weft/examples/patterns/rate_limiter.h"

#include <chrono>
#include <cstdio>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

void ask() {
  const weft::TimePoint start = weft::now();
  const auto say = [&](const char* what) {
    std::printf("%3d ms  %s\n", static_cast<int>((weft::now() - start) / 1ms), what);
  };
  patterns::RateLimiter limiter(100, 5);
  weft::TaskGroup group;
  group.spawn([&] {
    for (int i = 0; i < 8; ++i) {
      limiter.acquire();
      say("a request of one");
    }
  });
  group.spawn([&] {
    limiter.acquire(4);
    say("a request of four: nobody overtakes it");
  });
  group.join();
  if (!limiter.try_acquire()) say("none is left");
}

}  // namespace

// The clock is virtual: it jumps.
int main() { weft::run(ask, {.virtual_time = true}); }
