#include "weft/fiber/task_group.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <optional>
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

// ---- One child of several -----------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(spawn_returns_the_id_of_the_child) {
  TaskGroup group;
  std::uint64_t own = 0;
  const std::uint64_t id = group.spawn([&] { own = current_task().id; });
  const std::uint64_t eager = group.spawn([] {}, {.eager = true});
  group.join();
  BOOST_TEST(id == own);
  BOOST_TEST(eager != id);
}

WEFT_SHUFFLED_TEST_CASE(one_child_is_cancelled_and_the_others_go_on) {
  const TimePoint start = now();
  std::string ended;
  TaskGroup group;
  group.spawn([&] { sleep_for(10s), ended += 'a'; });
  const std::uint64_t id = group.spawn(when_cancelled([&] { ended += 'b'; }));
  group.spawn([&] { sleep_for(20s), ended += 'c'; });
  sleep_for(1s);
  BOOST_TEST(group.cancel(id));
  run_until_blocked();
  BOOST_TEST(ended == "b");
  BOOST_TEST(!group.cancel(id), "it has ended");
  group.spawn([&] { ended += 'd'; });
  group.join();
  BOOST_TEST(ended == "bdac");
  BOOST_TEST((now() == start + 20s));
}

WEFT_SHUFFLED_TEST_CASE(a_child_cancelled_before_it_begins_never_does) {
  bool ran = false;
  TaskGroup group;
  BOOST_TEST(group.cancel(group.spawn([&] { ran = true; })));
  group.join();
  BOOST_TEST(!ran);
}

WEFT_SHUFFLED_TEST_CASE(an_id_that_is_of_no_child_cancels_nothing) {
  TaskGroup group;
  bool ran = false;
  group.spawn([&] { ran = true; });
  const Task<void> other = spawn([] { sleep_for(1h); });
  BOOST_TEST(!group.cancel(0));
  BOOST_TEST(!group.cancel(other.id()));
  BOOST_TEST(!group.cancel(current_task().id));
  group.join();
  BOOST_TEST(ran);
  yield();
}

// ---- start() ------------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(start_returns_what_the_child_says_as_soon_as_it_is_up) {
  const TimePoint start = now();
  bool ended = false;
  TaskGroup group;
  const std::string said = group.start<std::string>([&](Promise<std::string>& up) {
    sleep_for(1s);
    up.set_value("up");
    sleep_for(9s);
    ended = true;
  });
  BOOST_TEST(said == "up");
  BOOST_TEST((now() == start + 1s));
  BOOST_TEST(!ended);
  group.join();
  BOOST_TEST(ended);
  BOOST_TEST((now() == start + 10s));
}

WEFT_SHUFFLED_TEST_CASE(start_takes_values_of_all_kinds) {
  TaskGroup group;
  int variable = 0;
  group.start([](Promise<void>& up) { up.set_value(); });
  int& same = group.start<int&>([&](Promise<int&>& up) { up.set_value(variable); });
  BOOST_TEST(&same == &variable);
  const auto moved = group.start<std::unique_ptr<int>>(
      [](auto& up) { up.set_value(std::make_unique<int>(7)); }, {.eager = true});
  BOOST_TEST(*moved == 7);
  auto can_only_be_moved = [mine = std::make_unique<int>(8)](Promise<int>& up) {
    up.set_value(*mine);
  };
  BOOST_TEST(group.start<int>(std::move(can_only_be_moved)) == 8);
  group.join();
}

WEFT_SHUFFLED_TEST_CASE(a_failure_before_it_is_up_is_that_of_start_alone) {
  TaskGroup group;
  int destroyed = 0;
  bool ran = false;
  group.spawn([&] { sleep_for(1h), ran = true; });
  BOOST_CHECK_EXCEPTION(
      group.start([&, held = std::make_shared<CountAtEnd<int>>(destroyed)](Promise<void>&) {
        sleep_for(1s);
        throw Failure("not up");
      }),
      Failure, says("not up"));
  BOOST_TEST(destroyed == 1, "what it owned is gone");
  BOOST_TEST(group.failures().empty());
  group.join();
  BOOST_TEST(ran);
}

WEFT_SHUFFLED_TEST_CASE(an_exception_that_the_child_says_is_thrown_too) {
  const TimePoint start = now();
  TaskGroup group;
  BOOST_CHECK_EXCEPTION(group.start<int>([](Promise<int>& up) {
    up.set_exception(std::make_exception_ptr(Failure("said")));
    sleep_for(1h);
  }),
                        Failure, says("said"));
  BOOST_TEST((now() == start));
  group.join();
}

WEFT_SHUFFLED_TEST_CASE(a_failure_once_it_is_up_is_that_of_the_group) {
  TaskGroup group;
  group.start([](Promise<void>& up) {
    up.set_value();
    throw Failure("later");
  });
  BOOST_CHECK_EXCEPTION(group.join(), Failure, says("later"));
}

WEFT_SHUFFLED_TEST_CASE(a_child_that_returns_without_being_up_is_told_by_a_sentence) {
  TaskGroup group;
  BOOST_CHECK_EXCEPTION(group.start([](Promise<void>&) { sleep_for(1s); }), std::logic_error,
                        says("weft::TaskGroup::start: the child never came up"));
  group.join();
}

WEFT_SHUFFLED_TEST_CASE(a_child_that_is_cancelled_before_it_is_up_gives_task_cancelled) {
  TaskGroup group;
  auto canceller = spawn([&] { sleep_for(1s), group.cancel(); });
  BOOST_CHECK_THROW(group.start([](Promise<void>&) { sleep_for(1h); }), TaskCancelled);
  canceller.get();
  group.join();
}

WEFT_TEST_CASE(a_child_that_never_begins_gives_task_cancelled) {
  TaskGroup group;
  int destroyed = 0;
  auto starter = spawn([&] {
    group.start([held = std::make_shared<CountAtEnd<int>>(destroyed)](Promise<void>&) {
      BOOST_ERROR("it ran");
    });
  });
  auto canceller = spawn([&] { group.cancel(); });  // after the spawn, before the child's turn
  BOOST_CHECK_THROW(starter.get(), TaskCancelled);
  BOOST_TEST(destroyed == 1);
  canceller.get();
  group.join();
}

WEFT_SHUFFLED_TEST_CASE(a_caller_that_is_cancelled_waits_for_the_end_of_the_child) {
  const TimePoint start = now();
  bool ended = false;
  TaskGroup group;
  BOOST_CHECK_THROW(with_timeout(1s,
                                 [&] {
                                   group.start([&](Promise<void>&) {
                                     when_cancelled([&] {
                                       shield([] { sleep_for(5s); });
                                       ended = true;
                                       throw;
                                     })();
                                   });
                                 }),
                    TimeoutError);
  BOOST_TEST(ended);
  BOOST_TEST((now() == start + 6s));
  bool ran = false;
  group.spawn([&] { ran = true; });
  group.join();
  BOOST_TEST(ran, "the group goes on");
}

WEFT_SHUFFLED_TEST_CASE(also_if_the_child_comes_up_or_fails_nevertheless) {
  TaskGroup group;
  bool ended = false;
  BOOST_CHECK_THROW(with_timeout(1s,
                                 [&] {
                                   group.start([&](Promise<void>& up) {
                                     shield([&] {
                                       sleep_for(2s);
                                       up.set_value();
                                       sleep_for(2s);
                                     });
                                     ended = true;
                                   });
                                 }),
                    TimeoutError);
  BOOST_TEST(ended);
  BOOST_CHECK_EXCEPTION(with_timeout(1s,
                                     [&] {
                                       group.start([&](Promise<void>&) {
                                         when_cancelled([] { throw Failure("cleanup"); })();
                                       });
                                     }),
                        Failure, says("cleanup"));
  group.join();
}

WEFT_SHUFFLED_TEST_CASE(a_caller_cancelled_before_it_starts_one_gets_cancelled) {
  TaskGroup group;
  auto task = spawn([&] {
    BOOST_TEST(throws_cancelled([] { sleep_for(1h); }));
    group.start([](Promise<void>& up) { up.set_value(); });
  });
  run_until_blocked();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  group.join();
}

WEFT_SHUFFLED_TEST_CASE(a_failing_sibling_ends_a_start_in_the_body) {
  BOOST_CHECK_EXCEPTION(weft::with_task_group([](TaskGroup& group) {
                          group.spawn([] { sleep_for(1s), throw Failure("sibling"); });
                          group.start([](Promise<void>&) { sleep_for(1h); });
                        }),
                        Failure, says("sibling"));
}

WEFT_SHUFFLED_TEST_CASE(start_refuses_what_spawn_refuses) {
  const Unhandled unhandled;
  TaskGroup group;
  BOOST_CHECK_THROW(group.start(std::function<void(Promise<void>&)>()), std::invalid_argument);
  group.cancel();
  BOOST_CHECK_THROW(group.start([](Promise<void>& up) { up.set_value(); }), std::runtime_error);
  group.join();
  BOOST_TEST(unhandled.said.empty());
}

WEFT_SHUFFLED_TEST_CASE(a_promise_that_is_moved_away_makes_the_group_fail) {
  TaskGroup group;
  std::optional<Promise<int>> moved;
  auto later = spawn([&] {
    sleep_for(1s);
    moved->set_value(7);
  });
  BOOST_TEST(group.start<int>([&](Promise<int>& up) { moved.emplace(std::move(up)); }) == 7);
  BOOST_CHECK_THROW(group.join(), std::future_error);
  later.get();
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

// ---- start() and exceptions ---------------------------------------------------------------------

WEFT_TEST_CASE(start_throws_at_once_what_the_child_has_set_instead_of_a_value) {
  const TimePoint start = now();
  TaskGroup group;
  const auto child = [](Promise<int>& up) {
    up.set_exception(std::make_exception_ptr(std::invalid_argument("bad")));
    sleep_for(1h);
  };
  BOOST_CHECK_THROW(group.start<int>(child), std::invalid_argument);
  BOOST_TEST((now() == start));
  group.cancel();
  group.join();
}

WEFT_TEST_CASE(start_throws_what_the_child_finds_failed_while_it_unwinds) {
  const Unhandled unhandled;
  TaskGroup group;
  auto canceller = spawn([&] { sleep_for(1s), group.cancel(); });
  const auto child = [](Promise<int>&) {
    const auto inner = spawn(failing_cleanup("inner"));
    sleep_for(1h);
  };
  BOOST_CHECK_THROW(group.start<int>(child), Failure);
  BOOST_TEST(unhandled.said == "");
}

WEFT_TEST_CASE(start_is_a_wait_to_no_waiting) {
  TaskGroup group;
  const TimePoint start = now();
  const auto child = [](Promise<int>& up) { up.set_value(1), sleep_for(1h); };
  BOOST_CHECK_THROW(testing::no_waiting([&] { group.start<int>(child); }), std::logic_error);
  BOOST_TEST((now() == start));
  group.cancel();
  group.join();
}

BOOST_AUTO_TEST_SUITE_END()
