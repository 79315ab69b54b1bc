// Queries that each wait a second for their answer: asked one after another, by a process each, by
// a pool of ten threads, and by a fiber each, up to a million.
// Run it: ./bazelw run -c opt //examples:sleep_race
// With `-- --quick` an answer takes 50 ms, and there are no more than 100 fibers.

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "examples/measure.h"
#include "weft/weft.h"

namespace {

using namespace std::chrono_literals;

std::chrono::milliseconds answer_time = 1s;

// One query. Whoever asks it spends the time until the answer in `wait`.
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
      if (i % 1000 == 0) weft::yield();  // these shall wait while we spawn the next
    }
    group.join();
  });
}

constexpr const char* kRow = "  %-17s %10s %9s %11s %12s %13s\n";

template <class... Values>
std::string text(const char* format, Values... values) {
  char buffer[64];
  std::snprintf(buffer, sizeof(buffer), format, values...);
  return buffer;
}

// Measures one way and prints its row of the table.
void race(const char* name, void (*way)(long, Progress&), long queries) {
  const Cost cost = measure(name, queries, [&](Progress& progress) { way(queries, progress); });
  const double overhead = cost.seconds - std::chrono::duration<double>(answer_time).count();
  const double kibibytes = cost.bytes_per_query / 1024;
  std::printf(kRow, name, with_commas(queries).c_str(), with_commas(cost.most_waiting).c_str(),
              text("%.3f s", cost.seconds).c_str(), text("%.1f ms", overhead * 1000).c_str(),
              kibibytes >= 0 ? text("%.1f KiB", kibibytes).c_str() : "-");
}

void race_all(bool quick) {
  if (quick) answer_time = 50ms;
  std::printf("\nQueries that each wait %s for their answer:\n\n", quick ? "50 ms" : "1 s");
  std::printf(kRow, "", "", "most", "", "", "peak memory");
  std::printf(kRow, "way", "queries", "at once", "wall time", "overhead", "per query");
  std::printf("  %s\n", std::string(77, '-').c_str());

  race("one after another", one_after_another, 10);
  race("a process each", a_process_each, 10);
  race("ten pool threads", a_thread_pool, 10);
  race("a fiber each", a_fiber_each, 10);
  const long fit = std::min(fibers_that_fit(), quick ? 100L : 1'000'000L);
  if (fit > 10'000) race("a fiber each", a_fiber_each, 10'000);
  race("a fiber each", a_fiber_each, fit);

  std::puts("");
  std::puts("  Overhead: the wall time beyond the one answer that all could have waited for.");
  std::puts("  Memory: private pages and page tables, while most queries waited. Processes and");
  std::puts("  threads also cost the kernel memory of its own, 16 KiB of stack each at least.");
  std::puts("  All fibers share one thread.");
  if (!quick && fit < 1'000'000) {
    std::printf("  More than %s are not tried here: see fibers_that_fit().\n",
                with_commas(fit).c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    race_all(argc > 1 && std::string_view(argv[1]) == "--quick");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
