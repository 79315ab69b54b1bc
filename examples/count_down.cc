// Three count-downs with steps of 1, 0.8 and 0.5 s: first one after another, then together.
// Run it: ./bazelw run -c opt //examples:count_down
// With `-- --quick` the clock is virtual: the same output at once.

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

struct Counter {
  char name;
  weft::Duration step;
  std::string bar;  // a character for each tenth of a second
};

double seconds_since(weft::TimePoint start) {
  return std::chrono::duration<double>(weft::now() - start).count();
}

void draw_until(std::string& bar, double seconds, char line, char end) {
  bar.resize(static_cast<std::size_t>(std::lround(seconds * 10)), line);
  if (!bar.empty()) bar.back() = end;
}

void count_down(Counter& counter, weft::TimePoint start) {
  draw_until(counter.bar, seconds_since(start), ' ', ' ');
  for (char left : {'3', '2', '1'}) {
    weft::sleep_for(counter.step);
    std::printf("  %.1f s  %c %c\n", seconds_since(start), counter.name, left);
    std::fflush(stdout);
    draw_until(counter.bar, seconds_since(start), '-', left);
  }
}

// Runs `count_all` on three new counters and draws a time line of each.
template <class F>
void show(const char* title, F count_all) {
  Counter counters[] = {{'A', 1s, ""}, {'B', 800ms, ""}, {'C', 500ms, ""}};
  std::printf("%s\n", title);
  const auto start = weft::now();
  count_all(counters, start);
  std::printf("  %.1f s in all\n\n", seconds_since(start));
  for (const Counter& counter : counters) {
    std::printf("  %c %s\n", counter.name, counter.bar.c_str());
  }
  std::puts("    |         |         |         |         |         |         |         |");
  std::puts("    0 s       1         2         3         4         5         6         7\n");
}

void count_downs() {
  show("One after another:", [](auto& counters, auto start) {
    for (Counter& counter : counters) count_down(counter, start);
  });
  show("Together:", [](auto& counters, auto start) {
    weft::TaskGroup group;
    for (Counter& counter : counters) group.spawn([&, start] { count_down(counter, start); });
    group.join();
  });
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::string_view(argv[1]) == "--quick";
  weft::run(count_downs, {.virtual_time = quick});
}
