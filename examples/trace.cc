// Records what runs when, and writes it to a file for ui.perfetto.dev, or for docs/draw_trace.
// Run it: ./bazelw run -c opt //examples:trace -- /tmp/trace.fxt

#include <chrono>
#include <cstdio>
#include <exception>
#include <mutex>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

constexpr int kItems = 6;

void compute_for(weft::Duration time) {
  for (const weft::TimePoint end = weft::now() + time; weft::now() < end;) {
  }
}

void read(weft::Queue<int>& items) {
  for (int i = 0; i < kItems; ++i) {
    const weft::TraceSpan span("read");
    weft::sleep_for(50us);  // a disk, say
    items.push(i);
  }
  items.close();
}

void parse(weft::Queue<int>& items, weft::Mutex& mutex) {
  for ([[maybe_unused]] int item : items) {
    {
      const weft::TraceSpan span("parse");
      compute_for(150us);
    }
    const std::scoped_lock lock(mutex);
    const weft::TraceSpan span("store");
    compute_for(60us);
    weft::yield();
  }
}

void run_pipeline() {
  weft::Queue<int> items(2);
  weft::Mutex mutex;
  weft::TaskGroup group;
  const auto schedulers = weft::Runtime::current().schedulers();
  group.spawn([&] { read(items); }, {.name = "reader"});
  group.spawn([&] { parse(items, mutex); }, {.name = "parser 1"});
  group.spawn([&] { parse(items, mutex); }, {.name = "parser 2", .on = schedulers[1]});
  group.spawn([&] { parse(items, mutex); }, {.name = "parser 3", .on = schedulers[1]});
  group.join();
}

}  // namespace

int main(int argc, char** argv) {
  const char* const path = argc > 1 ? argv[1] : "trace.fxt";
  try {
    weft::run(
        [&] {
          weft::Trace trace;
          run_pipeline();
          trace.write(path);
          std::printf("wrote %s: open it in ui.perfetto.dev, or draw it by docs/draw_trace\n",
                      path);
        },
        {.threads = 2});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "trace: %s\n", error.what());
    return 1;
  }
}
