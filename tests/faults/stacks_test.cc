// What happens when there is no memory for a stack, or no guard.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <functional>
#include <new>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/faults/recovery.h"
#include "tests/faults/seam.h"
#include "tests/support/fixture.h"
#include "weft/fiber/core/context.h"
#include "weft/fiber/core/stack.h"

BOOST_AUTO_TEST_SUITE(stacks)

using namespace std::chrono_literals;
using weft::faults::Armed;
using weft::faults::check_recovery;
using weft::faults::mapped_bytes;
using weft::faults::may_throw;
using weft::faults::must_throw;
using weft::faults::unnoticed;
using weft::internal::GuardKind;
using weft::internal::StackPool;

namespace {

constexpr std::size_t kSize = 64 * 1024;
void ignore(void*) noexcept {}

// Takes so many stacks, each of which can be written to, and is another one.
void take_many(GuardKind guards) {
  StackPool pool(kSize, &ignore, guards);
  std::set<void*> tops;
  for (int i = 0; i < 50; ++i) {
    void* const top = pool.take().top;
    std::memset(static_cast<char*>(top) - 64, 1, 64);
    BOOST_TEST(tops.insert(top).second);
  }
  BOOST_TEST(pool.in_use() == 50u);
}

// Lets the body fail wherever a stack may.
void check_without_stacks(const std::function<void()>& body) {
  check_recovery("mmap:ENOMEM", unnoticed(), body);  // a smaller slab is taken
  check_recovery("mmap+:ENOMEM", must_throw("mmap"), body);
  // Guards are installed in advance, too, and without advice on huge pages it goes on.
  check_recovery("madvise:ENOMEM", may_throw("madvise"), body);
  check_recovery("madvise+:ENOMEM", may_throw("madvise"), body);
  check_recovery("madvise+:EINVAL", unnoticed(), body);  // mprotect does it
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_pool_fails_by_name_and_leaves_nothing) {
  check_without_stacks([] { take_many(GuardKind::kAutomatic); });
  // In advance, too.
  check_recovery("mprotect:ENOMEM", may_throw("mprotect"), [] { take_many(GuardKind::kMprotect); });
  check_recovery("mprotect+:ENOMEM", may_throw("mprotect"),
                 [] { take_many(GuardKind::kMprotect); });
}

BOOST_AUTO_TEST_CASE(a_smaller_slab_is_taken_where_address_space_is_short) {
  StackPool pool(kSize, &ignore);
  const Armed armed("mmap:1:ENOMEM");
  pool.take();
  BOOST_TEST(weft::faults::struck() == 1);
  BOOST_TEST(weft::faults::count_of("mmap") == 2);
}

BOOST_AUTO_TEST_CASE(a_pool_that_has_failed_goes_on) {
  for (const char* fault : {"mmap:1+:ENOMEM", "madvise:2+:ENOMEM", "madvise:5+:ENOMEM"}) {
    StackPool pool(kSize, &ignore);
    std::size_t taken = 0;
    {
      const Armed armed(fault);
      try {
        for (; taken < 100; ++taken) pool.take();
        BOOST_ERROR(fault << " is not noticed");
      } catch (const std::bad_alloc&) {
      }
    }
    BOOST_TEST(pool.in_use() == taken);
    for (; taken < 100; ++taken) pool.take();
    BOOST_TEST(pool.in_use() == taken);
  }
  BOOST_TEST(mapped_bytes() == 0);
}

BOOST_AUTO_TEST_CASE(a_pool_without_guards_by_marker_goes_on_with_mprotect) {
  const Armed armed("madvise:3:EINVAL");
  StackPool pool(kSize, &ignore);
  for (int i = 0; i < 50; ++i) pool.take();
  BOOST_TEST(weft::faults::struck() == 1);
  BOOST_TEST(weft::faults::count_of("mprotect") > 40);
}

BOOST_AUTO_TEST_CASE(memory_that_is_not_given_back_may_be_used_again) {
  StackPool pool(kSize, &ignore);
  std::vector<void*> tops;
  for (int i = 0; i < 40; ++i) tops.push_back(pool.take().top);
  for (void* top : tops) pool.put(top);
  const Armed armed("madvise:1+:EINVAL");
  for (weft::TimePoint now{1s}; now < weft::TimePoint(60s); now += 1s) pool.trim(now);
  BOOST_TEST(weft::faults::struck() > 0);
  std::set<void*> again;
  for (int i = 0; i < 40; ++i) again.insert(pool.take().top);
  BOOST_TEST((again == std::set<void*>(tops.begin(), tops.end())));
}

// ---- Tasks --------------------------------------------------------------------------------------

namespace {

int answer() {
  weft::sleep_for(1h);
  return 1;
}

constexpr int kTasks = 20;

void in_runtime(unsigned threads, const std::function<void()>& body) {
  weft::run(body, {.threads = threads, .virtual_time = true});
}

void spawn_many(const weft::SpawnOptions& options) {
  std::vector<weft::Task<int>> tasks;
  for (int i = 0; i < kTasks; ++i) tasks.push_back(weft::spawn(answer, options));
  int sum = 0;
  for (auto& task : tasks) sum += task.get();
  BOOST_TEST(sum == kTasks);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_run_ends_that_has_no_stack_for_its_main_function) {
  check_without_stacks([] { in_runtime(1, [] {}); });
  check_without_stacks([] { in_runtime(3, [] {}); });
}

#if !defined(WEFT_ASAN)  // where an overflow is not named

BOOST_AUTO_TEST_CASE(a_run_goes_on_that_has_no_stack_for_signals) {
  check_recovery("mmap_stack:ENOMEM", unnoticed(), [] { in_runtime(3, [] {}); });
}

#endif

BOOST_AUTO_TEST_CASE(a_spawn_fails_and_the_tasks_before_it_end) {
  check_without_stacks([] { in_runtime(1, [] { spawn_many({}); }); });
}

BOOST_AUTO_TEST_CASE(an_eager_spawn_fails_and_the_tasks_before_it_end) {
  check_without_stacks([] { in_runtime(1, [] { spawn_many({.eager = true}); }); });
}

BOOST_AUTO_TEST_CASE(a_spawn_with_a_size_of_its_own_fails) {
  check_without_stacks([] { in_runtime(1, [] { spawn_many({.stack_size = kSize}); }); });
}

BOOST_AUTO_TEST_CASE(a_spawn_on_another_scheduler_fails_here) {
  check_without_stacks([] { in_runtime(2, [] { spawn_many(weft::test::on(1)); }); });
}

BOOST_AUTO_TEST_CASE(a_group_whose_spawn_fails_cancels_what_it_has) {
  std::atomic<int> there = 0;
  struct Here {
    explicit Here(std::atomic<int>& its_count) : count(its_count) { ++count; }
    ~Here() { --count; }
    std::atomic<int>& count;
  };
  for (const unsigned threads : {1u, 2u}) {
    check_without_stacks([&] {
      in_runtime(threads, [&] {
        const std::size_t other = threads - 1;
        weft::TaskGroup group;
        for (int i = 0; i < kTasks; ++i) {
          group.spawn(
              [&] {
                const Here here(there);
                answer();
              },
              weft::test::on(i % 2 ? other : 0));
        }
        group.join();
      });
      BOOST_TEST(there == 0);
    });
  }
}

BOOST_AUTO_TEST_CASE(gather_whose_spawn_fails_leaves_nothing) {
  check_without_stacks([] {
    in_runtime(1, [] {
      const std::vector<int (*)()> all(kTasks, &answer);
      const std::vector<int> answers = weft::gather(all);
      BOOST_TEST(std::accumulate(answers.begin(), answers.end(), 0) == kTasks);
      weft::gather(answer, answer, answer);
    });
  });
}

BOOST_AUTO_TEST_CASE(spread_whose_spawn_fails_leaves_nothing) {
  check_without_stacks([] {
    in_runtime(3,
               [] { BOOST_TEST(weft::spread([](std::size_t) { return answer(); }).size() == 3u); });
  });
}

BOOST_AUTO_TEST_CASE(a_call_that_gets_no_stack_waits_for_one) {
  const auto body = [] {
    in_runtime(1, [] {
      weft::Scheduler& here = weft::Scheduler::current();
      int ended = 0;
      const auto call = [&] {
        weft::sleep_for(1min);
        ++ended;
      };
      for (int i = 0; i < kTasks; ++i) {
        here.post(call);
        here.call_later(1s, call);
      }
      weft::sleep_for(10h);
      BOOST_TEST(ended == 2 * kTasks);
    });
  };
  // Where the scheduler's own stack or the first fiber's is meant, run() throws.
  check_recovery("mmap:ENOMEM", unnoticed(), body);  // a smaller slab is taken
  check_recovery("mmap+:ENOMEM", may_throw("mmap"), body);
  check_recovery("madvise+:ENOMEM", may_throw("madvise"), body);
  check_recovery("madvise+:EINVAL", unnoticed(), body);  // mprotect does it
}

BOOST_AUTO_TEST_CASE(callables_that_are_dropped_at_the_end_need_no_further_stack) {
  struct Waits {
    ~Waits() {
      weft::shield([] { weft::sleep_for(1s); });
    }
  };
  const auto body = [] {
    in_runtime(1, [] {
      const auto waits = std::make_shared<Waits>();
      weft::Scheduler::current().call_later(1h, [waits] {});
      weft::faults::arm("mmap:1+:ENOMEM,madvise:1+:ENOMEM,mprotect:1+:ENOMEM");
    });
    weft::faults::disarm();
  };
  body();
  BOOST_TEST(mapped_bytes() == 0);
}

BOOST_AUTO_TEST_SUITE_END()
