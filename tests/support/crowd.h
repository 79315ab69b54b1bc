#ifndef WEFT_TESTS_SUPPORT_CROWD_H_
#define WEFT_TESTS_SUPPORT_CROWD_H_

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/check.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/core/context.h"
#include "weft/fiber/task.h"
#include "weft/fiber/task_group.h"
#include "weft/fiber/this_fiber.h"

namespace weft::test {

using namespace internal;

// How often a race is run, and divides how often stress repeats.
#if defined(WEFT_TSAN) || defined(WEFT_ASAN)
inline constexpr int kRounds = 200;
inline constexpr int kScale = 10;
#else
inline constexpr int kRounds = 500;
inline constexpr int kScale = 1;
#endif

// Printed, so that a failure can be repeated; taken from the environment if it is there.
inline unsigned stress_seed() {
  static const unsigned seed = [] {
    const char* given = std::getenv("WEFT_SEED");
    const unsigned chosen =
        given ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : std::random_device()();
    std::printf("WEFT_SEED=%u\n", chosen);
    return chosen;
  }();
  return seed;
}

// Starts f at once: when this returns, it waits or has ended.
template <class F>
auto spawn_now(F&& f) {
  return spawn(std::forward<F>(f), {.eager = true});
}
template <class F>
void spawn_now(TaskGroup& group, F&& f) {
  group.spawn(std::forward<F>(f), {.eager = true});
}

// On a plain thread: try_for(time) returns false, and not before the time is over.
template <class F>
void check_it_tries_in_vain(F try_for) {
  for (const Duration time : {Duration(-1), Duration(0), Duration(100'000), Duration(2'000'000)}) {
    const TimePoint deadline = Clock::now() + time;
    BOOST_TEST(!try_for(time));
    BOOST_TEST((Clock::now() >= deadline));
  }
}

// All kinds of callers that may share a primitive: fibers of two schedulers, and plain threads. By
// the machine's clock. To be used on a plain thread.
class Crowd {
 public:
  static constexpr int kFibers = 3;  // of run_all(), on each scheduler
  static constexpr int kWorkers = 2 * kFibers + 1;

  // Starts f() as a fiber.
  template <class F>
  Task<void> start(F f) {
    return spawn(f, {.on = two_.get()});
  }

  // Runs f() and g() at once, and returns when both have ended. From round to round they are
  // another pair: two fibers of one scheduler, of two, a fiber and a thread, two threads.
  template <class F, class G>
  void run_two(int round, F f, G g) {
    const int kind = round % 5;
    Task<void> first, second;
    std::thread thread;
    if (kind <= 2) first = spawn(f, {.on = one_.get()});
    if (kind == 0) second = spawn(g, {.on = one_.get()});
    if (kind == 1 || kind == 3) second = spawn(g, {.on = two_.get()});
    if (kind == 2) g();
    if (kind == 4) thread = std::thread(g);
    if (kind >= 3) f();
    if (first.valid()) first.get();
    if (second.valid()) second.get();
    if (thread.joinable()) thread.join();
  }

  // Runs f(seed, elsewhere) kWorkers times at once: in fibers of both schedulers, and here.
  // `elsewhere` is a scheduler, of two the other one.
  template <class F>
  void run_all(F f) {
    unsigned seed = 0;
    std::vector<Task<void>> tasks;
    for (int i = 0; i < kFibers; ++i) {
      tasks.push_back(spawn([&, its = ++seed] { f(its, two_.get()); }, {.on = one_.get()}));
      tasks.push_back(spawn([&, its = ++seed] { f(its, one_.get()); }, {.on = two_.get()}));
    }
    f(++seed, one_.get());
    for (auto& task : tasks) task.get();
  }

  // Calls pass(deadline, linger, draw) over and over, as run_all() does, until it was true so many
  // times; `draw` is random. Some calls have little time or none, some are cancelled, and may not
  // linger. Returns how many were in vain.
  template <class F>
  int stress(int wanted, F pass) {
    std::atomic<int> passed{0}, in_vain{0};
    run_all([&](unsigned seed, Scheduler* elsewhere) {
      std::mt19937 random(stress_seed() + seed);
      while (passed < wanted) {
        const unsigned choice = random() % 16;
        const unsigned draw = static_cast<unsigned>(random());
        bool done = false;
        if (choice == 0) {
          auto task = spawn([&] { done = pass(kForever, false, draw); }, {.on = elsewhere});
          for (unsigned pause = random() % 4; pause > 0; --pause) yield();
          task.cancel();
          task.wait();
        } else if (choice < 4) {
          done = pass(Clock::now() + Duration(random() % 20'000), true, draw);
        } else {
          done = pass(choice < 6 ? kPast : kForever, choice % 2, draw);
        }
        ++(done ? passed : in_vain);
      }
    });
    return in_vain;
  }

  // Starts f() as a fiber, and returns when it waits in `what`.
  template <class F>
  Task<void> start_until_it_waits(F f, std::string_view what) {
    auto task = spawn(f, {.name = "waits", .on = one_.get()});
    spawn(
        [&] {
          const auto waits = [&](const TaskInfo& info) {
            return info.id == task.id() && info.waiting_for == what;
          };
          while (!std::ranges::any_of(all_tasks(), waits)) yield();
        },
        {.on = one_.get()})
        .get();
    return task;
  }

 private:
  SchedulerThread one_, two_;
};

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_CROWD_H_
