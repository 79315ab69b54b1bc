#include "weft/fiber/inspect.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/fixture.h"
#include "tests/support/reports.h"
#include "weft/fiber/core/context.h"

// Sanitizers have an operator new of their own.
#if !defined(WEFT_ASAN) && !defined(WEFT_TSAN)
#define WEFT_CAN_FAIL_ALLOCATIONS

namespace {

// How many allocations of this thread go well before one fails, and then all others.
constinit thread_local long allocations_left = -1;  // negative: all

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) {
  if (allocations_left == 0) throw std::bad_alloc();
  if (allocations_left > 0) --allocations_left;
  if (void* memory = std::malloc(size ? size : 1)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

#endif

BOOST_AUTO_TEST_SUITE(inspect)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

using Lines = std::vector<std::string>;

TaskInfo info_of(std::uint64_t id) {
  for (const TaskInfo& task : all_tasks()) {
    if (task.id == id) return task;
  }
  BOOST_TEST_REQUIRE(false, "not listed: " << id);
  return {};
}

template <class T>
std::uint64_t waits_for(const Task<T>& task) {
  return info_of(task.id()).waits_for;
}

std::uint64_t own_id() { return current_task().id; }

std::string number(std::uint64_t value) { return std::to_string(value); }

// The lines of a report that are no stack.
Lines headings(std::string_view report) {
  Lines lines = lines_of(report);
  std::erase_if(lines, [](const std::string& line) { return line.starts_with("    #"); });
  return lines;
}

bool has_line(std::string_view report, const std::string& line) {
  return std::ranges::count(lines_of(report), line) == 1;
}

// The stack below that line.
Lines functions_below(std::string_view report, const std::string& beginning) {
  Lines names;
  bool below = false;
  for (const std::string& line : lines_of(report)) {
    if (!line.starts_with("    #")) {
      below = line.starts_with(beginning);
    } else if (below) {
      names.push_back(short_name(function_in(line)));
    }
  }
  return names;
}

std::size_t count_cycles(std::string_view report) {
  return static_cast<std::size_t>(std::ranges::count_if(
      lines_of(report), [](const std::string& line) { return line.starts_with("cycle"); }));
}

// Whether the report names this cycle, which may begin at any of its tasks.
bool has_cycle(std::string_view report, std::vector<std::uint64_t> ids) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    std::string line = "cycle: ";
    for (const std::uint64_t id : ids) line += "task " + number(id) + " -> ";
    line += "task " + number(ids[0]) + ": they wait for each other";
    if (has_line(report, line)) return true;
    std::rotate(ids.begin(), ids.begin() + 1, ids.end());
  }
  return false;
}

// Locks the first, and then the second when all have locked their first.
[[gnu::noinline]] void lock_both(Mutex& first, Mutex& second) {
  const std::lock_guard held(first);
  yield();
  second.lock();
  second.unlock();
}

// A plain thread that holds a lock while it lives.
template <class M>
class HeldByThread {
 public:
  explicit HeldByThread(M& mutex)
      : thread_([&] {
          const std::lock_guard held(mutex);
          holds_ = true;
          while (!release_) std::this_thread::sleep_for(100us);
        }) {
    while (!holds_) std::this_thread::sleep_for(100us);
  }
  ~HeldByThread() {
    release_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> holds_{false}, release_{false};
  std::thread thread_;
};

[[gnu::noinline]] void wait_here(Event& event) {
  event.wait();
  asm volatile("" ::: "memory");  // no tail call
}

[[gnu::noinline]] void legacy_call(std::mutex& mutex) { const std::lock_guard held(mutex); }

}  // namespace

// ---- since --------------------------------------------------------------------------------------

WEFT_TEST_CASE(since_is_the_time_that_a_task_has_waited) {
  Event event;
  const TimePoint start = now();
  auto task = spawn([&] { event.wait(); }, {.eager = true});
  sleep_for(5s);
  BOOST_TEST((info_of(task.id()).since == now() - start));
  sleep_for(1h);
  BOOST_TEST((info_of(task.id()).since == now() - start));
  BOOST_TEST((now() - start == 1h + 5s));
  event.set();
  task.get();
}

WEFT_TEST_CASE(since_begins_anew_with_each_wait) {
  Semaphore semaphore(0);
  auto task = spawn(
      [&] {
        semaphore.acquire();
        semaphore.acquire();
      },
      {.eager = true});
  sleep_for(5s);
  semaphore.release();
  sleep_for(3s);
  BOOST_TEST((info_of(task.id()).since == 3s));
  semaphore.release();
  task.get();
}

WEFT_TEST_CASE(a_task_that_runs_or_is_ready_has_run_for_no_virtual_time) {
  sleep_for(5s);
  auto ready = spawn([] {});
  BOOST_TEST((current_task().since == 0s));
  BOOST_TEST((info_of(ready.id()).since == 0s));
  ready.get();
}

// ---- waits_for ----------------------------------------------------------------------------------

WEFT_TEST_CASE(a_waiter_for_a_mutex_waits_for_its_holder) {
  Mutex mutex;
  std::unique_lock held(mutex);
  auto first = spawn([&] { const std::lock_guard lock(mutex); });
  auto second = spawn([&] { const std::lock_guard lock(mutex); });
  run_until_blocked();
  BOOST_TEST(waits_for(first) == own_id());
  BOOST_TEST(waits_for(second) == own_id());
  held.unlock();
  first.get();
  second.get();
}

WEFT_TEST_CASE(a_waiter_for_a_shared_mutex_waits_for_its_exclusive_holder) {
  SharedMutex mutex;
  mutex.lock();
  auto writer = spawn([&] {
    mutex.lock();
    mutex.unlock();
  });
  auto reader = spawn([&] {
    mutex.lock_shared();
    mutex.unlock_shared();
  });
  run_until_blocked();
  BOOST_TEST(waits_for(writer) == own_id());
  BOOST_TEST(waits_for(reader) == own_id());
  mutex.unlock();
  writer.get();
  reader.get();
}

WEFT_TEST_CASE(the_shared_holders_of_a_mutex_are_not_known) {
  SharedMutex mutex;
  mutex.lock_shared();
  auto writer = spawn([&] {
    mutex.lock();
    mutex.unlock();
  });
  run_until_blocked();
  BOOST_TEST(info_of(writer.id()).waiting_for == "SharedMutex::lock");
  BOOST_TEST(waits_for(writer) == 0u);
  const std::string report = printed_tasks();
  BOOST_TEST(has_line(report, "task " + number(writer.id()) + " waits 0.00 s in SharedMutex::lock"),
             report);
  mutex.unlock_shared();
  writer.get();
}

WEFT_TEST_CASE(a_waiter_in_call_once_waits_for_the_caller) {
  Once once;
  Event event;
  auto caller = spawn([&] { call_once(once, [&] { event.wait(); }); }, {.eager = true});
  auto waiter = spawn([&] { call_once(once, [] {}); }, {.eager = true});
  BOOST_TEST(waits_for(waiter) == caller.id());
  BOOST_TEST(waits_for(caller) == 0u);
  event.set();
  caller.get();
  waiter.get();
}

WEFT_TEST_CASE(a_waiter_for_a_task_waits_for_that) {
  Event event;
  auto task = spawn([&] { event.wait(); });
  auto waiter = spawn([&] { task.wait(); });
  auto timed = spawn([&] { (void)task.wait_for(1h); });
  run_until_blocked();
  BOOST_TEST(waits_for(waiter) == task.id());
  BOOST_TEST(waits_for(timed) == task.id());
  event.set();
  for (auto* each : {&task, &waiter, &timed}) each->wait();
}

WEFT_TEST_CASE(a_wait_for_all_of_several_tasks_is_for_the_first_that_has_not_ended) {
  Event events[2];
  std::vector<Task<void>> tasks;
  for (Event& event : events) tasks.push_back(spawn([&] { event.wait(); }));
  auto waiter = spawn([&] { wait(tasks); });
  run_until_blocked();
  BOOST_TEST(info_of(waiter.id()).waiting_for == "wait");
  BOOST_TEST(waits_for(waiter) == tasks[0].id());
  events[0].set();
  run_until_blocked();
  BOOST_TEST(waits_for(waiter) == tasks[1].id());
  events[1].set();
  waiter.get();
}

WEFT_TEST_CASE(a_destructor_of_a_handle_waits_for_the_task) {
  Event event;
  std::uint64_t id = 0;
  auto waiter = spawn([&] {
    auto task = spawn([&] { shield([&] { event.wait(); }); }, {.eager = true});
    id = task.id();
  });
  run_until_blocked();
  BOOST_TEST(info_of(waiter.id()).waiting_for == "~Task");
  BOOST_TEST(waits_for(waiter) == id);
  event.set();
  waiter.get();
}

WEFT_TEST_CASE(a_join_of_a_group_waits_for_a_child_that_has_not_ended) {
  Event events[2];
  std::vector<std::uint64_t> ids;
  auto waiter = spawn([&] {
    TaskGroup group;
    for (Event& event : events) {
      group.spawn([&] {
        ids.push_back(own_id());
        event.wait();
      });
    }
    group.join();
  });
  run_until_blocked();
  BOOST_TEST(std::ranges::count(ids, waits_for(waiter)) == 1);
  events[0].set();
  run_until_blocked();
  BOOST_TEST(waits_for(waiter) == ids[1]);
  events[1].set();
  waiter.get();
}

WEFT_TEST_CASE(other_waits_are_for_no_task) {
  Event event;
  Semaphore semaphore(0);
  Queue<int> queue;
  Promise<void> promise;
  TaskGroup group;
  group.spawn([] { sleep_for(1s); });
  group.spawn([&] { event.wait(); });
  group.spawn([&] { semaphore.acquire(); });
  group.spawn([&] { queue.pop(); });
  group.spawn([future = promise.future()] { future.get(); });
  run_until_blocked();
  BOOST_TEST(all_tasks().size() == 6u);
  for (const TaskInfo& task : all_tasks()) BOOST_TEST(task.waits_for == 0u, task.waiting_for);
  event.set();
  semaphore.release();
  queue.push(1);
  promise.set_value();
  group.join();
}

WEFT_TEST_CASE(a_lock_that_a_thread_holds_is_of_no_task) {
  Mutex mutex;
  auto holder = std::make_unique<HeldByThread<Mutex>>(mutex);
  auto waiter = spawn([&] { const std::lock_guard lock(mutex); }, {.eager = true});
  BOOST_TEST(waits_for(waiter) == 0u);
  const std::string report = printed_tasks();
  BOOST_TEST(has_line(report, "task " + number(waiter.id()) +
                                  " waits 0.00 s in Mutex::lock, for a thread, or a task that is "
                                  "not listed"),
             report);
  holder.reset();
  waiter.get();
}

WEFT_TEST_CASE(the_waiter_that_a_lock_is_offered_to_holds_it) {
  Mutex mutex;
  std::unique_lock held(mutex);
  Event event;
  auto heir = spawn([&] {
    const std::lock_guard lock(mutex);
    event.wait();
  });
  auto last = spawn([&] { const std::lock_guard lock(mutex); });
  run_until_blocked();
  held.unlock();
  run_until_blocked();
  BOOST_TEST(waits_for(last) == heir.id());
  event.set();
  heir.get();
  last.get();
}

// ---- all_tasks and names ------------------------------------------------------------------------

WEFT_TEST_CASE(stacks_are_taken_only_if_asked_for) {
  auto task = spawn([] { sleep_for(1h); }, {.eager = true});
  for (const TaskInfo& info : all_tasks()) BOOST_TEST(info.stack.empty());
  for (const TaskInfo& info : all_tasks({.stacks = true})) BOOST_TEST(!info.stack.empty());
  BOOST_TEST(all_tasks().size() == 2u);
}

WEFT_TEST_CASE(a_task_can_be_renamed) {
  auto task = spawn(
      [] {
        set_task_name("request 1");
        yield();
        return current_task().name;
      },
      {.name = "worker", .eager = true});
  BOOST_TEST(task.name() == "request 1");
  task.set_name("request 2");
  BOOST_TEST(task.name() == "request 2");
  BOOST_TEST(info_of(task.id()).name == "request 2");
  BOOST_TEST(task.get() == "request 2");
}

WEFT_TEST_CASE(a_new_name_is_cut_to_31_bytes) {
  const std::string name(100, 'n');
  set_task_name(name);
  BOOST_TEST(current_task().name == name.substr(0, 31));
  set_task_name("");
  BOOST_TEST(current_task().name == "");
  auto task = spawn([] {});
  task.set_name(name);
  BOOST_TEST(task.name() == name.substr(0, 31));
  task.get();
}

WEFT_TEST_CASE(a_thread_that_does_not_run_a_task_cannot_rename_it) {
  auto task = spawn([] { sleep_for(1h); }, {.name = "old"});
  std::thread([&] {
    BOOST_CHECK_THROW(set_task_name("new"), std::logic_error);
    BOOST_CHECK_THROW(task.set_name("new"), std::logic_error);
  }).join();
  BOOST_CHECK_THROW(Task<void>().set_name("new"), std::logic_error);
  BOOST_CHECK_THROW(Task<void>().stack(), std::logic_error);
  BOOST_TEST(task.name() == "old");
}

// ---- print_tasks --------------------------------------------------------------------------------

WEFT_TEST_CASE(tasks_that_wait_in_the_same_place_are_printed_together) {
  Event event;
  std::vector<Task<void>> tasks;
  for (int i = 0; i < 3; ++i) {
    tasks.push_back(spawn([&] { wait_here(event); }, {.name = "session", .eager = true}));
    sleep_for(1s);
  }
  auto other = spawn([&] { event.wait(); }, {.name = "other", .eager = true});
  sleep_for(10ms);
  const std::string report = printed_tasks();
  Lines lines = headings(report);
  BOOST_TEST_REQUIRE(lines.size() == 5u, report);
  std::sort(lines.begin() + 3, lines.end());  // by their code's addresses
  BOOST_TEST(lines[0].starts_with("weft: 5 tasks on 1 scheduler, pid " + number(getpid())), report);
  BOOST_TEST(lines[1] == "scheduler 0: thread " + number(syscall(SYS_gettid)) + ", 0 ready");
  BOOST_TEST(lines[2] == "task " + number(own_id()) + " \"main\" runs for 0.00 s");
  BOOST_TEST(lines[3] == "3 tasks \"session\" (" + number(tasks[0].id()) + " ... " +
                             number(tasks[2].id()) + ") wait 1.01 to 3.01 s in Event::wait");
  BOOST_TEST(lines[4] == "task " + number(other.id()) + " \"other\" waits 0.01 s in Event::wait");
  BOOST_TEST(functions_below(report, "3 tasks").front() == "wait_here", report);
  event.set();
  for (auto& task : tasks) task.get();
  other.get();
}

WEFT_TEST_CASE(of_equal_tasks_with_different_names_the_first_and_the_last_are_named) {
  Event event;
  std::vector<Task<void>> tasks;
  for (const char* name : {"a", "b", ""}) {
    tasks.push_back(spawn([&] { event.wait(); }, {.name = name, .eager = true}));
  }
  const std::string report = printed_tasks();
  BOOST_TEST(has_line(report, "3 tasks, task " + number(tasks[0].id()) + " \"a\" ... task " +
                                  number(tasks[2].id()) + " wait 0.00 to 0.00 s in Event::wait"),
             report);
  event.set();
  for (auto& task : tasks) task.get();
}

WEFT_TEST_CASE(ready_tasks_are_counted_and_printed) {
  std::vector<Task<void>> tasks;
  for (int i = 0; i < 3; ++i) tasks.push_back(spawn([] {}));
  const std::string report = printed_tasks();
  BOOST_TEST(report.find(", 3 ready\n") != std::string::npos, report);
  BOOST_TEST(has_line(report, "3 tasks (" + number(tasks[0].id()) + " ... " +
                                  number(tasks[2].id()) + ") are ready"),
             report);
  for (auto& task : tasks) task.get();
}

WEFT_TEST_CASE(a_waiter_is_printed_with_what_it_waits_for) {
  Mutex mutex;
  std::unique_lock held(mutex);
  auto waiter = spawn([&] { const std::lock_guard lock(mutex); }, {.name = "w", .eager = true});
  sleep_for(2s);
  const std::string report = printed_tasks();
  BOOST_TEST(has_line(report, "task " + number(waiter.id()) +
                                  " \"w\" waits 2.00 s in Mutex::lock, for task " +
                                  number(own_id()) + " \"main\""),
             report);
  BOOST_TEST(count_cycles(report) == 0u, report);
  held.unlock();
  waiter.get();
}

WEFT_TEST_CASE(two_tasks_that_lock_in_opposite_orders_are_a_cycle) {
  Mutex a, b;
  auto first = spawn([&] { lock_both(a, b); });
  auto second = spawn([&] { lock_both(b, a); });
  run_until_blocked();
  auto behind = spawn([&] { const std::lock_guard lock(a); }, {.eager = true});
  const std::string report = printed_tasks();
  BOOST_TEST(count_cycles(report) == 1u, report);
  BOOST_TEST(has_cycle(report, {first.id(), second.id()}), report);
  BOOST_TEST(functions_below(report, "task " + number(first.id())).front() == "lock_both", report);
  first.cancel();
  second.get();
  behind.get();
}

WEFT_TEST_CASE(three_tasks_that_lock_in_a_circle_are_a_cycle) {
  Mutex mutexes[3];
  std::vector<Task<void>> tasks;
  for (std::size_t i = 0; i < 3; ++i) {
    tasks.push_back(spawn([&, i] { lock_both(mutexes[i], mutexes[(i + 1) % 3]); }));
  }
  run_until_blocked();
  const std::string report = printed_tasks();
  BOOST_TEST(count_cycles(report) == 1u, report);
  BOOST_TEST(has_cycle(report, {tasks[0].id(), tasks[1].id(), tasks[2].id()}), report);
  tasks[0].cancel();
  tasks[1].get();
  tasks[2].get();
}

WEFT_TEST_CASE(two_tasks_that_join_each_other_are_a_cycle) {
  Task<void> first, second;
  first = spawn([&] { second.wait(); });
  second = spawn([&] { first.wait(); });
  run_until_blocked();
  const std::string report = printed_tasks();
  BOOST_TEST(count_cycles(report) == 1u, report);
  BOOST_TEST(has_cycle(report, {first.id(), second.id()}), report);
  first.cancel();
  second.get();
}

WEFT_TEST_CASE(two_cycles_are_both_named) {
  Mutex mutexes[4];
  std::vector<Task<void>> tasks;
  for (std::size_t i = 0; i < 4; ++i) {
    tasks.push_back(spawn([&, i] { lock_both(mutexes[i], mutexes[i ^ 1]); }));
  }
  run_until_blocked();
  const std::string report = printed_tasks();
  BOOST_TEST(count_cycles(report) == 2u, report);
  BOOST_TEST(has_cycle(report, {tasks[0].id(), tasks[1].id()}), report);
  BOOST_TEST(has_cycle(report, {tasks[2].id(), tasks[3].id()}), report);
  tasks[0].cancel();
  tasks[2].cancel();
}

WEFT_TEST_CASE(a_chain_of_waits_is_no_cycle) {
  Event event;
  auto last = spawn([&] { event.wait(); }, {.name = "last"});
  auto middle = spawn([&] { last.wait(); }, {.name = "middle"});
  auto first = spawn([&] { middle.wait(); });
  run_until_blocked();
  const std::string report = printed_tasks();
  BOOST_TEST(count_cycles(report) == 0u, report);
  BOOST_TEST(report.find("in Task::wait, for task " + number(middle.id()) + " \"middle\"") !=
                 std::string::npos,
             report);
  BOOST_TEST(report.find("in Task::wait, for task " + number(last.id()) + " \"last\"") !=
                 std::string::npos,
             report);
  event.set();
  for (auto* task : {&last, &middle, &first}) task->wait();
}

WEFT_TEST_CASE(a_plain_thread_prints_the_tasks) {
  Event event;
  auto task = spawn([&] { wait_here(event); }, {.name = "parked", .eager = true});
  std::string report;
  std::atomic<bool> printed{false};
  std::thread thread([&] {
    report = printed_tasks();
    printed = true;
  });
  BOOST_TEST(eventually([&] { return printed.load(); }));
  thread.join();
  const std::string line = "task " + number(task.id()) + " \"parked\" waits ";
  BOOST_TEST(functions_below(report, line).front() == "wait_here", report);
  event.set();
  task.get();
}

BOOST_AUTO_TEST_CASE(without_schedulers_there_is_nothing_to_print) {
  const Lines lines = lines_of(printed_tasks());
  BOOST_TEST(lines.size() == 1u);
  BOOST_TEST(lines[0].starts_with("weft: 0 tasks on 0 schedulers, pid " + number(getpid())),
             lines[0]);
}

BOOST_AUTO_TEST_CASE(a_scheduler_that_no_thread_runs_does_not_run) {
  Runtime runtime;
  std::string report;
  std::thread([&] { report = printed_tasks(); }).join();
  BOOST_TEST(has_line(report, "scheduler 0 does not run now"), report);
}

WEFT_TEST_CASE(a_child_process_does_not_print_the_tasks_of_its_parent) {
  auto task = spawn([] { sleep_for(1h); }, {.eager = true});
  const ChildEnd end = run_in_child([] {
    print_tasks();
    return 0;
  });
  BOOST_TEST(end.exit_code == 0, end.said);
  BOOST_TEST(end.said.starts_with("weft: 0 tasks on 0 schedulers, pid "), end.said);
}

// ---- A scheduler that is stuck ------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_fiber_that_blocks_its_thread_is_printed_with_its_stack) {
  run(
      [] {
        Event event;
        std::mutex mutex;
        std::unique_lock held(mutex);
        std::atomic<bool> begun{false};
        auto parked = spawn([&] { wait_here(event); }, {.name = "parked", .on = on(1).on});
        auto stuck = spawn(
            [&] {
              begun = true;
              legacy_call(mutex);
            },
            {.name = "stuck", .on = on(1).on});
        BOOST_TEST(eventually([&] { return begun.load(); }));
        const std::string report = printed_tasks();
        held.unlock();
        event.set();
        stuck.get();
        parked.get();
        const Lines lines = headings(report);
        const auto scheduler = std::ranges::find_if(lines, [](const std::string& line) {
          return line.starts_with("scheduler 1: thread ");
        });
        BOOST_TEST_REQUIRE((scheduler != lines.end()), report);
#if defined(WEFT_TSAN)
        BOOST_TEST(scheduler->ends_with(", does not answer"), report);
#else
        BOOST_TEST(scheduler->ends_with(", 0 ready, held up"), report);
        const Lines names =
            functions_below(report, "task " + number(stuck.id()) + " \"stuck\" runs for ");
        BOOST_TEST(std::ranges::count(names, "legacy_call") == 1, report);
        const Lines others =
            functions_below(report, "task " + number(parked.id()) + " \"parked\" waits ");
        BOOST_TEST(std::ranges::count(others, "wait_here") == 1, report);
#endif
      },
      {.threads = 2});
}

#if !defined(WEFT_TSAN)

WEFT_TEST_CASE(a_fiber_that_waits_for_the_printing_thread_is_printed) {
  std::string report;
  std::thread thread([&] { report = printed_tasks(); });
  thread.join();
  BOOST_TEST(report.find(", held up\n") != std::string::npos, report);
  const Lines names = functions_below(report, "task " + number(own_id()) + " \"main\" runs for ");
  BOOST_TEST(
      std::ranges::count(names, "a_fiber_that_waits_for_the_printing_thread_is_printed_body") == 1,
      report);
}

#endif

// ---- Many, and little memory --------------------------------------------------------------------

#if !defined(WEFT_TSAN)  // which ends at 8,128 threads and fibers

WEFT_TEST_CASE(of_12_000_tasks_10_000_are_listed_and_the_others_counted) {
  TaskGroup group;
  Event event;
  for (int i = 0; i < 12'000; ++i) {
    group.spawn([&] { event.wait(); }, {.stack_size = 32 * 1024});
  }
  run_until_blocked();
  const std::string report = printed_tasks();
  const Lines lines = headings(report);
  BOOST_TEST_REQUIRE(lines.size() >= 4u, report);
  BOOST_TEST(lines[0].starts_with("weft: 12,001 tasks on 1 scheduler"), lines[0]);
  BOOST_TEST(lines.back() == "2,001 more tasks, which are not listed");
  std::size_t listed = 0;
  for (const std::string& line : Lines(lines.begin() + 2, lines.end() - 1)) {
    std::string count = line.substr(0, line.find(' '));
    std::erase(count, ',');
    listed += count == "task" ? 1 : std::stoul(count);
  }
  BOOST_TEST(listed == 10'000u, report);
  event.set();
  group.join();
}

#endif

// ---- TaskInfo::cancel() -------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_listed_task_can_be_cancelled_without_a_handle) {
  const TimePoint start = now();
  auto cancelled = spawn([] { sleep_for(1h); }, {.name = "this one"});
  auto other = spawn([] { sleep_for(1s); });
  run_until_blocked();
  for (const TaskInfo& task : all_tasks()) {
    if (task.name == "this one") task.cancel();
  }
  BOOST_CHECK_THROW(cancelled.get(), TaskCancelled);
  BOOST_TEST((now() == start));
  other.get();
}

WEFT_SHUFFLED_TEST_CASE(a_task_may_cancel_itself) {
  auto task = spawn([] {
    current_task().cancel();
    BOOST_TEST(throws_cancelled([] { sleep_for(1h); }));
    return 7;
  });
  BOOST_TEST(task.get() == 7);
}

WEFT_SHUFFLED_TEST_CASE(a_call_is_cancelled_and_not_the_one_after_it) {
  int ended = 0;
  TaskInfo first;
  Event second_may_end;
  Scheduler::current().post([&] {
    first = current_task();
    ended += throws_cancelled([] { sleep_for(1h); });
  });
  run_until_blocked();
  first.cancel();
  run_until_blocked();
  BOOST_TEST(ended == 1);
  first.cancel();  // its runner rests
  Scheduler::current().post([&] {
    first.cancel();
    second_may_end.wait();
    ++ended;
  });
  run_until_blocked();
  first.cancel();
  second_may_end.set();
  run_until_blocked();
  BOOST_TEST(ended == 2);
}

// Its stack and block are used again by the next task.
WEFT_TEST_CASE(a_task_that_has_ended_is_cancelled_without_effect_on_the_next_one) {
  std::vector<TaskInfo> ended;
  for (int i = 0; i < 100; ++i) {
    spawn([&] { ended.push_back(current_task()); }).get();
    auto next = spawn([] { sleep_for(1s), yield(); });
    run_until_blocked();
    for (const TaskInfo& task : ended) task.cancel();
    next.get();
  }
  auto task = spawn([] { return current_task(); });  // it has ended, and its handle is there
  task.wait();
  const TaskInfo info = task.get();
  info.cancel();
  TaskInfo().cancel();
  yield();
}

#if defined(WEFT_CAN_FAIL_ALLOCATIONS)

WEFT_TEST_CASE(whatever_memory_there_is_less_is_printed) {
  Mutex a, b;
  auto first = spawn([&] { lock_both(a, b); });
  auto second = spawn([&] { lock_both(b, a); });
  run_until_blocked();
  const auto print = [](long allocations) {
    char* text = nullptr;
    std::size_t size = 0;
    std::FILE* const file = open_memstream(&text, &size);
    allocations_left = allocations;
    print_tasks(file);
    allocations_left = -1;
    std::fclose(file);
    std::string printed(text, size);
    std::free(text);
    return printed;
  };
  std::string all, printed;
  for (long allocations = -1; printed != all || all.empty(); ++allocations) {
    BOOST_TEST_REQUIRE(allocations < 1'000, printed << "instead of:\n" << all);
    printed = print(allocations);
    if (allocations < 0) {
      all = std::exchange(printed, "");
      continue;
    }
    BOOST_TEST(printed.starts_with("weft: "), printed);
    BOOST_TEST(printed.ends_with('\n'), printed);
  }
  first.cancel();
  second.get();
}

#endif

BOOST_AUTO_TEST_SUITE_END()
