// A million fibers alive at once: stacks of the default size, each with its guard, under the
// default vm.max_map_count.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>

#include "tests/support/bound.h"
#include "tests/support/fixture.h"
#include "weft/fiber/core/context.h"
#include "weft/fiber/core/loop.h"

BOOST_AUTO_TEST_SUITE(million_fibers)

using namespace weft;
using namespace weft::internal;
using weft::test::bound;

namespace {

#if defined(WEFT_TSAN) || defined(WEFT_VALGRIND)  // which looks for a stack among all of them
constexpr std::size_t kWanted = 2'000;
#elif defined(WEFT_ASAN)
constexpr std::size_t kWanted = 50'000;
#else
constexpr std::size_t kWanted = 1'000'000;
#endif
constexpr std::size_t kEnough = std::min<std::size_t>(kWanted, 100'000);
constexpr std::size_t kBytesEach = 4'700;

std::size_t resident_bytes() {
  std::size_t size = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

std::size_t available_bytes() {
  std::ifstream meminfo("/proc/meminfo");
  std::string name;
  for (std::size_t kibibytes; meminfo >> name >> kibibytes; meminfo.ignore(64, '\n')) {
    if (name == "MemAvailable:") return kibibytes * 1024;
  }
  return 0;
}

std::size_t mappings() {
  std::ifstream maps("/proc/self/maps");
  std::size_t lines = 0;
  for (std::string line; std::getline(maps, line);) ++lines;
  return lines;
}

// Before Linux 6.13 each guard takes two mappings.
bool guards_split_mappings() {
  constexpr int kGuardInstall = 102;
  const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* page = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const bool splits = madvise(page, size, kGuardInstall) != 0;
  munmap(page, size);
  return splits;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_million_fibers_wait_at_once) {
  std::size_t count = std::min(bound(kWanted, kEnough), available_bytes() / 4 * 3 / kBytesEach);
  const bool many_mappings = guards_split_mappings();
  if (many_mappings) count = std::min<std::size_t>(count, 20'000);
  BOOST_REQUIRE(count > 0);
  if (count < bound(kWanted, kEnough))
    std::printf("only %zu fibers: there is no room for more\n", count);

  std::size_t ended = 0;
  run([&] {
    Promise<void> promise;
    const Future<void> future = promise.future();
    TaskGroup group;
    const std::size_t before = resident_bytes();
    for (std::size_t i = 0; i < count; ++i) {
      group.spawn([&] {
        future.get();
        ++ended;
      });
    }
    yield();
    BOOST_TEST(Loop::here()->fibers() == count + 1);
    const std::size_t maps = mappings();
    const double each = static_cast<double>(resident_bytes() - before) / static_cast<double>(count);
    BOOST_TEST_MESSAGE(count << " fibers: " << each << " bytes resident each, " << maps
                             << " mappings in the process");
#if !defined(WEFT_TSAN) && !defined(WEFT_ASAN) && !defined(WEFT_VALGRIND)
    if (!many_mappings) BOOST_TEST(maps < 1'000u);
    BOOST_TEST(each <= 5.5 * 1024);
#endif
    promise.set_value();
    group.join();
  });
  BOOST_TEST(ended == count);
}

BOOST_AUTO_TEST_SUITE_END()
