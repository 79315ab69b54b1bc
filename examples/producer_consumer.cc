// The three queues: first in first out with little room, most urgent first, newest first.
// Run it: ./bazelw run -c opt //examples:producer_consumer
// With `-- --quick` the clock is virtual: the same output at once.

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

weft::TimePoint start;

void say(const std::string& what) {
  const std::chrono::duration<double> time = weft::now() - start;
  std::printf("%5.1f s  %s\n", time.count(), what.c_str());
  std::fflush(stdout);
}

// The baker is faster than the two guests: once two loaves lie there, push() waits.
void first_in_first_out() {
  std::puts("Queue, with room for two: the producer is slowed down to what is consumed.");
  start = weft::now();
  weft::Queue<int> shelf(2);
  weft::TaskGroup group;
  group.spawn([&] {
    for (int loaf = 1; loaf <= 6; ++loaf) {
      shelf.push(loaf);
      say("baked loaf " + std::to_string(loaf));
      weft::sleep_for(100ms);
    }
    shelf.close();  // ends the loops below once the shelf is empty
  });
  for (const char* guest : {"Ada", "Bob"}) {
    group.spawn([&shelf, guest] {
      for (int loaf : shelf) {
        say(std::string(guest) + " eats loaf " + std::to_string(loaf));
        weft::sleep_for(600ms);
      }
    });
  }
  group.join();
}

struct Call {
  int priority;
  const char* what;
  bool operator<(const Call& other) const { return priority < other.priority; }
};

// join() waits until task_done() was called for each call.
void most_urgent_first() {
  std::puts("\nPriorityQueue: the least comes first, and of equals the one that came first.");
  start = weft::now();
  weft::PriorityQueue<Call> calls;
  calls.push({3, "a cat in a tree"});
  calls.push({1, "a fire"});
  calls.push({2, "a flood"});
  calls.push({1, "another fire"});
  auto crew = weft::spawn([&] {
    for (const Call& call : calls) {
      say(std::string("on the way to ") + call.what);
      weft::sleep_for(500ms);
      calls.task_done();
    }
  });
  calls.join();
  say("all calls are answered");
}

void newest_first() {
  std::puts("\nLifoQueue: what came last is taken first.");
  start = weft::now();
  weft::LifoQueue<std::string> plates;
  for (const char* plate : {"red", "green", "blue"}) plates.push(plate);
  plates.close();
  for (const std::string& plate : plates) say("took the " + plate + " plate");
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::string_view(argv[1]) == "--quick";
  for (auto example : {first_in_first_out, most_urgent_first, newest_first}) {
    weft::run(example, {.virtual_time = quick});
  }
}
