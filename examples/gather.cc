// Three queries at once: they take as long as the slowest, and the results are in order.
// Run it: ./bazelw run -c opt //examples:gather
// With `-- --quick` the clock is virtual: the same output at once.

#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

weft::TimePoint start;

// Prints a line with the time since the start.
void say(const std::string& what) {
  const std::chrono::duration<double> time = weft::now() - start;
  std::printf("%5.1f s  %s\n", time.count(), what.c_str());
  std::fflush(stdout);
}

std::string query(const std::string& what, std::chrono::seconds time) {
  weft::sleep_for(time);
  say("got " + what);
  return what;
}

void queries() {
  start = weft::now();
  say("asking for three things");

  auto [stock, price, orders] =
      weft::gather([] { return query("stock", 4s); }, [] { return query("price", 1s); },
                   [] { return query("orders", 2s); });
  say("all: " + stock + ", " + price + ", " + orders);

  // A vector of functions. A task that throws cancels the others, and gather() throws the same.
  std::vector<std::function<std::string()>> two = {
      [] { return query("stock", 4s); },
      []() -> std::string {
        weft::sleep_for(1s);
        throw std::runtime_error("no such shop");
      },
  };
  try {
    weft::gather(two);
  } catch (const std::exception& e) {
    say(std::string("failed: ") + e.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::string_view(argv[1]) == "--quick";
  weft::run(queries, {.virtual_time = quick});
}
