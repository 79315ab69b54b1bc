// Work in other processes: it may take long, crash, or never end, and this program goes on.
// Run it: ./bazelw run -c opt //examples:process_pool
// With `-- --quick` a second is a tenth of one.

#include <sys/prctl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

auto second = 1'000'000us;

// ---- In a worker --------------------------------------------------------------------------------

std::string worker_name() {
  char name[17] = {};
  prctl(PR_GET_NAME, name);
  return name;
}

// Blocks its process for n seconds.
int work(int n) {
  std::printf("  %s works for %d s\n", worker_name().c_str(), n);
  usleep(static_cast<useconds_t>(n * second.count()));
  return n + 100;
}

int crash(int n) {
  if (n > 0) raise(SIGSEGV);
  return n;
}

int fail(int n) {
  if (n > 0) throw std::out_of_range("there is no " + std::to_string(n));
  return n;
}

[[noreturn]] void never_end() {
  for (;;) pause();
}

// ---- In this process ----------------------------------------------------------------------------

template <class F>
void say_how_it_ends(const char* what, F f) {
  try {
    f();
  } catch (const std::exception& error) {
    std::printf("%-18s %s\n", what, error.what());
  }
}

void use(weft::ProcessPool& pool) {
  const weft::TimePoint start = weft::now();
  const auto elapsed = [&] {
    return static_cast<double>((weft::now() - start) / 1us) / static_cast<double>(second.count());
  };

  std::printf("one job:\n");
  const int result = run_in_process(pool, &work, 3);
  std::printf("  it returned %d after %.1f s\n\n", result, elapsed());

  std::printf("a map over 1, 3 and 5:\n");
  std::vector<weft::Task<int>> jobs;
  for (const int n : {1, 3, 5}) {
    jobs.push_back(weft::spawn([&pool, n] { return run_in_process(pool, &work, n); }));
  }
  std::string results;
  for (weft::Task<int>& job : jobs) results += " " + std::to_string(job.get());
  std::printf("  it returned%s, after %.1f s in all\n\n", results.c_str(), elapsed());

  say_how_it_ends("it throws:", [&] { run_in_process(pool, &fail, 7); });
  say_how_it_ends("it crashes:", [&] { run_in_process(pool, &crash, 1); });
  say_how_it_ends("it never ends:",
                  [&] { weft::with_timeout(second, [&] { run_in_process(pool, &never_end); }); });
  std::printf("%-18s %d, from %s\n", "and goes on:", run_in_process(pool, &fail, 0),
              run_in_process(pool, &worker_name).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "--quick") second = 100ms;
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // the workers print, too
  weft::ProcessPool pool({.workers = 3});    // first of all: while there is one thread
  weft::run([&] { use(pool); });
}
