#include "weft/fiber/task.h"

#include <array>
#include <atomic>
#include <csignal>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/failure.h"
#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"

BOOST_AUTO_TEST_SUITE(task)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

int seven() { return 7; }

// Counts those of its kind that are alive.
struct Counted {
  Counted() { ++alive; }
  Counted(const Counted&) { ++alive; }
  ~Counted() { --alive; }
  static inline std::atomic<int> alive{0};
};

template <class F>
void run_virtually(F f) {
  run(std::move(f), {.virtual_time = true});
}

}  // namespace

// ---- Starting -----------------------------------------------------------------------------------

WEFT_TEST_CASE(a_task_returns_its_result) {
  BOOST_TEST(spawn([] { return 7; }).get() == 7);
}

WEFT_SHUFFLED_TEST_CASE(time_passes_only_when_all_wait) {
  const TimePoint start = now();
  auto sleeper = spawn([] { sleep_for(1h); });
  sleeper.get();
  BOOST_TEST((now() - start == 1h));
}

WEFT_TEST_CASE(any_callable_may_be_spawned) {
  struct Member {
    int operator()() { return ++value; }
    int value = 6;
  } named;
  const std::function<int()> function = seven;
  BOOST_TEST(spawn(seven).get() == 7);
  BOOST_TEST(spawn(&seven).get() == 7);
  BOOST_TEST(spawn(function).get() == 7);
  BOOST_TEST(spawn(named).get() == 7);
  BOOST_TEST(spawn(std::ref(named)).get() == 7);
  BOOST_TEST(named.value == 7, "only std::ref refers");
  BOOST_TEST(spawn([moved = std::make_unique<int>(7)] { return *moved; }).get() == 7);
}

WEFT_TEST_CASE(a_null_callable_is_refused) {
  int (*const pointer)() = nullptr;
  BOOST_CHECK_THROW((void)spawn(pointer), std::invalid_argument);
  BOOST_CHECK_THROW((void)spawn(std::function<int()>()), std::invalid_argument);
}

WEFT_TEST_CASE(a_task_starts_when_its_parent_waits) {
  bool started = false;
  auto task = spawn([&] { started = true; });
  BOOST_TEST(!started);
  BOOST_TEST(!task.done());
  yield();
  BOOST_TEST(started);
  BOOST_TEST(task.done());
}

WEFT_TEST_CASE(an_eager_task_runs_at_once_and_its_parent_goes_on_before_others_when_it_waits) {
  std::string order;
  auto other = spawn([&] { order += 'c'; });
  auto child = spawn(
      [&] {
        order += 'a';
        sleep_for(1ms);
        order += 'd';
      },
      {.eager = true});
  order += 'b';
  child.get();
  other.get();
  BOOST_TEST(order == "abcd");
}

WEFT_TEST_CASE(the_parent_of_an_eager_task_goes_on_when_it_ends) {
  std::string order;
  auto other = spawn([&] { order += 'c'; });
  auto child = spawn([&] { order += 'a'; }, {.eager = true});
  BOOST_TEST(child.done());
  order += 'b';
  child.get();
  other.get();
  BOOST_TEST(order == "abc");
}

WEFT_TEST_CASE(the_parent_of_an_eager_task_goes_on_when_it_yields) {
  std::string order;
  auto child = spawn(
      [&] {
        order += 'a';
        yield();
        order += 'c';
      },
      {.eager = true});
  order += 'b';
  child.get();
  BOOST_TEST(order == "abc");
}

WEFT_SHUFFLED_TEST_CASE(eager_tasks_nest_depth_first) {
  std::function<int(int)> leaves = [&](int depth) {
    if (depth == 0) return 1;
    auto left = spawn([&, depth] { return leaves(depth - 1); }, {.eager = true});
    auto right = spawn([&, depth] { return leaves(depth - 1); }, {.eager = true});
    return left.get() + right.get();
  };
  BOOST_TEST(leaves(6) == 64);
}

WEFT_TEST_CASE(an_eager_task_may_fail_at_once) {
  auto child = spawn([] { throw std::runtime_error("at once"); }, {.eager = true});
  BOOST_TEST(child.failed());
  BOOST_CHECK_THROW(child.get(), std::runtime_error);
}

WEFT_TEST_CASE(a_task_may_ask_for_a_larger_stack) {
  const auto use = [] {
    std::array<volatile char, 600'000> local;
    for (std::size_t i = 0; i < local.size(); i += 1024) local[i] = 1;
    return static_cast<int>(local[0]);
  };
  BOOST_TEST(spawn(use, {.stack_size = 1 << 20}).get() == 1);
  BOOST_TEST(spawn(seven, {.stack_size = 100'001}).get() == 7);
}

WEFT_TEST_CASE(too_small_a_stack_is_refused) {
  BOOST_CHECK_THROW((void)spawn(seven, {.stack_size = 1}), std::invalid_argument);
  BOOST_CHECK_THROW((void)spawn(seven, {.stack_size = 12'287}), std::invalid_argument);
  BOOST_CHECK_THROW((void)spawn(seven, {.stack_size = SIZE_MAX}), std::bad_alloc);
  BOOST_TEST(spawn(seven).get() == 7);
}

BOOST_AUTO_TEST_CASE(a_spawn_needs_a_scheduler) {
  BOOST_CHECK_THROW((void)spawn(seven), std::logic_error);
}

// ---- Callables and results ----------------------------------------------------------------------

WEFT_TEST_CASE(results_may_be_moved_only_or_nothing_or_references) {
  int variable = 0;
  spawn([] {}).get();
  BOOST_TEST(*spawn([] { return std::make_unique<int>(7); }).get() == 7);
  BOOST_TEST(&spawn([&]() -> int& { return variable; }).get() == &variable);
  BOOST_TEST(&spawn([&]() -> const int& { return variable; }).get() == &variable);
  BOOST_TEST(spawn([] { return std::string(1000, 'x'); }).get().size() == 1000u);
}

WEFT_TEST_CASE(large_and_overaligned_callables_and_results_are_fine) {
  struct alignas(64) Aligned {
    char byte = 7;
  };
  std::array<int, 200> many{};
  many[199] = 7;
  BOOST_TEST(spawn([many] { return many[199]; }).get() == 7);
  BOOST_TEST(spawn([&] { return many; }).get()[199] == 7);
  const Aligned captured;
  BOOST_TEST(spawn([captured] {
               return reinterpret_cast<std::uintptr_t>(&captured) % 64 + captured.byte;
             }).get() == 7u);
  BOOST_TEST(spawn([] { return Aligned(); }).get().byte == 7);
}

WEFT_TEST_CASE(a_callable_is_destroyed_when_its_task_ends) {
  std::array<char, 1000> large{};
  for (bool is_large : {false, true}) {
    auto small_task = spawn([counted = Counted()] {});
    auto large_task = spawn([counted = Counted(), large] { (void)large; });
    auto& task = is_large ? large_task : small_task;
    task.wait();
    yield();
    BOOST_TEST(Counted::alive == 0);
  }
}

WEFT_TEST_CASE(a_callable_is_destroyed_by_its_own_fiber) {
  struct Says {
    explicit Says(std::uint64_t& its_where) : where(&its_where) {}
    Says(Says&& other) noexcept : where(std::exchange(other.where, nullptr)) {}
    ~Says() {
      if (where) *where = current_task().id;
    }
    std::uint64_t* where;
  };
  std::uint64_t where = 0;
  auto task = spawn([says = Says(where)] {});
  const std::uint64_t id = task.id();
  task.get();
  BOOST_TEST(where == id);
  auto cancelled = spawn([says = Says(where)] {});
  cancelled.cancel();
  cancelled.wait();
  BOOST_TEST(where == cancelled.id());
}

WEFT_TEST_CASE(a_result_lives_until_it_is_taken) {
  auto task = spawn([] { return Counted(); });
  task.wait();
  BOOST_TEST(Counted::alive == 1);
  task.get();
  BOOST_TEST(Counted::alive == 0);
}

WEFT_TEST_CASE(a_result_that_nobody_takes_is_destroyed) {
  struct Large : Counted {
    std::array<char, 1000> bytes{};
  };
  {
    auto task = spawn([] { return Counted(); });
    auto large = spawn([] { return Large(); });
    task.wait(), large.wait();
    BOOST_TEST(Counted::alive == 2);
  }
  BOOST_TEST(Counted::alive == 0);
  spawn([] { return Counted(); }).detach();
  run_until_blocked();
  BOOST_TEST(Counted::alive == 0);
}

WEFT_TEST_CASE(a_result_that_is_a_task_is_cancelled_and_joined_where_nobody_takes_it) {
  bool joined = false;
  const auto make = [&] {
    return spawn([&] { shield([&] { sleep_for(1s), joined = true; }); }, {.eager = true});
  };
  {
    auto task = spawn(make);
    task.wait();
  }
  BOOST_TEST(std::exchange(joined, false));
  spawn(make).detach();
  sleep_for(2s);
  BOOST_TEST(joined);
}

BOOST_AUTO_TEST_CASE(a_result_that_is_a_task_may_be_dropped_by_a_plain_thread) {
  const ChildEnd end = run_in_child([] {
    alarm(5);
    bool cancelled = false;
    {
      SchedulerThread other;
      auto task =
          spawn([&] { return spawn(when_cancelled([&] { cancelled = true; }), {.eager = true}); },
                {.on = other.get()});
      task.wait();
    }
    return cancelled ? 7 : 8;
  });
  BOOST_TEST(end.signal == 0);
  BOOST_TEST(end.exit_code == 7);
}

WEFT_TEST_CASE(a_spawn_that_cannot_copy_its_callable_starts_nothing) {
  struct Uncopyable {
    Uncopyable() = default;
    Uncopyable(const Uncopyable&) { throw std::runtime_error("no copy"); }
    void operator()() { BOOST_ERROR("started"); }
  };
  const Uncopyable f;
  BOOST_CHECK_THROW((void)spawn(f), std::runtime_error);
  BOOST_TEST(all_tasks().size() == 1u);
  BOOST_TEST(spawn(seven).get() == 7);
}

WEFT_TEST_CASE(a_result_that_cannot_be_made_or_moved_throws_from_get) {
  struct Unmovable : Counted {
    Unmovable() = default;
    Unmovable(Unmovable&&) { throw std::runtime_error("no move"); }
  };
  const auto moved_by_get = [] { return Unmovable(); };
  const auto moved_by_task = []() -> Unmovable {
    Unmovable local;
    return static_cast<Unmovable&&>(local);
  };
  auto task = spawn(moved_by_get);
  BOOST_CHECK_THROW(task.get(), std::runtime_error);
  auto other = spawn(moved_by_task);
  BOOST_CHECK_THROW(other.get(), std::runtime_error);
  BOOST_TEST(Counted::alive == 0);
}

// ---- Joining ------------------------------------------------------------------------------------

WEFT_TEST_CASE(an_exception_travels_to_who_joins) {
  auto task = spawn([]() -> int { throw std::runtime_error("from the task"); });
  BOOST_CHECK_EXCEPTION(task.get(), std::runtime_error, [](const std::runtime_error& error) {
    return error.what() == std::string("from the task");
  });
  auto odd = spawn([] { throw 7; });
  BOOST_CHECK_THROW(odd.get(), int);
}

WEFT_TEST_CASE(a_result_is_there_once) {
  auto task = spawn(seven);
  BOOST_TEST(task.get() == 7);
  BOOST_CHECK_THROW(task.get(), std::logic_error);
  auto nothing = spawn([] {});
  nothing.get();
  BOOST_CHECK_THROW(nothing.get(), std::logic_error);
  auto failed = spawn([] { throw std::runtime_error("once"); });
  BOOST_CHECK_THROW(failed.get(), std::runtime_error);
  BOOST_TEST(!failed.failed());
  BOOST_CHECK_THROW(failed.get(), std::logic_error);
}

WEFT_TEST_CASE(wait_neither_throws_nor_takes) {
  auto task = spawn([] { throw std::runtime_error("still there"); });
  BOOST_TEST(!task.failed());
  task.wait();
  BOOST_TEST(task.failed());
  task.wait();
  BOOST_CHECK_THROW(task.get(), std::runtime_error);
}

WEFT_SHUFFLED_TEST_CASE(a_wait_for_a_task_is_as_long_as_asked) {
  const TimePoint start = now();
  auto task = spawn([] { sleep_for(1h); });
  BOOST_TEST(!task.wait_for(0s));
  BOOST_TEST(!task.wait_for(10s));
  BOOST_TEST((now() == start + 10s));
  BOOST_TEST(!task.wait_until(start + 20s));
  BOOST_TEST((now() == start + 20s));
  BOOST_TEST(task.wait_for(24h));
  BOOST_TEST((now() == start + 1h));
  BOOST_TEST(task.wait_for(0s));
  BOOST_TEST(task.wait_until(kPast));
  BOOST_TEST(task.wait_for(-1ns));
}

namespace {

struct WaitsWhenDestroyed {
  explicit WaitsWhenDestroyed(int& its_count) : count(&its_count) {}
  WaitsWhenDestroyed(WaitsWhenDestroyed&& other) noexcept
      : count(std::exchange(other.count, nullptr)) {}
  ~WaitsWhenDestroyed() {
    if (!count) return;
    sleep_for(1ms);
    ++*count;
  }
  int* count;
};

}  // namespace

WEFT_SHUFFLED_TEST_CASE(what_a_cancelled_task_owns_may_wait_when_it_is_destroyed) {
  int destroyed = 0;
  {
    auto waits = spawn([g = WaitsWhenDestroyed(destroyed)] { sleep_for(1h); });
    yield();
    waits.cancel();
    waits.wait();
    auto never_begins = spawn([g = WaitsWhenDestroyed(destroyed)] {});
    never_begins.cancel();
    never_begins.wait();
    auto fails = spawn([g = WaitsWhenDestroyed(destroyed)] { throw 1; });
    BOOST_CHECK_THROW(fails.get(), int);
  }
  BOOST_TEST(destroyed == 3);
}

BOOST_AUTO_TEST_CASE(what_a_dropped_call_owns_may_wait_when_it_is_destroyed) {
  int destroyed = 0;
  run(
      [&] {
        Scheduler::current().call_later(1h,
                                        [g = std::make_shared<WaitsWhenDestroyed>(destroyed)] {});
      },
      {.virtual_time = true});
  BOOST_TEST(destroyed == 1);
}

BOOST_AUTO_TEST_CASE(a_thread_does_not_wait_for_a_task_that_only_it_would_run) {
  Runtime runtime;
  Task<void> task = runtime.run([] { return spawn([] { sleep_for(1h); }); });
  BOOST_CHECK_THROW(task.wait(), std::logic_error);
  BOOST_CHECK_THROW(task.get(), std::logic_error);
  BOOST_TEST(!task.done());
}

BOOST_AUTO_TEST_CASE(a_handle_that_is_destroyed_outside_of_run_still_cancels_and_joins) {
  Runtime runtime;
  int ended = 0;
  {
    const auto task = runtime.run([&] {
      auto waits = spawn([&] {
        const WaitsWhenDestroyed at_the_end(ended);
        sleep_for(1h);
      });
      yield();
      return waits;
    });
    BOOST_TEST(ended == 0);
  }
  BOOST_TEST(ended == 1);
}

WEFT_SHUFFLED_TEST_CASE(a_task_cannot_wait_for_itself) {
  Task<void> task;
  task = spawn([&] {
    BOOST_CHECK_THROW(task.wait(), std::logic_error);
    BOOST_CHECK_THROW(task.wait_for(1s), std::logic_error);
    BOOST_CHECK_THROW(task.get(), std::logic_error);
  });
  task.get();
}

WEFT_TEST_CASE(an_empty_handle_says_so) {
  Task<int> task;
  BOOST_TEST(!task.valid());
  BOOST_CHECK_THROW(task.get(), std::logic_error);
  BOOST_CHECK_THROW(task.wait(), std::logic_error);
  BOOST_CHECK_THROW((void)task.done(), std::logic_error);
  BOOST_CHECK_THROW(task.cancel(), std::logic_error);
  BOOST_CHECK_THROW(task.detach(), std::logic_error);
  task = spawn(seven);
  BOOST_TEST(task.valid());
  Task<int> taker = std::move(task);
  BOOST_TEST(!task.valid());
  BOOST_TEST(taker.get() == 7);
}

// ---- Ending -------------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(destroying_a_handle_cancels_and_joins) {
  bool left = false;
  {
    auto task = spawn(when_cancelled([&] {
      shield([] { sleep_for(1s); });
      left = true;
      throw;
    }));
    run_until_blocked();
  }
  BOOST_TEST(left);
}

WEFT_SHUFFLED_TEST_CASE(assigning_to_a_handle_cancels_and_joins_what_it_had) {
  bool left = false;
  auto task = spawn([&] {
    struct Leaves {
      bool& left;
      ~Leaves() { left = true; }
    } const leaves{left};
    sleep_for(1h);
  });
  run_until_blocked();
  task = spawn([] {});
  BOOST_TEST(left);
  auto& same = task;
  task = std::move(same);
  BOOST_TEST(task.valid());
  task.get();
}

WEFT_SHUFFLED_TEST_CASE(an_exception_that_nobody_took_reaches_the_handler) {
  Unhandled unhandled;
  {
    auto destroyed = spawn([] { throw std::runtime_error("destroyed"); });
    auto taken = spawn([] { throw std::runtime_error("taken"); });
    BOOST_CHECK_THROW(taken.get(), std::runtime_error);
    destroyed.wait();
    BOOST_TEST(unhandled.said == "");
  }
  BOOST_TEST(std::exchange(unhandled.said, {}) == "destroyed");
  spawn([] { throw std::runtime_error("detached"); }).detach();
  run_until_blocked();
  BOOST_TEST(std::exchange(unhandled.said, {}) == "detached");
  auto detached_late = spawn([] { throw std::runtime_error("detached late"); });
  detached_late.wait();
  detached_late.detach();
  BOOST_TEST(std::exchange(unhandled.said, {}) == "detached late");
  {
    auto fails_when_cancelled =
        spawn(when_cancelled([] { throw std::runtime_error("cancelled"); }));
    run_until_blocked();
  }
  BOOST_TEST(unhandled.said == "cancelled");
}

WEFT_TEST_CASE(the_handler_of_exceptions_runs_in_the_fiber_that_failed) {
  std::string where;
  auto handler = [&](std::exception_ptr) { where = current_task().name; };
  Scheduler::current().set_exception_handler(handler);
  spawn([] { throw std::runtime_error("detached"); }, {.name = "detached"}).detach();
  run_until_blocked();
  BOOST_TEST(where == "detached");
}

WEFT_TEST_CASE(a_detached_task_goes_on_alone) {
  bool ended = false;
  auto task = spawn([&] { sleep_for(1s), ended = true; });
  task.detach();
  BOOST_TEST(!task.valid());
  sleep_for(1h);
  BOOST_TEST(ended);
}

WEFT_SHUFFLED_TEST_CASE(a_task_whose_own_callable_owns_its_handle_goes_on_alone) {
  Unhandled unhandled;
  for (bool fails : {false, true}) {
    auto handle = std::make_shared<Task<void>>();
    *handle = spawn([handle, fails] {
      sleep_for(1ms);
      if (fails) throw std::runtime_error("alone");
    });
    handle.reset();
    BOOST_TEST(all_tasks().size() == 2u);
    sleep_for(1s);
    BOOST_TEST(all_tasks().size() == 1u);
  }
  BOOST_TEST(unhandled.said == "alone");
}

WEFT_SHUFFLED_TEST_CASE(handles_may_be_dropped_by_the_task_that_they_joined_last) {
  auto first = std::make_unique<Task<void>>(spawn([] { sleep_for(1s); }));
  auto second = spawn([&] {
    first->get();
    first.reset();
  });
  second.get();
  BOOST_TEST(!first);
}

WEFT_TEST_CASE(stacks_are_used_again) {
  // By their address: one that leaked would not come back.
  const auto where = [] {
    char here;
    return reinterpret_cast<std::uintptr_t>(&here) >> 12;
  };
  const auto first = spawn(where).get();
  for (int i = 0; i < 1000; ++i) {
    (void)spawn(where);
    spawn(where).wait();
    spawn(where).detach();
    yield();
  }
  BOOST_TEST(spawn(where).get() == first);
}

// ---- After the runtime --------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_result_may_be_taken_after_the_runtime_ended) {
  Task<std::string> result, cancelled;
  Task<void> failed, dropped;
  run_virtually([&] {
    result = spawn([] { return std::string(1000, 'x'); });
    failed = spawn([] { throw std::runtime_error("late"); });
    dropped = spawn([large = std::array<char, 1000>()] { (void)large; });
    yield();
    cancelled = spawn([] { return std::string("never ran"); }, {.name = "cancelled"});
  });
  BOOST_TEST(result.done());
  BOOST_TEST(result.get() == std::string(1000, 'x'));
  BOOST_CHECK_THROW(result.get(), std::logic_error);
  BOOST_TEST(failed.failed());
  BOOST_CHECK_THROW(failed.get(), std::runtime_error);
  BOOST_CHECK_THROW(cancelled.get(), TaskCancelled);
  BOOST_TEST(cancelled.name() == "cancelled");
  cancelled.cancel();
  cancelled.wait();
  BOOST_TEST(cancelled.wait_for(0s));
}

BOOST_AUTO_TEST_CASE(handles_may_be_dropped_after_the_runtime_ended) {
  std::vector<Task<Counted>> tasks;
  run_virtually([&] {
    for (int i = 0; i < 100; ++i) tasks.push_back(spawn([] { return Counted(); }));
    tasks.front().wait();
  });
  BOOST_TEST(Counted::alive == 100);
  tasks[7].detach();
  std::thread([&] { tasks.resize(50); }).join();
  BOOST_TEST(Counted::alive == 49);
  run_virtually([&] { tasks.clear(); });
  BOOST_TEST(Counted::alive == 0);
}

BOOST_AUTO_TEST_CASE(an_exception_dropped_after_the_runtime_ended_ends_the_process) {
  const ChildEnd end = run_in_child([] {
    Task<void> task;
    run_virtually([&] {
      task = spawn([] { throw std::runtime_error("too late"); }, {.name = "late"});
      yield();
    });
    task = {};
    return 0;
  });
  BOOST_TEST(end.signal == SIGABRT);
  BOOST_TEST(end.said.find("too late") != std::string::npos, end.said);
}

// ---- Other threads ------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_plain_thread_spawns_and_joins) {
  SchedulerThread other;
  auto task =
      spawn([] { return std::this_thread::get_id(); }, {.name = "there", .on = other.get()});
  BOOST_TEST(task.name() == "there");
  BOOST_TEST((task.get() == other.id()));
  auto failed = spawn([] { throw std::runtime_error("there"); }, {.on = other.get()});
  BOOST_CHECK_THROW(failed.get(), std::runtime_error);
  BOOST_TEST(spawn(seven, {.on = other.get(), .eager = true}).get() == 7);
  BOOST_CHECK_THROW((void)spawn(seven, {.stack_size = 1, .on = other.get()}),
                    std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(a_plain_thread_waits_no_longer_than_asked) {
  SchedulerThread other;
  auto task = spawn([] { sleep_for(1h); }, {.on = other.get()});
  const TimePoint start = now();
  BOOST_TEST(!task.wait_for(0s));
  BOOST_TEST(!task.wait_for(2ms));
  BOOST_TEST(!task.wait_until(start + 4ms));
  BOOST_TEST((now() - start >= 4ms));
}

BOOST_AUTO_TEST_CASE(a_handle_destroyed_by_a_plain_thread_cancels_and_joins) {
  SchedulerThread other;
  std::atomic<bool> started{false};
  bool left = false;
  {
    auto task = spawn(
        [&] {
          struct Leaves {
            bool& left;
            ~Leaves() { left = true; }
          } const leaves{left};
          started = true;
          sleep_for(1h);
        },
        {.on = other.get()});
    while (!started) std::this_thread::yield();
  }
  BOOST_TEST(left);
}

WEFT_TEST_CASE(fibers_join_tasks_of_another_scheduler) {
  SchedulerThread other;
  auto task = spawn([] { return std::this_thread::get_id(); }, {.on = other.get()});
  BOOST_TEST((task.get() == other.id()));
  std::string order;
  auto back_and_forth = spawn(
      [&, home = &Scheduler::current()] {
        order += 'a';
        spawn([&] { order += 'b'; }, {.on = home}).get();
        order += 'c';
      },
      {.on = other.get()});
  back_and_forth.get();
  BOOST_TEST(order == "abc");
}

WEFT_TEST_CASE(a_fiber_never_changes_its_thread) {
  SchedulerThread other;
  const auto stays = [] {
    const std::thread::id before = std::this_thread::get_id();
    bool stayed = true;
    for (int i = 0; i < 100; ++i) {
      yield();
      if (i % 10 == 0) sleep_for(10us);
      stayed = stayed && std::this_thread::get_id() == before;
    }
    return stayed;
  };
  auto here = spawn(stays);
  auto there = spawn(stays, {.on = other.get()});
  BOOST_TEST(here.get());
  BOOST_TEST(there.get());
}

BOOST_AUTO_TEST_CASE(a_result_of_another_thread_that_nobody_takes_is_destroyed) {
  {
    SchedulerThread other;
    for (int i = 0; i < 10; ++i) {
      auto task = spawn([] { return Counted(); }, {.on = other.get()});
      task.wait();
    }
    spawn([] { return Counted(); }, {.on = other.get()}).detach();
  }
  BOOST_TEST(Counted::alive == 0);
}

BOOST_AUTO_TEST_CASE(threads_spawn_cancel_join_drop_and_detach_at_once) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 300;
  std::atomic<int> ended{0};
  std::array<std::atomic<int>, kThreads> wrong{};
  {
    SchedulerThread other;
    const auto work = [&](int self) {
      const auto end = [&ended] {
        const CountAtEnd count(ended);
        yield();
        sleep_for(1us);
        return 7;
      };
      for (int i = 0; i < kRounds; ++i) {
        auto joined = spawn(end, {.on = other.get()});
        auto dropped = spawn(end, {.on = other.get()});
        auto detached = spawn(end, {.on = other.get()});
        auto cancelled = spawn(end, {.on = other.get()});
        detached.detach();
        cancelled.cancel();
        if (joined.get() != 7) ++wrong[self];
        cancelled.wait();
      }
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
    for (auto& thread : threads) thread.join();
  }
  for (const auto& count : wrong) BOOST_TEST(count == 0);
  BOOST_TEST(ended >= kThreads * kRounds);
  BOOST_TEST(ended <= kThreads * kRounds * 4);
}

BOOST_AUTO_TEST_CASE(handles_may_be_dropped_by_threads_while_their_scheduler_ends) {
  for (int round = 0; round < 50; ++round) {
    std::vector<Task<Counted>> tasks;
    std::thread dropper;
    {
      SchedulerThread other;
      for (int i = 0; i < 20; ++i) {
        tasks.push_back(spawn(
            [i] {
              if (i % 2) sleep_for(1h);
              return Counted();
            },
            {.on = other.get()}));
      }
      tasks.front().wait();
      dropper = std::thread([&] { tasks.clear(); });
    }
    dropper.join();
    BOOST_TEST(Counted::alive == 0);
  }
}

BOOST_AUTO_TEST_SUITE_END()
