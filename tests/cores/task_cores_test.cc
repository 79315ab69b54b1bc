// Tasks that are started, joined, dropped and detached on other schedulers than their own.

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/fixture.h"
#include "weft/fiber/task.h"

BOOST_AUTO_TEST_SUITE(task_cores)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

// ---- Starting -----------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(a_task_runs_on_the_scheduler_that_it_was_given_and_never_leaves_it) {
  const auto stays = [](Scheduler* home) {
    return [home] {
      const std::thread::id thread = std::this_thread::get_id();
      bool stayed = &Scheduler::current() == home;
      for (int i = 0; i < 100; ++i) {
        i % 10 == 0 ? sleep_for(1s) : yield();
        if (i % 20 == 0) spawn([] { yield(); }, on(i / 20 % 3)).get();
        stayed = stayed && &Scheduler::current() == home && std::this_thread::get_id() == thread;
      }
      return stayed;
    };
  };
  std::vector<Task<bool>> tasks;
  for (std::size_t i = 0; i < 9; ++i) tasks.push_back(spawn(stays(on(i % 3).on), on(i % 3)));
  for (auto& task : tasks) BOOST_TEST(task.get());
}

WEFT_CORES_TEST_CASE(a_child_stays_on_the_scheduler_of_its_parent) {
  const auto child = [] { return spawn([] { return &Scheduler::current(); }).get(); };
  BOOST_TEST(spawn(child, on(2)).get() == on(2).on);
}

WEFT_CORES_TEST_CASE(eager_has_no_effect_elsewhere) {
  bool ran_here = false;
  auto ready = spawn([&] { ran_here = true; });
  auto task = spawn([] { return &Scheduler::current(); }, {.on = on(1).on, .eager = true});
  BOOST_TEST(!ran_here, "the parent stopped");
  BOOST_TEST(task.get() == on(1).on);
  auto here = spawn([] {}, {.on = on(0).on, .eager = true});
  BOOST_TEST(here.done());
}

WEFT_CORES_TEST_CASE(a_spawn_elsewhere_is_refused_as_one_here) {
  struct Uncopyable {
    Uncopyable() = default;
    Uncopyable(const Uncopyable&) { throw std::runtime_error("no copy"); }
    void operator()() { ++started; }
    std::atomic<int> started{0};
  };
  const Uncopyable f;
  for (int i = 0; i < 10; ++i) {
    BOOST_CHECK_THROW((void)spawn(f, on(1)), std::runtime_error);
    BOOST_CHECK_THROW((void)spawn(std::function<void()>(), on(1)), std::invalid_argument);
    BOOST_CHECK_THROW((void)spawn([] {}, {.stack_size = 1, .on = on(1).on}), std::invalid_argument);
  }
  BOOST_TEST(f.started == 0);
  BOOST_TEST(count_fibers() == 1u);
}

WEFT_CORES_TEST_CASE(a_task_elsewhere_may_ask_for_a_larger_stack) {
  const auto use = [] {
    std::array<volatile char, 600'000> local;
    for (std::size_t i = 0; i < local.size(); i += 1024) local[i] = 1;
    return static_cast<int>(local[0]);
  };
  BOOST_TEST(spawn(use, {.stack_size = 1 << 20, .on = on(1).on}).get() == 1);
}

WEFT_CORES_TEST_CASE(a_task_elsewhere_has_its_name_and_an_id_of_its_own) {
  std::set<std::uint64_t> ids;
  for (std::size_t i = 0; i < 300; ++i) {
    auto task = spawn([] { return current_task(); }, {.name = "traveller", .on = on(i % 3).on});
    BOOST_TEST(task.name() == "traveller");
    const TaskInfo info = task.get();
    BOOST_TEST(info.name == "traveller");
    BOOST_TEST(info.id == task.id());
    ids.insert(info.id);
  }
  for (const auto& some : spread([] {
         std::vector<std::uint64_t> here;
         for (int i = 0; i < 100; ++i)
           here.push_back(spawn([] { return current_task().id; }).get());
         return here;
       })) {
    ids.insert(some.begin(), some.end());
  }
  BOOST_TEST(ids.size() == 600u);
}

BOOST_AUTO_TEST_CASE(plain_threads_spawn_on_every_scheduler) {
  constexpr int kTasks = 200;
  std::atomic<int> wrong{0};
  Runtime runtime({.threads = 3});
  const auto spawn_and_join = [&](std::size_t self) {
    for (std::size_t i = 0; i < kTasks; ++i) {
      Scheduler* const there = runtime.schedulers()[(self + i) % 3];
      auto task = spawn(
          [] {
            yield();
            return &Scheduler::current();
          },
          {.on = there});
      if (task.get() != there) ++wrong;
    }
  };
  std::vector<std::thread> threads;
  runtime.run([&] {
    for (std::size_t i = 0; i < 4; ++i) threads.emplace_back(spawn_and_join, i);
    run_in_executor([&] {
      for (auto& thread : threads) thread.join();
    });
  });
  BOOST_TEST(wrong == 0);
}

// A stack that leaked would not come back.
WEFT_CORES_TEST_CASE(stacks_for_spawns_from_elsewhere_are_used_again) {
  const auto where = [] {
    char here;
    return reinterpret_cast<std::uintptr_t>(&here) >> 12;
  };
  std::set<std::uintptr_t> places;
  for (int i = 0; i < 300; ++i) {
    places.insert(spawn(where, on(1)).get());
    (void)spawn(where, on(1));
    spawn(where, on(1)).wait();
    spawn(where, on(1)).detach();
    run_until_blocked();
  }
  BOOST_TEST(places.size() < 10u);
}

// ---- Results ------------------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(results_of_all_kinds_come_from_elsewhere) {
  struct alignas(64) Aligned {
    char byte = 7;
  };
  int variable = 0;
  std::array<int, 200> many{};  // more than a fiber's payload
  many[199] = 7;
  const Aligned aligned;
  for (const std::size_t i : {0, 1, 2}) {
    spawn([&] { variable = 7; }, on(i)).get();
    BOOST_TEST(std::exchange(variable, 0) == 7);
    BOOST_TEST(&spawn([&]() -> int& { return variable; }, on(i)).get() == &variable);
    BOOST_TEST(*spawn([] { return std::make_unique<int>(7); }, on(i)).get() == 7);
    BOOST_TEST(spawn([p = std::make_unique<int>(7)] { return *p; }, on(i)).get() == 7);
    BOOST_TEST(spawn([] { return std::string(1000, 'x'); }, on(i)).get().size() == 1000u);
    BOOST_TEST(spawn([many] { return many[199]; }, on(i)).get() == 7);
    BOOST_TEST(spawn([&] { return many; }, on(i)).get()[199] == 7);
    BOOST_TEST(spawn([aligned] { return aligned; }, on(i)).get().byte == 7);
  }
}

WEFT_CORES_TEST_CASE(an_exception_travels_to_another_scheduler) {
  auto error = spawn([]() -> int { throw std::runtime_error("from there"); }, on(1));
  BOOST_CHECK_EXCEPTION(error.get(), std::runtime_error, [](const std::runtime_error& caught) {
    return caught.what() == std::string("from there");
  });
  auto odd = spawn([] { throw 7; }, on(2));
  BOOST_CHECK_THROW(odd.get(), int);
}

WEFT_CORES_TEST_CASE(a_result_of_elsewhere_is_there_once) {
  auto task = spawn([] { return 7; }, on(1));
  BOOST_TEST(task.get() == 7);
  BOOST_CHECK_THROW(task.get(), std::logic_error);
  auto failed = spawn([] { throw 7; }, on(1));
  failed.wait();
  BOOST_TEST(failed.failed());
  BOOST_CHECK_THROW(failed.get(), int);
  BOOST_TEST(!failed.failed());
  BOOST_CHECK_THROW(failed.get(), std::logic_error);
}

WEFT_CORES_TEST_CASE(a_wait_for_a_task_of_elsewhere_is_as_long_as_asked) {
  const TimePoint start = now();
  auto task = spawn([] { sleep_for(1h); }, on(1));
  BOOST_TEST(!task.wait_for(0s));
  BOOST_TEST(!task.wait_for(10s));
  BOOST_TEST((now() == start + 10s));
  BOOST_TEST(!task.wait_until(start + 20s));
  BOOST_TEST((now() == start + 20s));
  BOOST_TEST(!task.done());
  BOOST_TEST(task.wait_for(24h));
  BOOST_TEST((now() == start + 1h));
  BOOST_TEST(task.done());
  BOOST_TEST(task.wait_until(kPast));
}

WEFT_CORES_TEST_CASE(who_sees_that_a_task_is_done_sees_what_it_did) {
  for (int i = 0; i < 200; ++i) {
    int written = 0;
    auto task = spawn([&] { return written = 7; }, on(1 + i % 2));
    while (!task.done()) yield();
    BOOST_REQUIRE(written == 7);
    BOOST_REQUIRE(task.get() == 7);
  }
}

WEFT_CORES_TEST_CASE(tasks_call_each_other_around_all_schedulers) {
  std::function<int(std::size_t)> around = [&](std::size_t depth) {
    if (depth == 0) return 0;
    return spawn([&, depth] { return around(depth - 1); }, on(depth % 3)).get() + 1;
  };
  BOOST_TEST(around(200) == 200);
}

WEFT_CORES_TEST_CASE(a_task_may_return_a_task_of_a_third_scheduler) {
  auto outer = spawn([] { return spawn([] { return sleep_for(1h), 7; }, on(2)); }, on(1));
  BOOST_TEST(outer.get().get() == 7);
}

BOOST_AUTO_TEST_SUITE_END()
