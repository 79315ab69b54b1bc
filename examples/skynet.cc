// The skynet benchmark: a fiber starts ten, each of them ten more, and so on. The million at the
// end return their numbers, all others the sum of what theirs return.
// Run it: ./bazelw run -c opt //examples:skynet -- [THREADS [LEVELS]]
// The default is a thread for each core, and six levels of children.
//
// The same tree is summed in two orders, on one thread and on all:
//
// Eager (SpawnOptions::eager): a child runs before the next one is started. So one branch is there
// at a time, and a thread needs some 61 stacks for a million fibers.
//
// Breadth first, the default: each level is started before the next one, and all 1,111,111 fibers
// are there at once. Each has touched a page of its stack, and together they take 5 GB. The tree
// has fewer levels if that is more than half of the memory, or three quarters of what is free; also
// on kernels before 6.13, which guard at most some 32,000 stacks unless vm.max_map_count is raised.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>

#include "examples/measure.h"
#include "weft/weft.h"

namespace {

constexpr int kChildren = 10;  // of a node
constexpr int kMaxLevels = 7;
constexpr int kRepetitions = 5;

// The calls are not deep. The less address space the stacks take, the fewer page tables.
constexpr std::size_t kStackSize = 64 * 1024;

struct Tree {
  long leaves;
  bool eager;
  int placed_levels;  // from the top: the children of these go to the threads in turn
};

// The result of a node on this level, with `leaves` leaves below it. `first` is their first number.
long node(const Tree& tree, int level, long first, long leaves) {
  if (leaves == 1) return first;
  const long part = leaves / kChildren;
  // A child on another thread cannot be eager. One that happens to stay here must not be, or the
  // other threads would get theirs late.
  const bool placed = level < tree.placed_levels;
  std::array<weft::Task<long>, kChildren> children;
  for (auto& child : children) {
    child = weft::spawn([=, &tree] { return node(tree, level + 1, first, part); },
                        {.stack_size = kStackSize,
                         .on = placed ? weft::round_robin() : nullptr,
                         .eager = tree.eager && !placed});
    first += part;
  }
  long sum = 0;
  for (auto& child : children) sum += child.get();
  return sum;
}

// Sums all numbers, and returns how many seconds that took.
double time_of(const Tree& tree) {
  const auto start = std::chrono::steady_clock::now();
  const long sum = node(tree, 0, 0, tree.leaves);
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  if (sum != tree.leaves * (tree.leaves - 1) / 2) throw std::logic_error("the sum is wrong");
  return time.count();
}

struct Cost {
  double first = 0;  // seconds, with fresh stacks
  double again = 0;  // seconds, the median of the runs that use them again
  long memory = 0;   // bytes
};

Cost measure(const Tree& tree, unsigned threads) {
  return weft::run(
      [&] {
        memory_of(getpid());  // the first reading allocates memory, too
        const long before = memory_of(getpid());
        Cost cost;
        cost.first = time_of(tree);
        cost.memory = std::max(0L, memory_of(getpid()) - before);
        std::array<double, kRepetitions> times;
        for (double& time : times) time = time_of(tree);
        std::sort(times.begin(), times.end());
        cost.again = times[times.size() / 2];
        return cost;
      },
      {.threads = threads});
}

long fibers_of(long leaves) { return (leaves * kChildren - 1) / (kChildren - 1); }

// Takes memory and gives it back. On a virtual machine the first use may wait for the host to find
// the memory, and that wait would count in the first row.
void touch_memory(std::size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_POPULATE, -1, 0);
  if (memory != MAP_FAILED) munmap(memory, bytes);
}

constexpr const char* kRow = "  %-14s %7s %11s %12s %11s %9s %13s\n";

template <class... Values>
std::string text(const char* format, Values... values) {
  char buffer[64];
  std::snprintf(buffer, sizeof(buffer), format, values...);
  return buffer;
}

void print_row(const char* order, const Tree& tree, unsigned threads) {
  const Cost cost = measure(tree, threads);
  const double each = cost.again / static_cast<double>(fibers_of(tree.leaves));
  std::printf(kRow, order, text("%u", threads).c_str(), with_commas(tree.leaves).c_str(),
              text("%.1f ms", cost.first * 1e3).c_str(), text("%.1f ms", cost.again * 1e3).c_str(),
              text("%.0f ns", each * 1e9).c_str(),
              text("%.1f MiB", static_cast<double>(cost.memory) / (1 << 20)).c_str());
  std::fflush(stdout);
}

void print_table(long leaves, unsigned threads) {
  long fitting = leaves;  // leaves of the largest tree that fits at once
  const long room = fibers_that_fit(0.5);
  while (fitting > 1 && fibers_of(fitting) > room) fitting /= kChildren;

  std::printf("\nA tree of fibers: %s leaves return their numbers, all others the sum.\n\n",
              with_commas(leaves).c_str());
  std::printf(kRow, "order", "threads", "leaves", "first time", "again", "a fiber", "memory");
  std::printf("  %s\n", std::string(83, '-').c_str());
  touch_memory(static_cast<std::size_t>(fibers_of(fitting)) * 4300);
  for (const bool eager : {true, false}) {
    for (const unsigned count : {1u, threads}) {
      const int placed_levels = count > 1 ? 2 : 0;  // a hundred nodes for them
      print_row(eager ? "eager" : "breadth first", {eager ? leaves : fitting, eager, placed_levels},
                count);
      if (threads == 1) break;
    }
  }
  std::printf("\n  All sums are right: 0 + 1 + ... + %s = %s.\n", with_commas(leaves - 1).c_str(),
              with_commas(leaves * (leaves - 1) / 2).c_str());
  std::puts("  First time: each stack gets its guard, and memory. Again: a median, with the same.");
  std::puts("  Eager, one branch of the tree is there at a time; breadth first, all of it.");
  if (fitting < leaves) {
    std::printf("  Breadth first has a smaller tree: there is room for %s fibers at once.\n",
                with_commas(room).c_str());
  }
}

// A number of the command line.
int number(const char* text, int most) {
  int number = 0;
  const char* const end = text + std::strlen(text);
  if (std::from_chars(text, end, number).ptr != end || number < 1 || number > most) {
    throw std::invalid_argument("usage: skynet [THREADS [LEVELS]], with 1 to " +
                                std::to_string(kMaxLevels) + " levels");
  }
  return number;
}

}  // namespace

int main(int argc, char** argv) try {
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  const unsigned threads = argc > 1 ? static_cast<unsigned>(number(argv[1], 1024)) : cores;
  const int levels = argc > 2 ? number(argv[2], kMaxLevels) : 6;
  long leaves = 1;
  for (int i = 0; i < levels; ++i) leaves *= kChildren;
  print_table(leaves, threads);
} catch (const std::exception& e) {
  std::fprintf(stderr, "skynet: %s\n", e.what());
  return 1;
}
