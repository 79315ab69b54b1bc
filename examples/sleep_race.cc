// Queries that each wait a second for their answer: asked one after another, by a process each, by
// a pool of ten threads, and by a fiber each, up to a million.
// Run it: ./bazelw run -c opt //examples:sleep_race
// With `-- --quick` an answer takes 50 ms, and there are no more than 100 fibers.

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <vector>

#include "examples/measure.h"
#include "weft/weft.h"

namespace {

using namespace std::chrono_literals;

std::chrono::milliseconds answer_time = 1s;

// One query, which waits for its answer by `wait`.
template <class Wait>
void query(Progress& progress, Wait wait) {
  ++progress.waiting;
  wait(answer_time);
  --progress.waiting;
  ++progress.answered;
}

void block(weft::Duration time) { std::this_thread::sleep_for(time); }

void one_after_another(long queries, Progress& progress) {
  for (long i = 0; i < queries; ++i) query(progress, block);
}

void a_process_each(long queries, Progress& progress) {
  for (long i = 0; i < queries; ++i) {
    const pid_t child = fork();
    if (child < 0) throw std::runtime_error("cannot fork");
    if (child == 0) {
      query(progress, block);
      _exit(0);
    }
  }
  while (wait(nullptr) > 0) continue;
}

void a_thread_pool(long queries, Progress& progress) {
  std::atomic<long> asked = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 10; ++i) {
    threads.emplace_back([&] {
      while (asked++ < queries) query(progress, block);
    });
  }
}

void a_fiber_each(long queries, Progress& progress) {
  weft::run([&] {
    weft::TaskGroup group;
    for (long i = 1; i <= queries; ++i) {
      group.spawn([&] { query(progress, weft::sleep_for); });
      if (i % 1000 == 0) weft::yield();  // lets these wait while the next ones are spawned
    }
    group.join();
  });
}

// Rounded down to one digit and zeros.
long rounded(long number) {
  long unit = 1;
  while (number / unit >= 10) unit *= 10;
  return number / unit * unit;
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::string_view(argv[1]) == "--quick";
  if (quick) answer_time = 50ms;
  const RaceTable table(answer_time);
  table.race("one after another", one_after_another, 10);
  table.race("a process each", a_process_each, 10);
  table.race("ten pool threads", a_thread_pool, 10);
  table.race("a fiber each", a_fiber_each, 10);
  const long fit = std::min(rounded(fibers_that_fit(0.25)), quick ? 100L : 1'000'000L);
  if (fit > 10'000) table.race("a fiber each", a_fiber_each, 10'000);
  table.race("a fiber each", a_fiber_each, fit);
}
