#include "weft/fiber/core/stack.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/fixture.h"
#include "weft/fiber/core/context.h"
#include "weft/fiber/core/loop.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/core/thread_port.h"

BOOST_AUTO_TEST_SUITE(stack)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kSize = 64 * 1024;
constexpr std::size_t kAlwaysWarm = 16;  // what a pool keeps, as stack.h says
constexpr TimePoint kNow{1000h};

std::size_t page() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

int discarded = 0;
void discard(void*) noexcept { ++discarded; }

// Before Linux 6.13 there is one kind only.
std::vector<GuardKind> guard_kinds() {
  constexpr int kGuardInstall = 102;
  void* memory = mmap(nullptr, page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const bool has_markers = madvise(memory, page(), kGuardInstall) == 0;
  munmap(memory, page());
  if (!has_markers) return {GuardKind::kAutomatic, GuardKind::kMprotect};
  return {GuardKind::kAutomatic, GuardKind::kMarker, GuardKind::kMprotect};
}

std::size_t mappings() {
  std::ifstream maps("/proc/self/maps");
  std::size_t lines = 0;
  for (std::string line; std::getline(maps, line);) ++lines;
  return lines;
}

std::size_t number_in(const char* file, int field = 0) {
  std::ifstream in(file);
  std::size_t number = 0;
  for (int i = 0; i <= field; ++i) in >> number;
  return number;
}

std::size_t usable(const StackPool& pool, void* top) {
  return static_cast<std::size_t>(static_cast<char*>(top) -
                                  static_cast<char*>(pool.bottom_of(top)));
}

// Of the usable part of a stack.
std::size_t resident_pages(const StackPool& pool, void* top) {
  const std::size_t size = usable(pool, top);
  std::vector<unsigned char> pages((size + page() - 1) / page());
  if (mincore(pool.bottom_of(top), size, pages.data()) != 0) return SIZE_MAX;
  return static_cast<std::size_t>(
      std::count_if(pages.begin(), pages.end(), [](unsigned char one) { return one & 1; }));
}

void touch_all(const StackPool& pool, void* top) {
  std::memset(pool.bottom_of(top), 1, usable(pool, top));
}

bool holds_only(char value, const StackPool& pool, void* top) {
  const std::string_view all(static_cast<char*>(pool.bottom_of(top)), static_cast<char*>(top));
  return all.find_first_not_of(value) == all.npos;
}

std::vector<void*> take(StackPool& pool, std::size_t count) {
  std::vector<void*> tops;
  while (tops.size() < count) tops.push_back(pool.take().top);
  return tops;
}

// Takes until one is cold. Returns how many were not.
std::size_t take_warm(StackPool& pool) {
  std::size_t warm = 0;
  while (pool.take().warm) ++warm;
  return warm;
}

void put(StackPool& pool, const std::vector<void*>& tops) {
  for (void* top : tops) pool.put(top);
}

// Trims until there is nothing more to do at this time.
TimePoint trim(StackPool& pool, TimePoint now) {
  for (;;) {
    const TimePoint again = pool.trim(now);
    if (again > now) return again;
  }
}

// Writes one byte, as what runs on a stack would.
void write(void* address) { *static_cast<volatile char*>(address) = 1; }

// For sanitizers too, which end a process in their own way.
bool ended_well(const ChildEnd& end) { return end.exit_code == 0; }

}  // namespace

// ---- Sizes --------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(sizes_are_rounded_up_to_pages) {
  BOOST_TEST(StackPool::round_up(1) == page());
  BOOST_TEST(StackPool::round_up(page()) == page());
  BOOST_TEST(StackPool::round_up(page() + 1) == 2 * page());
  BOOST_TEST(StackPool(5 * page() - 1, discard).stack_size() == 5 * page());
  BOOST_TEST(StackPool(5 * page(), discard).stack_size() == 5 * page());
}

BOOST_AUTO_TEST_CASE(too_small_a_stack_is_refused) {
  for (const std::size_t size : {std::size_t{0}, page(), StackPool::min_size() - 1}) {
    BOOST_CHECK_EXCEPTION(StackPool(size, discard), std::invalid_argument,
                          [&](const std::invalid_argument& error) {
                            const std::string least = std::to_string(StackPool::min_size());
                            return std::string(error.what()).find(least) != std::string::npos;
                          });
  }
  StackPool least(StackPool::min_size(), discard);
  touch_all(least, least.take().top);
}

BOOST_AUTO_TEST_CASE(too_large_a_stack_is_out_of_memory) {
  BOOST_CHECK_THROW(StackPool(SIZE_MAX, discard).take(), std::bad_alloc);
  BOOST_CHECK_THROW(StackPool(SIZE_MAX - page() + 1, discard).take(), std::bad_alloc);
  StackPool half(SIZE_MAX / 2, discard);
  BOOST_CHECK_THROW(half.take(), std::bad_alloc);
  BOOST_CHECK_THROW(half.take(), std::bad_alloc);
  BOOST_TEST(half.in_use() == 0u);
}

BOOST_AUTO_TEST_CASE(the_usable_part_lies_between_the_guard_and_the_top) {
  StackPool pool(kSize, discard);
  for (void* top : take(pool, 100)) {
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(top) % 64 == 0u);
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(pool.bottom_of(top)) % page() == 0u);
    BOOST_TEST(usable(pool, top) <= kSize - page());
    BOOST_TEST(usable(pool, top) > kSize - page() - page() / 4);
    touch_all(pool, top);
  }
}

BOOST_AUTO_TEST_CASE(tops_are_spread_over_the_sets_of_the_caches) {
  StackPool pool(kSize, discard);
  std::set<std::uintptr_t> lines;  // of a page
  std::set<std::uintptr_t> pages;  // modulo a power of two
  for (void* top : take(pool, 256)) {
    const auto address = reinterpret_cast<std::uintptr_t>(top) - 1;
    lines.insert(address % page() / 64);
    pages.insert(address / page() % 16);
  }
  BOOST_TEST(lines.size() == 16u);
  BOOST_TEST(pages.size() == 16u);
}

BOOST_AUTO_TEST_CASE(stacks_do_not_overlap) {
  StackPool pool(kSize, discard);
  std::vector<void*> tops = take(pool, 1000);
  std::sort(tops.begin(), tops.end());
  for (std::size_t i = 1; i < tops.size(); ++i) {
    const char* const guard = static_cast<char*>(pool.bottom_of(tops[i])) - page();
    BOOST_REQUIRE(guard >= static_cast<char*>(tops[i - 1]));
  }
}

BOOST_AUTO_TEST_CASE(a_new_stack_is_cold_and_zero) {
  StackPool pool(kSize, discard);
  const StackPool::Stack stack = pool.take();
  BOOST_TEST(!stack.warm);
  BOOST_TEST(resident_pages(pool, stack.top) == 0u);
  BOOST_TEST(holds_only(0, pool, stack.top));
}

// ---- Reuse --------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(the_last_one_in_is_the_first_one_out) {
  StackPool pool(kSize, discard);
  const std::vector<void*> tops = take(pool, 10);
  put(pool, tops);
  for (std::size_t i = tops.size(); i-- > 0;) {
    const StackPool::Stack stack = pool.take();
    BOOST_TEST(stack.top == tops[i]);
    BOOST_TEST(stack.warm);
  }
}

BOOST_AUTO_TEST_CASE(a_warm_stack_is_as_it_was_left) {
  StackPool pool(kSize, discard);
  void* top = pool.take().top;
  touch_all(pool, top);
  pool.put(top);
  BOOST_TEST(pool.take().top == top);
  BOOST_TEST(holds_only(1, pool, top));
}

BOOST_AUTO_TEST_CASE(a_pool_knows_how_many_are_out) {
  StackPool pool(kSize, discard);
  const std::vector<void*> tops = take(pool, 40);
  BOOST_TEST(pool.in_use() == 40u);
  put(pool, {tops.begin(), tops.begin() + 30});
  BOOST_TEST(pool.in_use() == 10u);
  take(pool, 3);
  BOOST_TEST(pool.in_use() == 13u);
}

BOOST_AUTO_TEST_CASE(taking_and_putting_touches_no_further_stack) {
  StackPool pool(kSize, discard);
  std::set<void*> seen;
  for (int i = 0; i < 10'000; ++i) {
    const std::vector<void*> tops = take(pool, 1 + static_cast<std::size_t>(i) % 3);
    seen.insert(tops.begin(), tops.end());
    put(pool, tops);
  }
  BOOST_TEST(seen.size() == 3u);
}

BOOST_AUTO_TEST_CASE(every_stack_that_was_taken_is_visited_once) {
  StackPool pool(kSize, discard);
  const auto visited = [&] {
    std::multiset<void*> tops;
    pool.for_each([&](void* top) { tops.insert(top); });
    return tops;
  };
  BOOST_TEST(visited().empty());
  const std::vector<void*> tops = take(pool, 100);
  const std::multiset<void*> expected(tops.begin(), tops.end());
  BOOST_TEST((visited() == expected));
  put(pool, {tops.begin(), tops.begin() + 50});
  BOOST_TEST((visited() == expected));
}

BOOST_AUTO_TEST_CASE(the_end_of_a_pool_discards_what_is_warm) {
  discarded = 0;
  {
    StackPool pool(kSize, discard);
    put(pool, take(pool, 20));
    BOOST_TEST(discarded == 0);
  }
  BOOST_TEST(discarded == 20);
}

BOOST_AUTO_TEST_CASE(the_end_of_a_pool_returns_its_memory) {
  const std::size_t maps = mappings();
  const std::size_t size = number_in("/proc/self/statm");
  for (const GuardKind kind : guard_kinds()) {
    StackPool pool(kSize, discard, kind);
    put(pool, take(pool, 500));
  }
  BOOST_TEST(mappings() <= maps + 4);
  BOOST_TEST(number_in("/proc/self/statm") < size + 100 * kSize / page());
}

// ---- Guards -------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(below_the_bottom_of_every_stack_is_a_guard) {
  for (const GuardKind kind : guard_kinds()) {
    for (const std::size_t which : {0, 1, 15, 16, 99}) {
      BOOST_TEST_CONTEXT("guard kind " << static_cast<int>(kind) << ", stack " << which) {
        const auto writing_at = [&](std::ptrdiff_t offset) {
          return run_in_child([&] {
            StackPool pool(kSize, discard, kind);
            void* top = take(pool, 100)[which];
            write(static_cast<char*>(pool.bottom_of(top)) + offset);
            return 0;
          });
        };
        BOOST_TEST(ended_well(writing_at(0)));
        BOOST_TEST(!ended_well(writing_at(-1)));
        BOOST_TEST(!ended_well(writing_at(-static_cast<std::ptrdiff_t>(page()))));
#if !defined(WEFT_ASAN) && !defined(WEFT_TSAN)
        BOOST_TEST(writing_at(-1).signal == SIGSEGV);
#endif
      }
    }
  }
}

#if !defined(WEFT_VALGRIND)  // which looks at what a call is given

// The kernel reads a byte from there, or says EFAULT.
BOOST_AUTO_TEST_CASE(below_the_bottom_of_thousands_is_a_guard) {
  for (const GuardKind kind : guard_kinds()) {
    BOOST_TEST_CONTEXT("guard kind " << static_cast<int>(kind)) {
      StackPool pool(kSize, discard, kind);
      const std::vector<void*> tops = take(pool, 3000);
      int ends[2];
      BOOST_REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
      std::size_t usable = 0, guarded = 0;
      char byte;
      for (void* const top : tops) {
        const char* const bottom = static_cast<const char*>(pool.bottom_of(top));
        usable += ::write(ends[1], bottom, 1) == 1 && read(ends[0], &byte, 1) == 1;
        guarded += ::write(ends[1], bottom - 1, 1) < 0 && errno == EFAULT;
      }
      BOOST_TEST(usable == tops.size());
      BOOST_TEST(guarded == tops.size());
      close(ends[0]), close(ends[1]);
      put(pool, tops);
    }
  }
}

#endif

BOOST_AUTO_TEST_CASE(a_guard_stays_while_its_stack_is_pooled_trimmed_and_used_again) {
  for (const GuardKind kind : guard_kinds()) {
    BOOST_TEST_CONTEXT("guard kind " << static_cast<int>(kind)) {
      const auto writing_at = [&](std::ptrdiff_t offset) {
        return run_in_child([&] {
          StackPool pool(kSize, discard, kind);
          const std::vector<void*> tops = take(pool, 40);
          put(pool, tops);
          trim(pool, kNow);
          trim(pool, kNow + 1s);
          take(pool, 40);
          for (void* top : tops) write(pool.bottom_of(top));
          write(static_cast<char*>(pool.bottom_of(tops[20])) + offset);
          return 0;
        });
      };
      BOOST_TEST(ended_well(writing_at(0)));
      BOOST_TEST(!ended_well(writing_at(-1)));
    }
  }
}

BOOST_AUTO_TEST_CASE(an_address_in_a_guard_tells_the_stack) {
  for (const std::size_t size : {kSize, kSize + page()}) {
    StackPool pool(size, discard);
    const std::vector<void*> tops = take(pool, 100);
    for (void* const top : tops) {
      const auto* const bottom = static_cast<const char*>(pool.bottom_of(top));
      BOOST_TEST(pool.guarded_by(bottom - 1) == top);
      BOOST_TEST(pool.guarded_by(bottom - page()) == top);
      BOOST_TEST(!pool.guarded_by(bottom));
      BOOST_TEST(pool.guarded_by(bottom - page() - 1) != top);
      BOOST_TEST(!pool.guarded_by(static_cast<const char*>(top) - 1));
    }
    BOOST_TEST(!pool.guarded_by(&pool));
    BOOST_TEST(!pool.guarded_by(nullptr));
  }
}

namespace {

constexpr char kPattern = 0x5a;
constexpr int kHitTheGuard = 42;
constexpr int kHitSomethingElse = 43;

char* guard = nullptr;  // of the fiber that overflows
char* neighbour = nullptr;
std::size_t neighbour_size = 0;

void on_fault(int, siginfo_t* info, void*) {
  const char* at = static_cast<char*>(info->si_addr);
  const bool in_guard = at >= guard && at < guard + page();
  const bool untouched =
      std::all_of(neighbour, neighbour + neighbour_size, [](char c) { return c == kPattern; });
  _exit(in_guard && untouched ? kHitTheGuard : kHitSomethingElse);
}

[[gnu::noinline]] int recurse(int depth) {
  volatile char frame[500];
  frame[0] = static_cast<char>(depth);
  const int below = depth < 1'000'000 ? recurse(depth + 1) : 0;
  return below + frame[0];
}

// Goes to the end of its stack while the one below it in memory waits.
int overflow_a_stack(GuardKind kind) {
  static char handler_stack[64 * 1024];
  stack_t alternative{};
  alternative.ss_sp = handler_stack;
  alternative.ss_size = sizeof(handler_stack);
  sigaltstack(&alternative, nullptr);
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, nullptr);

  ThreadPort port;
  Loop scheduler(port, {.guards = kind});
  const auto waits = spawn(
      [] {
        volatile char pattern[8 * 1024];
        for (volatile char& c : pattern) c = kPattern;
        neighbour = const_cast<char*>(pattern);
        neighbour_size = sizeof(pattern);
        sleep_for(1h);
      },
      {.on = &scheduler});
  const auto overflows = spawn(
      [] {
        Fiber& self = *current_fiber();
        guard = static_cast<char*>(self.pool->bottom_of(&self + 1)) - page();
        recurse(0);
      },
      {.on = &scheduler});
  scheduler.run();
  return 0;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_fiber_that_overflows_hits_its_guard_and_not_its_neighbour) {
  for (const GuardKind kind : guard_kinds()) {
    const ChildEnd end = run_in_child([&] { return overflow_a_stack(kind); });
    BOOST_TEST(end.exit_code == kHitTheGuard, "guard kind " << static_cast<int>(kind) << end.said);
  }
}

// ---- Limits -------------------------------------------------------------------------------------

// A sanitizer's own mappings count too, and it does not survive the lack of them.
#if !defined(WEFT_ASAN) && !defined(WEFT_TSAN) && !defined(WEFT_VALGRIND)

BOOST_AUTO_TEST_CASE(the_limit_of_mappings_is_an_error_that_names_it) {
  const std::size_t limit = number_in("/proc/sys/vm/max_map_count");
  if (limit > 300'000) {
    BOOST_TEST_MESSAGE("skipped: this machine allows " << limit << " mappings");
    return;
  }
  const ChildEnd end = run_in_child([&] {
    const std::size_t maps = mappings();
    {
      StackPool pool(StackPool::min_size(), discard, GuardKind::kMprotect);
      std::vector<void*> tops;
      tops.reserve(limit);
      std::string said;
      for (int failures = 0; failures < 3; ++failures) {
        try {
          for (;;) tops.push_back(pool.take().top);
        } catch (const std::system_error& error) {
          said = error.what();
        }
        if (said.find("vm.max_map_count") == std::string::npos) return 1;
        if (pool.in_use() != tops.size() || tops.size() > limit / 2) return 2;
        // What it has, it goes on with.
        for (int i = 0; i < 10; ++i) {
          pool.put(tops.back());
          const StackPool::Stack stack = pool.take();
          if (stack.top != tops.back() || !stack.warm) return 3;
        }
      }
      if (pool.in_use() != tops.size() || tops.size() < limit / 2 - 2'000) return 4;
      for (void* top : tops) write(pool.bottom_of(top));
      std::fprintf(stderr, "%s", said.c_str());
    }
    return mappings() <= maps + 20 ? 0 : 5;
  });
  BOOST_TEST(end.exit_code == 0, end.said);
  BOOST_TEST(end.said.find("mprotect") != std::string::npos, end.said);
}

namespace {

constexpr std::size_t kMegabyte = std::size_t{1} << 20;

void allow_no_more_than(std::size_t bytes) {
  const rlim_t now = number_in("/proc/self/statm") * page();
  const rlimit limit{now + bytes, now + bytes};
  setrlimit(RLIMIT_AS, &limit);
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_lack_of_address_space_is_bad_alloc_and_leaves_a_pool_that_works) {
  const ChildEnd end = run_in_child([] {
    allow_no_more_than(64 * kMegabyte);
    std::size_t counts[3];
    for (std::size_t& count : counts) {
      StackPool pool(kMegabyte, discard);
      std::vector<void*> tops;
      for (int failures = 0; failures < 3; ++failures) {
        try {
          for (;;) tops.push_back(pool.take().top);
        } catch (const std::bad_alloc&) {
        }
        if (pool.in_use() != tops.size()) return 1;
      }
      for (void* top : tops) write(pool.bottom_of(top));
      put(pool, tops);
      if (!pool.take().warm) return 2;
      count = tops.size();
    }
    // Smaller slabs fill what larger ones do not fit into; and nothing is lost from round to round.
    if (counts[0] < 52) return 3;
    return counts[1] == counts[0] && counts[2] == counts[0] ? 0 : 4;
  });
  BOOST_TEST(end.exit_code == 0, end.said);
}

BOOST_AUTO_TEST_CASE(a_spawn_that_finds_no_stack_throws_and_starts_nothing) {
  const ChildEnd end = run_in_child([] {
    return run([] {
      allow_no_more_than(64 * kMegabyte);
      std::size_t counts[3];
      for (std::size_t& count : counts) {
        std::vector<Task<void>> tasks;
        try {
          for (;;) tasks.push_back(spawn([] { sleep_for(1h); }, {.stack_size = kMegabyte}));
        } catch (const std::bad_alloc&) {
        }
        if (all_tasks().size() != tasks.size() + 1) return 1;
        yield();
        count = tasks.size();
        tasks.clear();
        if (all_tasks().size() != 1) return 2;
      }
      if (counts[0] < 52) return 3;
      return counts[1] == counts[0] && counts[2] == counts[0] ? 0 : 4;
    });
  });
  BOOST_TEST(end.exit_code == 0, end.said);
}

#endif

// ---- Trimming -----------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(with_little_free_there_is_nothing_to_trim) {
  StackPool pool(kSize, discard);
  BOOST_TEST(!pool.may_trim());
  BOOST_TEST((pool.trim(kNow) == kForever));
  put(pool, take(pool, kAlwaysWarm));
  BOOST_TEST(!pool.may_trim());
  put(pool, take(pool, kAlwaysWarm + 1));
  BOOST_TEST(pool.may_trim());
}

BOOST_AUTO_TEST_CASE(a_stack_that_grew_deep_keeps_its_top_page_only) {
  StackPool pool(kSize, discard);
  const std::vector<void*> tops = take(pool, 40);
  for (void* top : tops) touch_all(pool, top);
  BOOST_TEST(resident_pages(pool, tops[0]) == kSize / page() - 1);
  put(pool, {tops.begin() + 10, tops.end()});
  discarded = 0;
  trim(pool, kNow);
  BOOST_TEST(discarded == 0);
  for (std::size_t i = 0; i < tops.size(); ++i) {
    BOOST_TEST(resident_pages(pool, tops[i]) == (i < 10 ? kSize / page() - 1 : 1));
    BOOST_TEST(static_cast<char*>(tops[i])[-1] == 1);
  }
  for (std::size_t i = tops.size(); i-- > 10;) {
    const StackPool::Stack stack = pool.take();
    BOOST_TEST(stack.top == tops[i]);
    BOOST_TEST(stack.warm);
  }
}

BOOST_AUTO_TEST_CASE(what_lies_unused_for_a_round_is_dropped_but_for_those_next_to_be_taken) {
  StackPool pool(kSize, discard);
  const std::vector<void*> tops = take(pool, 300);
  for (void* top : tops) touch_all(pool, top);
  put(pool, tops);
  trim(pool, kNow);
  discarded = 0;
  trim(pool, kNow + 1s);
  BOOST_TEST(discarded == 300 - static_cast<int>(kAlwaysWarm));
  BOOST_TEST(take_warm(pool) == kAlwaysWarm);
  pool.for_each([&](void* top) { BOOST_REQUIRE(resident_pages(pool, top) <= 1); });
}

BOOST_AUTO_TEST_CASE(what_was_needed_since_the_last_round_stays_warm) {
  StackPool pool(kSize, discard);
  put(pool, take(pool, 100));
  trim(pool, kNow);
  put(pool, take(pool, 30));  // 70 lie unused
  discarded = 0;
  trim(pool, kNow + 1s);
  BOOST_TEST(discarded == 70 - static_cast<int>(kAlwaysWarm));
  BOOST_TEST(take_warm(pool) == 30 + kAlwaysWarm);
}

BOOST_AUTO_TEST_CASE(a_round_starts_at_most_once_a_second) {
  StackPool pool(kSize, discard);
  put(pool, take(pool, 100));
  BOOST_TEST((trim(pool, kNow) == kNow + 1s));
  discarded = 0;
  BOOST_TEST((trim(pool, kNow + 1s - 1ns) == kNow + 1s));
  BOOST_TEST(discarded == 0);
  trim(pool, kNow + 1s);
  BOOST_TEST(discarded > 0);
}

BOOST_AUTO_TEST_CASE(at_rest_there_is_no_further_round) {
  StackPool pool(kSize, discard);
  put(pool, take(pool, 100));
  BOOST_TEST((trim(pool, kNow) == kNow + 1s));
  BOOST_TEST((trim(pool, kNow + 1s) == kForever));
  BOOST_TEST((trim(pool, kNow + 1h) == kForever));
  discarded = 0;
  put(pool, take(pool, 50));
  BOOST_TEST((trim(pool, kNow + 2h) == kNow + 2h + 1s));
  BOOST_TEST((trim(pool, kNow + 2h + 1s) == kForever));
  BOOST_TEST(discarded == 50 - static_cast<int>(kAlwaysWarm));
}

BOOST_AUTO_TEST_CASE(a_call_does_a_bounded_piece_of_work) {
  StackPool pool(kSize, discard);
  put(pool, take(pool, 1000));
  trim(pool, kNow);
  discarded = 0;
  BOOST_TEST((pool.trim(kNow + 1s) == kPast));
  BOOST_TEST(discarded > 0);
  BOOST_TEST(discarded < 200);
  // Taking and putting in the middle of a round does no harm.
  const std::vector<void*> tops = take(pool, 990);
  (void)pool.trim(kNow + 1s);
  put(pool, tops);
  trim(pool, kNow + 1s);
  for (TimePoint now = kNow + 2s; trim(pool, now) != kForever; now += 1s) {
  }
  BOOST_TEST(take_warm(pool) == kAlwaysWarm);
}

BOOST_AUTO_TEST_CASE(what_was_dropped_reads_zero_when_visited) {
  StackPool pool(kSize, discard);
  const std::vector<void*> tops = take(pool, 100);
  for (void* top : tops) touch_all(pool, top);
  put(pool, tops);
  trim(pool, kNow);
  trim(pool, kNow + 1s);
  std::size_t zero = 0;
  pool.for_each([&](void* top) { zero += static_cast<char*>(top)[-1] == 0; });
  BOOST_TEST(zero == 100 - kAlwaysWarm);
}

namespace {

// A clock that is set by hand, so that a scheduler trims when the test says so.
class SetClock final : public Port {
 public:
  TimePoint now() const noexcept override { return time; }
  bool wait(TimePoint deadline) override {
    if (deadline != kForever) time = std::max(time, deadline);
    return false;
  }
  void wake() noexcept override {}

  TimePoint time = kNow;
};

}  // namespace

BOOST_AUTO_TEST_CASE(fibers_run_on_stacks_that_were_trimmed) {
  SetClock port;
  Loop scheduler(port, {.stack_size = 64 * 1024});
  auto main = spawn(
      [&] {
        for (int round = 0; round < 5; ++round) {
          std::vector<Task<std::ptrdiff_t>> tasks;
          for (int i = 0; i < 200; ++i) {
            tasks.push_back(spawn([i] {
              char deep[30'000];
              std::memset(deep, i, sizeof(deep));
              sleep_for(1ms);
              return std::count(deep, deep + sizeof(deep), static_cast<char>(i));
            }));
          }
          for (auto& task : tasks) BOOST_TEST(task.get() == 30'000);
          tasks.clear();
          sleep_for(round % 2 ? 10s : 1ms);  // rounds enough to drop them, or one only
        }
        scheduler.stop();
      },
      {.on = &scheduler});
  scheduler.run();
  scheduler.shutdown();
  main.get();
}

BOOST_AUTO_TEST_SUITE_END()
