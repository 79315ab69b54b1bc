// Three mines and two smelters share a channel. No one counts them: the smelters end when the last
// mine has, and the last mine when the last smelter has.
// Run it: ./bazelw run -c opt //examples/patterns:channel_program

#include "weft/examples/patterns/channel.h"

#include <chrono>
#include <cstdio>
#include <string>
#include <utility>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

void mine(const char* metal, int times, const patterns::Sender<std::string>& to) {
  for (int i = 1; i <= times; ++i) {
    weft::sleep_for(10ms);
    to.push(metal + (' ' + std::to_string(i)));
  }
  std::printf("the %s mine is exhausted\n", metal);
}

void smelt(int smelter, const patterns::Receiver<std::string>& from) {
  int count = 0;
  for (const std::string& ore : from) {
    std::printf("smelter %d: %s\n", smelter, ore.c_str());
    weft::sleep_for(15ms);
    ++count;
  }
  std::printf("smelter %d is done, after %d\n", smelter, count);
}

void until_the_ore_ends() {
  auto [sender, receiver] = patterns::channel<std::string>(1);
  weft::TaskGroup group;
  group.spawn([to = sender] { mine("gold", 1, to); });
  group.spawn([to = sender] { mine("iron", 2, to); });
  group.spawn([to = std::move(sender)] { mine("lead", 3, to); });
  group.spawn([from = receiver] { smelt(1, from); });
  group.spawn([from = std::move(receiver)] { smelt(2, from); });
  group.join();
}

void until_nobody_buys() {
  auto [sender, receiver] = patterns::channel<std::string>(1);
  auto buyer = weft::spawn(
      [from = std::move(receiver)] { std::printf("sold %s, and no more\n", from.pop().c_str()); });
  try {
    mine("silver", 100, sender);
  } catch (const weft::QueueClosed&) {
    std::puts("the silver mine is closed: there is no receiver any more");
  }
  buyer.get();
}

}  // namespace

// The clock is virtual: it jumps.
int main() {
  weft::run(until_the_ore_ends, {.virtual_time = true});
  weft::run(until_nobody_buys, {.virtual_time = true});
}
