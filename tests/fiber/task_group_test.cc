#include "weft/fiber/task_group.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "tests/support/child_process.h"
#include "tests/support/failure.h"
#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/core/context.h"

BOOST_AUTO_TEST_SUITE(task_group)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

long resident_bytes() {
  long size = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace

WEFT_SHUFFLED_TEST_CASE(join_waits_for_all_children) {
  int ended = 0;
  TaskGroup group;
  for (int i = 0; i < 10; ++i) group.spawn([&, i] { sleep_for(i * 1s), ++ended; });
  group.join();
  BOOST_TEST(ended == 10);
}

WEFT_TEST_CASE(an_empty_group_joins_at_once) {
  TaskGroup group;
  group.join();
  group.join();
  group.cancel();
}

WEFT_SHUFFLED_TEST_CASE(the_first_failure_cancels_the_rest_and_join_throws_it) {
  const TimePoint start = now();
  int cancelled = 0;
  TaskGroup group;
  for (int i = 0; i < 3; ++i) {
    group.spawn(when_cancelled([&] {
      ++cancelled;
      throw;
    }));
  }
  group.spawn([] {
    sleep_for(1s);
    throw Failure("first");
  });
  BOOST_CHECK_EXCEPTION(group.join(), Failure, says("first"));
  BOOST_TEST(cancelled == 3);
  BOOST_TEST((now() == start + 1s));
}

WEFT_SHUFFLED_TEST_CASE(later_failures_are_not_thrown) {
  TaskGroup group;
  for (int i = 1; i <= 3; ++i) {
    group.spawn([i] {
      try {
        sleep_for(i * 1s);
      } catch (const Cancelled&) {
        throw Failure("consequence");
      }
      throw Failure(std::to_string(i));
    });
  }
  BOOST_CHECK_EXCEPTION(group.join(), Failure, says("1"));
  group.join();
}

WEFT_SHUFFLED_TEST_CASE(join_waits_for_the_cleanup_of_the_cancelled) {
  bool cleaned = false;
  TaskGroup group;
  group.spawn(when_cancelled([&] {
    shield([] { sleep_for(1s); });
    cleaned = true;
  }));
  group.spawn([] {
    sleep_for(1s);
    throw Failure("first");
  });
  BOOST_CHECK_THROW(group.join(), Failure);
  BOOST_TEST(cleaned);
}

WEFT_SHUFFLED_TEST_CASE(a_failure_is_kept_for_a_join_that_comes_late) {
  TaskGroup group;
  group.spawn([] { throw Failure("early"); });
  sleep_for(1s);
  BOOST_CHECK_EXCEPTION(group.join(), Failure, says("early"));
}

WEFT_SHUFFLED_TEST_CASE(a_failure_that_no_join_threw_reaches_the_handler) {
  Unhandled told;
  {
    TaskGroup group;
    group.spawn([] { throw Failure("kept"); });
    sleep_for(1s);
    BOOST_TEST(told.said == "");
  }
  BOOST_TEST(told.said == "kept");
  {
    TaskGroup group;
    group.spawn([] { throw Failure("thrown"); });
    BOOST_CHECK_THROW(group.join(), Failure);
  }
  BOOST_TEST(told.said == "kept");
}

WEFT_SHUFFLED_TEST_CASE(a_group_can_be_used_again) {
  TaskGroup group;
  int ended = 0;
  for (int round = 0; round < 3; ++round) {
    group.spawn([&] { sleep_for(1s), ++ended; });
    group.join();
    group.spawn([] { throw Failure("again"); });
    BOOST_CHECK_THROW(group.join(), Failure);
  }
  BOOST_TEST(ended == 3);
  group.spawn([] { sleep_for(1h); });
  yield();
  group.cancel();
  group.join();
  group.spawn([&] { sleep_for(1s), ++ended; });
  group.join();
  BOOST_TEST(ended == 4);
}

WEFT_SHUFFLED_TEST_CASE(children_may_start_siblings) {
  int ended = 0;
  TaskGroup group;
  std::function<void(int)> grow = [&](int depth) {
    sleep_for(1s);
    for (int i = 0; i < 2 && depth > 0; ++i) group.spawn([&, depth] { grow(depth - 1); });
    ++ended;
  };
  group.spawn([&] { grow(5); });
  group.join();
  BOOST_TEST(ended == 63);
}

WEFT_SHUFFLED_TEST_CASE(a_sibling_started_by_a_child_that_is_being_cancelled_is_cancelled_too) {
  const TimePoint start = now();
  const auto child_of = [](TaskGroup& group) {
    return when_cancelled([&group] {
      group.spawn([] { sleep_for(24h); });
      throw;
    });
  };
  {
    TaskGroup group;
    group.spawn(child_of(group));
    run_until_blocked();
  }
  BOOST_TEST((now() < start + 1h), "the destructor waited for a child that nobody cancelled");
  TaskGroup group;
  group.spawn(child_of(group));
  group.spawn([] {
    yield();
    throw Failure("first");
  });
  BOOST_CHECK_THROW(group.join(), Failure);
  BOOST_TEST((now() < start + 1h), "the failure did not cancel a later child");
}

WEFT_SHUFFLED_TEST_CASE(a_child_cannot_join_its_own_group) {
  TaskGroup group;
  bool refused = false;
  group.spawn([&] {
    BOOST_CHECK_THROW(group.join(), std::logic_error);
    TaskGroup another;
    another.spawn([] { sleep_for(1s); });
    another.join();
    refused = true;
  });
  group.join();
  BOOST_TEST(refused);
}

WEFT_SHUFFLED_TEST_CASE(the_destructor_cancels_and_joins) {
  bool left = false;
  {
    TaskGroup group;
    group.spawn(when_cancelled([&] {
      shield([] { sleep_for(1s); });
      left = true;
    }));
    run_until_blocked();
    group.spawn([] { BOOST_ERROR("it ran"); });
  }
  BOOST_TEST(left);
}

WEFT_SHUFFLED_TEST_CASE(an_exception_in_the_parent_ends_the_children) {
  bool left = false;
  BOOST_CHECK_THROW(
      {
        TaskGroup group;
        group.spawn([&] {
          struct Leaves {
            bool& left;
            ~Leaves() { sleep_for(1s), left = true; }
          } const leaves{left};
          sleep_for(1h);
        });
        run_until_blocked();
        throw Failure("of the parent");
      },
      Failure);
  BOOST_TEST(left);
}

WEFT_SHUFFLED_TEST_CASE(a_cancelled_join_cancels_the_children_and_waits_for_them) {
  bool left = false;
  auto parent = spawn([&] {
    TaskGroup group;
    group.spawn(when_cancelled([&] {
      shield([] { sleep_for(1s); });
      left = true;
    }));
    try {
      group.join();
    } catch (const Cancelled&) {
      BOOST_TEST(left);
      throw;
    }
  });
  run_until_blocked();
  parent.cancel();
  BOOST_CHECK_THROW(parent.get(), TaskCancelled);
  BOOST_TEST(left);
}

WEFT_SHUFFLED_TEST_CASE(a_cancelled_child_is_no_failure) {
  TaskGroup group;
  group.spawn([] { sleep_for(1h); });
  auto canceller = spawn([&] { group.cancel(); });
  group.join();
  canceller.get();
}

WEFT_TEST_CASE(several_fibers_may_wait_for_a_group_one_after_the_other) {
  TaskGroup group;
  group.spawn([] { sleep_for(1s); });
  auto other = spawn([&] { group.join(); });
  other.get();
  group.join();
}

WEFT_TEST_CASE(null_callables_and_small_stacks_are_refused) {
  TaskGroup group;
  BOOST_CHECK_THROW(group.spawn(std::function<void()>()), std::invalid_argument);
  BOOST_CHECK_THROW(group.spawn([] {}, {.stack_size = 1}), std::invalid_argument);
  group.join();
}

BOOST_AUTO_TEST_CASE(a_group_needs_a_scheduler_to_spawn) {
  TaskGroup group;
  BOOST_CHECK_THROW(group.spawn([] {}), std::logic_error);
  group.join();
}

WEFT_TEST_CASE(results_of_children_are_dropped_and_destroyed) {
  int alive = 0;
  struct Counted {
    explicit Counted(int& its_alive) : alive(its_alive) { ++alive; }
    Counted(const Counted& other) : Counted(other.alive) {}
    ~Counted() { --alive; }
    int& alive;
  };
  TaskGroup group;
  group.spawn([&] { return Counted(alive); });
  group.join();
  yield();
  BOOST_TEST(alive == 0);
}

WEFT_TEST_CASE(children_may_be_eager_and_have_names) {
  std::string name;
  TaskGroup group;
  group.spawn([&] { name = current_task().name; }, {.name = "child", .eager = true});
  BOOST_TEST(name == "child");
  group.spawn([] { throw Failure("at once"); }, {.eager = true});
  BOOST_CHECK_THROW(group.join(), Failure);
}

WEFT_TEST_CASE(children_may_live_on_another_scheduler) {
  SchedulerThread other;
  std::atomic<int> there{0};
  TaskGroup group;
  for (int i = 0; i < 10; ++i) {
    group.spawn([&] { there += std::this_thread::get_id() == other.id(); }, {.on = other.get()});
  }
  group.join();
  BOOST_TEST(there == 10);
}

WEFT_TEST_CASE(a_failure_on_another_scheduler_cancels_children_everywhere) {
  SchedulerThread other;
  std::atomic<int> cancelled{0};
  const auto sleeper = [&] {
    struct Leaves {
      std::atomic<int>& cancelled;
      ~Leaves() { ++cancelled; }
    } const leaves{cancelled};
    sleep_until(kForever);
  };
  TaskGroup group;
  group.spawn(sleeper, {.eager = true});
  group.spawn(sleeper, {.on = other.get()});
  group.spawn(
      [&] {
        yield();
        throw Failure("there");
      },
      {.on = other.get()});
  BOOST_CHECK_THROW(group.join(), Failure);
  BOOST_TEST(cancelled == 2);
}

BOOST_AUTO_TEST_CASE(a_plain_thread_may_join_and_destroy_a_group) {
  SchedulerThread other;
  {
    std::atomic<int> ended{0};
    TaskGroup group;
    for (int i = 0; i < 10; ++i) group.spawn([&] { yield(), ++ended; }, {.on = other.get()});
    group.join();
    BOOST_TEST(ended == 10);
    group.spawn([] { throw Failure("there"); }, {.on = other.get()});
    BOOST_CHECK_THROW(group.join(), Failure);
    group.spawn([] { sleep_for(1h); }, {.on = other.get()});
  }
}

BOOST_AUTO_TEST_CASE(groups_across_threads_may_end_at_any_moment) {
  SchedulerThread first, second;
  std::atomic<int> ended{0};
  for (int round = 0; round < 200; ++round) {
    auto parent = spawn(
        [&, round] {
          TaskGroup group;
          for (int i = 0; i < 8; ++i) {
            group.spawn(
                [&, i] {
                  const CountAtEnd count(ended);
                  yield();
                  if (i == round % 16) throw Failure("some");
                  sleep_for(std::chrono::microseconds(round % 7));
                },
                {.on = i % 2 ? first.get() : second.get()});
          }
          if (round % 3) group.join();
        },
        {.on = round % 2 ? first.get() : second.get()});
    try {
      parent.get();
    } catch (const std::runtime_error&) {  // a Failure, or spawn(): the group is shutting down
    }
  }
  BOOST_TEST(ended <= 200 * 8);
}

WEFT_TEST_CASE(a_million_children_one_after_another_do_not_grow_memory) {
#if defined(WEFT_TSAN) || defined(WEFT_ASAN)
  constexpr int kChildren = 50'000;
#else
  constexpr int kChildren = 1'000'000;
#endif
  int ended = 0;
  TaskGroup group;
  const auto run_some = [&](int count) {
    for (int i = 0; i < count; ++i) {
      group.spawn([&] { ++ended; });
      if (i % 100 == 99) yield();
    }
    yield();
  };
  run_some(1000);
  const long before = resident_bytes();
  run_some(kChildren);
#if defined(WEFT_TSAN) || defined(WEFT_ASAN)
  (void)before;  // sanitizers remember much
#else
  BOOST_TEST(resident_bytes() - before < 4'000'000);
#endif
  group.join();
  BOOST_TEST(ended == kChildren + 1000);
}

BOOST_AUTO_TEST_CASE(a_child_that_destroys_its_group_ends_the_program_with_a_sentence) {
  const ChildEnd end = run_in_child([] {
    run([] {
      auto group = std::make_unique<TaskGroup>();
      group->spawn([&] { group.reset(); });
      group->join();
    });
    return 0;
  });
  BOOST_TEST(end.signal == SIGABRT);
  BOOST_TEST(end.said.find("destroyed by a child") != std::string::npos, end.said);
}

BOOST_AUTO_TEST_SUITE_END()
