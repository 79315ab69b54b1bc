// A clock that ticks every 10 ms, whose work once takes 34 ms: three ways to go on after that.
// Run it: ./bazelw run -c opt //examples/patterns:ticker_program

#include "weft/examples/patterns/ticker.h"

#include <chrono>
#include <cstdio>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

void tick(const char* name, patterns::Missed missed) {
  const weft::TimePoint start = weft::now();
  patterns::Ticker ticker(10ms, missed);
  std::printf("%-6s", name);
  for (int i = 0; i < 8; ++i) {
    ticker.wait();
    std::printf("%5d", static_cast<int>((weft::now() - start) / 1ms));
    weft::sleep_for(i == 1 ? 34ms : 2ms);
  }
  std::puts("");
}

}  // namespace

// The clock is virtual: it jumps.
int main() {
  weft::run(
      [] {
        tick("skip", patterns::Missed::kSkip);
        tick("burst", patterns::Missed::kBurst);
        tick("delay", patterns::Missed::kDelay);
      },
      {.virtual_time = true});
}
