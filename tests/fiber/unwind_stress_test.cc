// Reports while the thread that they interrupt does all the time what is delicate to interrupt.

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/core/context.h"
#include "weft/fiber/core/fiber.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/core/survey.h"

BOOST_AUTO_TEST_SUITE(unwind_stress)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

#if defined(WEFT_TSAN)  // which does not let a handler interrupt a thread
constexpr bool kInterrupts = false;
#else
constexpr bool kInterrupts = true;
#endif

constexpr Duration kTime = 600ms;

struct Cleanup {
  [[gnu::noinline]] ~Cleanup() { ++*count; }
  int* count;
};

[[gnu::noinline]] void throw_below(int depth, int& count) {
  const Cleanup cleanup{&count};
  if (depth == 0) throw std::string("a text that is not short, so that it is on the heap");
  throw_below(depth - 1, count);
}

// Unwinds ten frames, each with something to be destroyed.
[[gnu::noinline]] void throw_and_catch(int& count) {
  try {
    throw_below(10, count);
  } catch (const std::string& text) {
    count += static_cast<int>(text.size());
  }
}

// Calls work(), and then computes for a third as long: a stack is taken only of a thread that is
// not throwing.
template <class Work>
[[gnu::noinline]] void and_compute(Work work) {
  const TimePoint begin = Clock::now();
  work();
  const Duration took = Clock::now() - begin;
  while (Clock::now() - begin < took * 4 / 3) continue;
}

// Waits while it is unwound.
struct YieldsAtEnd {
  ~YieldsAtEnd() { yield(); }
};

[[gnu::noinline]] void throw_and_switch(int& count) {
  try {
    const YieldsAtEnd yields;
    throw_below(3, count);
  } catch (const std::string&) {
    yield();
  }
}

// Looks at a scheduler again and again, all of whose fibers do this. Returns how often the running
// fiber, with a stack, was seen.
template <class Work>
int look_while(Work work) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> nowhere(std::fopen("/dev/null", "w"),
                                                                &std::fclose);
  std::atomic<bool> stop{false};
  int seen = 0;
  SchedulerThread scheduler;
  std::vector<Task<void>> tasks;
  for (int i = 0; i < 4; ++i) {
    tasks.push_back(spawn(
        [&] {
          for (int count = 0; !stop; yield()) {
            for (int j = 0; j < 100 && !stop; ++j) work(count);
          }
        },
        {.on = scheduler.get()}));
  }
  const TimePoint end = Clock::now() + kTime;
  for (int i = 0; Clock::now() < end; ++i) {
    const Survey survey(*scheduler.get());
    const Survey::Entry& entry = survey.entries().front();
    if (entry.has_snapshot() && !entry.snapshot().tasks().empty()) {
      seen += entry.snapshot().tasks().front().frames > 0 ? 1 : 0;
    }
    if (i % 256 == 0) print_tasks(nowhere.get());
  }
  stop = true;
  for (auto& task : tasks) task.get();
  return seen;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_thread_that_switches_all_the_time_can_be_interrupted) {
  const int seen = look_while([](int&) { yield(); });
  std::printf("seen %d times\n", seen);
  BOOST_TEST((seen > 0) == kInterrupts);
}

BOOST_AUTO_TEST_CASE(a_thread_that_throws_all_the_time_can_be_interrupted) {
  const int seen = look_while([](int& count) { and_compute([&] { throw_and_catch(count); }); });
  std::printf("seen %d times\n", seen);
  BOOST_TEST((seen > 0) == kInterrupts);
}

BOOST_AUTO_TEST_CASE(a_thread_that_throws_and_switches_all_the_time_can_be_interrupted) {
  const int seen = look_while([](int& count) { and_compute([&] { throw_and_switch(count); }); });
  std::printf("seen %d times\n", seen);
  BOOST_TEST((seen > 0) == kInterrupts);
}

// What the guard is for can be seen without luck, too.
BOOST_AUTO_TEST_CASE(of_a_fiber_that_is_being_unwound_no_stack_is_taken) {
  SchedulerThread scheduler;
  std::atomic<bool> begun{false}, stop{false};
  struct ComputesAtEnd {
    ~ComputesAtEnd() {
      begun = true;
      while (!stop) continue;
    }
    std::atomic<bool>&begun, &stop;
  };
  auto task = spawn(
      [&] {
        try {
          const ComputesAtEnd computes{begun, stop};
          throw 1;
        } catch (int) {
        }
      },
      {.on = scheduler.get()});
  BOOST_TEST(eventually([&] { return begun.load(); }));
  {
    const Survey survey(*scheduler.get());
    const Survey::Entry& entry = survey.entries().front();
    BOOST_TEST(entry.has_snapshot() == kInterrupts);
    if (entry.has_snapshot()) {
      BOOST_TEST_REQUIRE(entry.snapshot().tasks().size() == 1u);
      BOOST_TEST(entry.snapshot().tasks()[0].running);
      BOOST_TEST(entry.snapshot().tasks()[0].id == task.id());
      BOOST_TEST(entry.snapshot().tasks()[0].frames == 0);
    }
  }
  stop = true;
  task.get();
}

// What is noted as running is the loop, from before a switch to it until after.
BOOST_AUTO_TEST_CASE(of_a_thread_that_is_switching_to_its_loop_no_snapshot_is_taken) {
  SchedulerThread scheduler;
  std::atomic<bool> begun{false}, stop{false};
  auto task = spawn(
      [&] {
        internal::Fiber loop;
        internal::Fiber* const self = std::exchange(internal::running.fiber, &loop);
        begun = true;
        while (!stop) continue;
        internal::running.fiber = self;
      },
      {.on = scheduler.get()});
  BOOST_TEST(eventually([&] { return begun.load(); }));
  {
    const Survey survey(*scheduler.get());
    BOOST_TEST(!survey.entries().front().has_snapshot());
  }
  stop = true;
  task.get();
}

BOOST_AUTO_TEST_SUITE_END()
