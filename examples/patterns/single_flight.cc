// A page that five readers want at once is loaded once. The first of them does not wait to the end.
// Run it: ./bazelw run -c opt //examples/patterns:single_flight_program

#include "weft/examples/patterns/single_flight.h"

#include <chrono>
#include <cstdio>
#include <string>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

std::string load(const std::string& url) {
  std::printf("loading %s\n", url.c_str());
  weft::sleep_for(100ms);
  return "the text of " + url;
}

void visit() {
  patterns::SingleFlight<std::string, std::string> loads;
  const auto get = [&](const std::string& url) {
    return loads.run(url, [url] { return load(url); });
  };
  weft::TaskGroup readers;
  readers.spawn([&] {
    if (!weft::try_within(50ms, [&] { get("news"); })) std::puts("reader 1 has no patience");
  });
  for (int reader = 2; reader <= 5; ++reader) {
    readers.spawn([&, reader] {
      const std::string text = get(reader == 5 ? "weather" : "news");
      std::printf("reader %d has %s\n", reader, text.c_str());
    });
  }
  readers.join();
  std::printf("later: %s\n", get("news").c_str());
}

}  // namespace

// The clock is virtual: it jumps.
int main() { weft::run(visit, {.virtual_time = true}); }
