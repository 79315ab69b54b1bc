// A radio: listeners hear what is said while they listen. One of them is slow, and learns how much
// it has missed; the speaker waits for none of them.
// Run it: ./bazelw run -c opt //examples/patterns:broadcast_program

#include "weft/examples/patterns/broadcast.h"

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "weft/weft.h"

using namespace std::chrono_literals;
using Radio = patterns::Broadcast<std::string>;

namespace {

void listen(const char* name, Radio::Receiver receiver, weft::Duration pause) {
  try {
    for (;;) {
      const Radio::Item item = receiver.pop();
      if (item.missed) std::printf("%s has missed %d\n", name, static_cast<int>(item.missed));
      std::printf("%s hears %s\n", name, item.value.c_str());
      weft::sleep_for(pause);
    }
  } catch (const weft::QueueClosed&) {
    std::printf("%s switches off\n", name);
  }
}

void talk() {
  std::optional<Radio> radio(std::in_place, 2);
  weft::TaskGroup group;
  group.spawn([own = radio->subscribe()]() mutable { listen("Ada", std::move(own), 0s); });
  group.spawn([own = radio->subscribe()]() mutable { listen("Bob", std::move(own), 35ms); });
  for (const char* word : {"one", "two", "three", "four", "five", "six"}) {
    radio->push(word);
    weft::sleep_for(10ms);
  }
  radio.reset();
  group.join();
}

}  // namespace

// The clock is virtual: it jumps.
int main() { weft::run(talk, {.virtual_time = true}); }
