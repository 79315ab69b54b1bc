// What schedulers ask of each other: posts, calls, wake-ups.

#include <algorithm>
#include <array>
#include <atomic>
#include <ctime>
#include <functional>
#include <memory>
#include <mutex>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/fixture.h"
#include "weft/fiber/core/loop.h"
#include "weft/fiber/core/parker.h"
#include "weft/fiber/core/port.h"

BOOST_AUTO_TEST_SUITE(scheduler_cores)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

Duration cpu_time() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

// Counts the wake-ups, and keeps its scheduler asleep for as long as asked.
class CountingPort final : public Port {
 public:
  TimePoint now() const noexcept override { return Clock::now(); }
  bool wait(TimePoint deadline) override {
    for (; held && deadline > now(); std::this_thread::yield()) asleep = true;
    asleep = false;
    return parker_.wait(deadline);
  }
  void wake() noexcept override {
    ++wakes;
    parker_.post();
  }

  std::atomic<int> wakes{0};
  std::atomic<bool> held{false}, asleep{false};

 private:
  Parker parker_;
};

// A scheduler on a thread of its own that sleeps in such a port.
struct CountingScheduler {
  CountingScheduler()
      : scheduler(port, {.trim = false}), thread([this] {
          scheduler.run();
          scheduler.shutdown();
        }) {}
  ~CountingScheduler() {
    port.held = false;
    scheduler.stop();
    thread.join();
  }

  // Returns when it sleeps, and will until release(), and has nothing to do.
  void hold() {
    for (;;) {
      port.held = true;
      port.wake();  // it may sleep by itself
      while (!port.asleep) std::this_thread::yield();
      if (!scheduler.has_post()) return;
      release();
    }
  }
  void release() {
    port.held = false;
    while (port.asleep) std::this_thread::yield();
  }

  CountingPort port;
  Loop scheduler;
  std::thread thread;
};

FiberLocal<std::string> user("nobody");

}  // namespace

// ---- Posts and calls ----------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(posts_run_where_they_are_posted_in_the_order_of_each_poster) {
  constexpr int kPosts = 50;
  // By the scheduler that runs them, and by the one that posted them.
  std::array<std::array<std::vector<int>, 3>, 3> seen;
  std::atomic<int> left{3 * 3 * kPosts}, strayed{0};
  Promise<void> done;
  spread([&](std::size_t from) {
    for (int n = 0; n < kPosts; ++n) {
      for (std::size_t to = 0; to < 3; ++to) {
        on(to).on->post([&, from, to, n] {
          strayed += &Scheduler::current() != on(to).on;
          seen[to][from].push_back(n);
          if (--left == 0) done.set_value();
        });
      }
    }
  });
  done.future().get();
  BOOST_TEST(strayed == 0);
  for (const auto& here : seen) {
    for (const auto& numbers : here) {
      BOOST_TEST(numbers.size() == static_cast<std::size_t>(kPosts));
      BOOST_TEST(std::is_sorted(numbers.begin(), numbers.end()));
    }
  }
}

WEFT_CORES_TEST_CASE(a_post_goes_around_all_schedulers) {
  int hops = 0;  // one of them has it at a time
  Promise<void> done;
  std::function<void()> hop = [&] {
    if (++hops == 1000) return done.set_value();
    on(static_cast<std::size_t>(hops) % 3).on->post([&] { hop(); });
  };
  hop();
  done.future().get();
  BOOST_TEST(hops == 1000);
}

WEFT_CORES_TEST_CASE(what_a_post_throws_reaches_the_handler_of_its_scheduler) {
  std::string said;
  on(1).on->post([&] {
    Scheduler::current().set_exception_handler([&](std::exception_ptr) {
      sleep_for(1s);
      said += &Scheduler::current() == on(1).on ? '!' : '?';
    });
  });
  run_until_blocked();
  on(1).on->post([] { throw std::runtime_error("posted"); });
  sleep_for(2s);
  BOOST_TEST(said == "!");
  spawn([] { Scheduler::current().set_exception_handler(nullptr); }, on(1)).get();
}

WEFT_CORES_TEST_CASE(calls_for_another_scheduler_are_refused) {
  const auto held = std::make_shared<int>();
  BOOST_CHECK_THROW(on(1).on->call_soon([held] {}), std::logic_error);
  BOOST_CHECK_THROW(on(1).on->call_later(1s, [held] {}), std::logic_error);
  BOOST_CHECK_THROW(on(1).on->call_at(now(), [held] {}), std::logic_error);
  BOOST_TEST(held.use_count() == 1);
}

WEFT_CORES_TEST_CASE(each_scheduler_calls_later_by_the_common_clock) {
  const TimePoint start = now();
  std::string order;  // only one of them runs at a time
  spread([&](std::size_t i) {
    Scheduler::current().call_later((3 - i) * 1s, [&, i] { order += static_cast<char>('a' + i); });
    Scheduler::current().call_at(start + (10 + i) * 1s, [&] { order += '.'; });
  });
  sleep_for(1min);
  BOOST_TEST(order == "cba...");
}

WEFT_CORES_TEST_CASE(a_call_is_cancelled_on_its_own_scheduler) {
  std::atomic<int> ran{0};
  Handle handle = spawn(
                      [&] {
                        Scheduler::current().call_later(2s, [&] { ++ran; });
                        return Scheduler::current().call_later(1s, [&] { ++ran; });
                      },
                      on(1))
                      .get();
  spawn([&] { handle.cancel(); }, on(1)).get();
  sleep_for(1h);
  BOOST_TEST(ran == 1);
}

// ---- What belongs to one ------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(all_tasks_are_those_of_one_scheduler) {
  std::vector<Task<void>> tasks;
  for (std::size_t i = 0; i < 6; ++i) {
    tasks.push_back(
        spawn([] { sleep_for(1h); },
              {.name = std::string(1, 'a' + static_cast<char>(i)), .on = on(i / 2).on}));
  }
  run_until_blocked();
  const auto names = [] {
    std::string found;
    for (const TaskInfo& task : all_tasks()) {
      if (task.id == current_task().id) continue;
      found += task.name + ":" + task.waiting_for + " ";
    }
    std::string sorted;
    for (const char name : {'a', 'b', 'c', 'd', 'e', 'f'}) {
      if (found.find(std::string(1, name) + ":sleep_for") != found.npos) sorted += name;
    }
    return sorted;
  };
  BOOST_TEST(names() == "ab");
  BOOST_TEST(spawn(names, on(1)).get() == "cd");
  BOOST_TEST(spawn(names, on(2)).get() == "ef");
}

WEFT_CORES_TEST_CASE(fiber_locals_go_along_to_other_schedulers) {
  std::array<std::string, 6> seen;
  user.set("parent");
  auto child = spawn(
      [&] {
        seen[0] = user.get();
        user.set("child");
        auto grandchild = spawn([&] { seen[1] = user.get(); }, on(2));
        user.set("child, later");
        grandchild.get();
        seen[2] = user.get();
      },
      on(1));
  Event posted;
  on(2).on->post([&] { seen[3] = user.get(), posted.set(); });
  spread([&](std::size_t i) {
    if (i == 2) seen[4] = user.get();
  });
  user.set("parent, later");
  child.get();
  posted.wait();
  seen[5] = user.get();
  const std::array<std::string, 6> expected = {"parent", "child",  "child, later",
                                               "parent", "parent", "parent, later"};
  BOOST_TEST(seen == expected);
  user.set("nobody");
}

WEFT_CORES_TEST_CASE(values_of_fiber_locals_are_destroyed_with_the_last_fiber_of_all_schedulers) {
  FiberLocal<std::shared_ptr<int>> variable;
  const auto value = std::make_shared<int>();
  auto parent = spawn(
      [&] {
        variable.set(value);
        for (std::size_t i = 0; i < 3; ++i) spawn([i] { sleep_for((i + 1) * 1s); }, on(i)).detach();
      },
      on(1));
  parent.get();
  sleep_for(2500ms);
  BOOST_TEST(value.use_count() == 2);
  sleep_for(1s);
  BOOST_TEST(value.use_count() == 1);
}

// ---- Blocking and sleeping ----------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_fiber_that_blocks_its_thread_does_not_stop_other_schedulers) {
  const auto body = [] {
    std::binary_semaphore gate(0);
    std::atomic<bool> blocked{false}, ran_behind{false};
    auto blocks = spawn(
        [&] {
          blocked = true;
          gate.acquire();  // of the standard library: it keeps the thread
        },
        on(1));
    BOOST_TEST(eventually([&] { return blocked.load(); }));
    auto behind = spawn([&] { ran_behind = true; }, on(1));
    int sum = 0;
    for (int i = 0; i < 100; ++i) {
      sum +=
          spawn([] { return sleep_for(1us), spawn([] { return 1; }, on(0)).get(); }, on(2)).get();
    }
    BOOST_TEST(sum == 100);
    BOOST_TEST(!ran_behind);
    spawn([&] { gate.release(); }, on(2)).get();
    blocks.get(), behind.get();
    BOOST_TEST(ran_behind);
  };
  run_real_time_case(body, {.threads = 3});
}

BOOST_AUTO_TEST_CASE(a_scheduler_that_is_awake_is_not_woken) {
  CountingScheduler there;
  run([&] {
    std::atomic<bool> begun{false}, release{false};
    const SpawnOptions on_it{.on = &there.scheduler};
    std::atomic<int> ran{0};
    Semaphore semaphore(0);
    auto waits = spawn([&] { semaphore.acquire(); }, on_it);
    auto busy = spawn(
        [&] {
          yield();
          begun = true;
          while (!release) std::this_thread::yield();
        },
        on_it);
    while (!begun) yield();
    const int before = there.port.wakes;
    std::vector<Task<void>> tasks;
    for (int i = 0; i < 50; ++i) {
      tasks.push_back(spawn([&] { ++ran; }, on_it));
      there.scheduler.post([&] { ++ran; });
    }
    auto cancelled = spawn([] { sleep_for(1h); }, on_it);
    cancelled.cancel();
    semaphore.release();
    BOOST_TEST(there.port.wakes == before);
    release = true;
    busy.get(), waits.get();
    for (auto& task : tasks) task.get();
    BOOST_TEST(eventually([&] { return ran == 100; }));
  });
}

BOOST_AUTO_TEST_CASE(a_scheduler_that_sleeps_is_woken_once_whatever_it_is_asked_for) {
  CountingScheduler there;
  run([&] {
    const SpawnOptions on_it{.on = &there.scheduler};
    for (int round = 0; round < 20; ++round) {
      std::atomic<int> ran{0};
      Semaphore semaphore(0);
      std::vector<Task<void>> tasks;
      for (int i = 0; i < 10; ++i) tasks.push_back(spawn([&] { semaphore.acquire(); }, on_it));
      auto cancelled = spawn([&] { sleep_for(1h); }, on_it);
      // Whoever has a turn after them knows that they wait.
      spawn([] { yield(); }, on_it).get();
      there.hold();
      const int before = there.port.wakes;
      for (int i = 0; i < 10; ++i) {
        semaphore.release();
        tasks.push_back(spawn([&] { ++ran; }, on_it));
        there.scheduler.post([&] { ++ran; });
      }
      cancelled.cancel();
      BOOST_TEST(there.port.wakes - before == 1);
      there.release();
      for (auto& task : tasks) task.get();
      BOOST_TEST(eventually([&] { return ran == 20; }));
    }
  });
}

BOOST_AUTO_TEST_CASE(a_scheduler_that_was_woken_is_woken_again_when_it_sleeps_again) {
  CountingScheduler there;
  for (int i = 0; i < 200; ++i) {
    there.hold();
    const int before = there.port.wakes;
    auto task = spawn([] { return 7; }, {.on = &there.scheduler});
    BOOST_REQUIRE(there.port.wakes - before == 1);
    there.release();
    BOOST_REQUIRE(task.get() == 7);
  }
}

BOOST_AUTO_TEST_CASE(idle_schedulers_use_no_processor) {
  for (const Duration spin : {Duration(0), Duration(1ms)}) {
    Duration used{};
    run(
        [&] {
          Event release;
          TaskGroup group;
          for (std::size_t i = 0; i < 12; ++i) {
            group.spawn([&] { release.wait(); }, on(i % 4));
            group.spawn([&] { with_timeout(1h, [&] { release.wait(); }); }, on(i % 4));
          }
          spread([] { run_in_executor([] {}); });
          sleep_for(5ms);
          const Duration before = cpu_time();
          sleep_for(100ms);
          used = cpu_time() - before;
          release.set();
          group.join();
        },
        {.threads = 4, .spin = spin});
    BOOST_TEST(used.count() < Duration(25ms).count());
  }
}

BOOST_AUTO_TEST_SUITE_END()
