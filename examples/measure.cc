#include "examples/measure.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <new>
#include <stdexcept>
#include <thread>

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

struct Cost {
  double seconds = 0;
  long most_waiting = 0;        // at once
  double bytes_per_query = -1;  // while most queries waited; negative: could not be read
};

// Written by the process that works, read by the one that measures.
struct Board : Progress {
  std::atomic<long> memory_at_start{0};
  std::atomic<double> seconds{0};
  char failure[256] = {};
};

// "Name:  123 kB" in a file of /proc, in bytes; 0 if there is no such line.
long bytes_in(const std::string& file, const std::string& name) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(name + ":")) return std::atol(line.c_str() + name.size() + 1) * 1024;
  }
  return 0;
}

// The number that a file consists of.
long number_in(const char* file, long otherwise) {
  std::ifstream in(file);
  long number = 0;
  return in >> number ? number : otherwise;
}

// The memory of its children if it has any, otherwise its own minus that at the start.
long memory_added(pid_t process, const Board& board) {
  const auto id = std::to_string(process);
  std::ifstream children("/proc/" + id + "/task/" + id + "/children");
  long sum = 0;
  for (pid_t child = 0; children >> child;) sum += memory_of(child);
  return sum > 0 ? sum : std::max(0L, memory_of(process) - board.memory_at_start);
}

// Runs in the process that works.
[[noreturn]] void perform(void (*way)(long, Progress&), long queries, Board& board) {
  try {
    memory_of(getpid());  // the first reading allocates memory, too
    board.memory_at_start = memory_of(getpid());
    const auto start = Clock::now();
    way(queries, board);
    board.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  } catch (const std::exception& e) {
    std::snprintf(board.failure, sizeof(board.failure), "%s", e.what());
    std::exit(1);
  }
  std::exit(0);
}

// Watches the process until it has ended; returns its exit status.
int watch(pid_t process, const std::string& name, long queries, const Board& board, Cost& cost) {
  const bool on_terminal = isatty(STDERR_FILENO);
  long most_looked_at = 0;
  auto next_look = Clock::now();
  auto next_line = next_look + 100ms;
  int status = 0;
  while (waitpid(process, &status, WNOHANG) == 0) {
    const auto now = Clock::now();
    const long waiting = board.waiting;
    cost.most_waiting = std::max(cost.most_waiting, waiting);
    if (waiting > most_looked_at && now >= next_look) {
      most_looked_at = waiting;
      cost.bytes_per_query =
          static_cast<double>(memory_added(process, board)) / static_cast<double>(waiting);
      // The more memory there is, the longer a look takes: so looks become rarer.
      next_look = Clock::now() + 10 * (Clock::now() - now);
    }
    if (on_terminal && now >= next_line) {
      std::fprintf(stderr, "\r  %s: %s waiting, %s of %s answered\033[K", name.c_str(),
                   with_commas(waiting).c_str(), with_commas(board.answered).c_str(),
                   with_commas(queries).c_str());
      next_line = now + 100ms;
    }
    std::this_thread::sleep_for(5ms);
  }
  if (on_terminal) std::fputs("\r\033[K", stderr);
  return status;
}

bool guards_split_mappings() {
  constexpr int kGuardInstall = 102;  // MADV_GUARD_INSTALL, since Linux 6.13
  const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* page = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const bool split = page == MAP_FAILED || madvise(page, size, kGuardInstall) != 0;
  if (page != MAP_FAILED) munmap(page, size);
  return split;
}

Cost measure(const std::string& name, void (*way)(long, Progress&), long queries) {
  void* shared =
      mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) throw std::runtime_error(name + ": no memory to share");
  Board& board = *new (shared) Board;

  std::fflush(stdout);  // otherwise the child would print it, too
  const pid_t process = fork();
  if (process < 0) throw std::runtime_error(name + ": cannot fork");
  if (process == 0) perform(way, queries, board);

  Cost cost;
  const int status = watch(process, name, queries, board, cost);
  cost.seconds = board.seconds;
  std::string failure = board.failure;
  if (WIFSIGNALED(status)) failure = "killed by signal " + std::to_string(WTERMSIG(status));
  if (failure.empty() && status != 0) failure = "the process failed";
  if (failure.empty() && board.answered != queries) failure = "answers are missing";
  munmap(shared, sizeof(Board));
  if (!failure.empty()) throw std::runtime_error(name + ": " + failure);
  return cost;
}

constexpr const char* kRow = "  %-17s %10s %9s %11s %12s %13s\n";

template <class... Values>
std::string text(const char* format, Values... values) {
  char buffer[64];
  std::snprintf(buffer, sizeof(buffer), format, values...);
  return buffer;
}

}  // namespace

RaceTable::RaceTable(std::chrono::milliseconds answer_time) : answer_time_(answer_time) {
  const double seconds = std::chrono::duration<double>(answer_time).count();
  std::printf("\nQueries that each wait %g s for their answer:\n\n", seconds);
  std::printf(kRow, "", "", "most", "", "", "peak memory");
  std::printf(kRow, "way", "queries", "at once", "wall time", "overhead", "per query");
  std::printf("  %s\n", std::string(77, '-').c_str());
}

RaceTable::~RaceTable() {
  std::puts("");
  std::puts("  Overhead: the wall time beyond the one answer that all could have waited for.");
  std::puts("  Memory: private pages and page tables, while most queries waited. Processes and");
  std::puts("  threads also cost the kernel memory of its own, 16 KiB of stack each at least.");
  std::puts("  All fibers share one thread. Of a million the first may end before the last begin.");
}

void RaceTable::race(const std::string& name, void (*way)(long, Progress&), long queries) const {
  const Cost cost = measure(name, way, queries);
  const double overhead = cost.seconds - std::chrono::duration<double>(answer_time_).count();
  const double kibibytes = cost.bytes_per_query / 1024;
  std::printf(kRow, name.c_str(), with_commas(queries).c_str(),
              with_commas(cost.most_waiting).c_str(), text("%.3f s", cost.seconds).c_str(),
              text("%.1f ms", overhead * 1000).c_str(),
              kibibytes >= 0 ? text("%.1f KiB", kibibytes).c_str() : "-");
}

long fibers_that_fit(double share) {
  constexpr double kBytesEach = 4700;
  long memory = bytes_in("/proc/meminfo", "MemTotal");
  memory = std::min(memory, number_in("/sys/fs/cgroup/memory.max", memory));
  const long available = bytes_in("/proc/meminfo", "MemAvailable");
  const double bytes =
      std::min(share * static_cast<double>(memory), 0.75 * static_cast<double>(available));
  long fit = static_cast<long>(bytes / kBytesEach);
  if (guards_split_mappings()) {
    fit = std::min(fit, number_in("/proc/sys/vm/max_map_count", 65530) / 2 - 1000);
  }
  return std::max(fit, 1L);
}

long memory_of(pid_t process) {
  const auto folder = "/proc/" + std::to_string(process);
  return bytes_in(folder + "/smaps_rollup", "Private_Dirty") +
         bytes_in(folder + "/status", "VmPTE");
}

std::string with_commas(long number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<long>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<std::size_t>(at), ",");
  }
  return text;
}
