#include "weft/fiber/stack_trace.h"

#include <regex.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/reports.h"

BOOST_AUTO_TEST_SUITE(stack_trace)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

using Names = std::vector<std::string>;

// Behind a call it keeps that from being the last thing that the function does: such a call would
// replace the function on the stack.
#define WEFT_NO_TAIL_CALL() asm volatile("" ::: "memory")

[[gnu::noinline]] void inner(Event& event) {
  event.wait();
  WEFT_NO_TAIL_CALL();
}
[[gnu::noinline]] void middle(Event& event) {
  inner(event);
  WEFT_NO_TAIL_CALL();
}
[[gnu::noinline]] void outer(Event& event) {
  middle(event);
  WEFT_NO_TAIL_CALL();
}
const Names kChain{"inner", "middle", "outer"};

[[gnu::noinline]] void in_catch(Event& event) {
  try {
    throw 1;
  } catch (int) {
    inner(event);
    WEFT_NO_TAIL_CALL();
  }
}

struct WaitsAtEnd {
  [[gnu::noinline]] ~WaitsAtEnd() {
    inner(event);
    WEFT_NO_TAIL_CALL();
  }
  Event& event;
};

[[gnu::noinline]] void in_destructor(Event& event) {
  const WaitsAtEnd waits{event};
  throw 1;
}

[[gnu::noinline]] void catching(Event& event) {
  try {
    in_destructor(event);
  } catch (int) {
  }
}

// The call is the last instruction: what it would return to belongs to the next function.
[[noreturn, gnu::noinline]] void wait_and_throw(Event& event) {
  event.wait();
  throw 1;
}
[[gnu::noinline]] void call_last(Event& event) { wait_and_throw(event); }

[[gnu::noinline]] StackTrace taken_here() {
  StackTrace stack = StackTrace::current();
  WEFT_NO_TAIL_CALL();
  return stack;
}

[[gnu::noinline]] StackTrace taken_below(int depth) {
  StackTrace stack = depth == 0 ? StackTrace::current() : taken_below(depth - 1);
  WEFT_NO_TAIL_CALL();
  return stack;
}

[[gnu::noinline]] void wait_below(Event& event, int depth) {
  depth == 0 ? event.wait() : wait_below(event, depth - 1);
  WEFT_NO_TAIL_CALL();
}

[[gnu::noinline]] void take_and_give(Semaphore& semaphore, int& times) {
  for (;;) {
    semaphore.acquire();
    ++times;
  }
}

[[gnu::noinline]] StackTrace own_stack(const Task<StackTrace>& self) {
  StackTrace stack = self.stack();
  WEFT_NO_TAIL_CALL();
  return stack;
}

// Where f() waits.
template <class F>
StackTrace stack_of_wait(F f, SpawnOptions options = {}) {
  Event event;
  auto task = spawn([&] { f(event); }, options);
  run_until_blocked();
  StackTrace stack = task.stack();
  event.set();
  task.get();
  return stack;
}

bool matches(const std::string& text, const char* pattern) {
  regex_t expression;
  if (regcomp(&expression, pattern, REG_EXTENDED | REG_NOSUB) != 0) return false;
  const bool found = regexec(&expression, text.c_str(), 0, nullptr, 0) == 0;
  regfree(&expression);
  return found;
}

}  // namespace

// ---- Of a task that waits -----------------------------------------------------------------------

WEFT_TEST_CASE(a_parked_task_names_the_functions_above_its_wait) {
  BOOST_TEST(innermost(3, stack_of_wait(&outer)) == kChain);
}

WEFT_TEST_CASE(a_task_parked_in_a_catch_block_names_the_functions_above_its_wait) {
  BOOST_TEST(innermost(2, stack_of_wait(&in_catch)) == Names({"inner", "in_catch"}));
}

WEFT_TEST_CASE(a_task_parked_in_a_destructor_that_unwinding_called_names_what_unwinds) {
  BOOST_TEST(innermost(4, stack_of_wait(&catching)) ==
             Names({"inner", "~WaitsAtEnd", "in_destructor", "catching"}));
}

WEFT_TEST_CASE(a_function_that_ends_with_a_call_is_named) {
  const StackTrace stack = stack_of_wait([](Event& event) {
    try {
      call_last(event);
    } catch (int) {
    }
  });
  BOOST_TEST(innermost(2, stack) == Names({"wait_and_throw", "call_last"}));
}

WEFT_TEST_CASE(a_task_that_was_started_eagerly_names_no_function_of_its_parent) {
  const Names names = functions_of(stack_of_wait(&outer, {.eager = true}));
  BOOST_TEST(Names(names.begin(), names.begin() + 3) == kChain);
  BOOST_TEST(std::ranges::count(names, "run_case") == 0);
}

WEFT_TEST_CASE(a_task_that_waits_in_the_same_place_again_has_the_same_stack) {
  Semaphore semaphore(0);
  int times = 0;
  auto task = spawn([&] { take_and_give(semaphore, times); });
  run_until_blocked();
  const StackTrace first = task.stack();
  BOOST_TEST(innermost(1, first) == Names{"take_and_give"});
  for (int i = 1; i <= 5; ++i) {
    semaphore.release();
    run_until_blocked();
    BOOST_TEST(times == i);
    BOOST_TEST((task.stack() == first), task.stack().to_string());
  }
}

WEFT_TEST_CASE(tasks_that_wait_in_the_same_place_have_equal_stacks_and_others_do_not) {
  Event event;
  std::vector<Task<void>> tasks;
  for (int i = 0; i < 2; ++i) tasks.push_back(spawn([&] { outer(event); }));
  auto other = spawn([&] { middle(event); });
  run_until_blocked();
  BOOST_TEST((tasks[0].stack() == tasks[1].stack()));
  BOOST_TEST((tasks[0].stack() != other.stack()));
  event.set();
  for (auto& task : tasks) task.get();
  other.get();
}

WEFT_TEST_CASE(a_task_that_has_not_begun_names_no_function) {
  bool ran = false;
  auto task = spawn([&] { ran = true; });
  BOOST_TEST(task.stack().to_string() == "");
  task.get();
  BOOST_TEST(ran);
}

WEFT_TEST_CASE(a_task_that_has_not_begun_on_a_stack_that_was_used_names_no_function) {
  stack_of_wait(&outer);
  auto task = spawn([] {});
  BOOST_TEST(task.stack().to_string() == "");
  task.get();
}

WEFT_TEST_CASE(a_task_that_is_ready_names_where_it_will_go_on) {
  Event event;
  auto task = spawn([&] { outer(event); });
  run_until_blocked();
  event.set();
  BOOST_TEST(innermost(3, task.stack()) == kChain);
  task.get();
}

WEFT_TEST_CASE(a_task_that_has_ended_has_no_stack) {
  auto task = spawn([] {});
  task.wait();
  BOOST_TEST(task.stack().empty());
  BOOST_TEST(task.stack().to_string() == "");
}

WEFT_TEST_CASE(a_task_has_no_stack_on_a_thread_that_does_not_run_it) {
  Event event;
  auto task = spawn([&] { outer(event); });
  run_until_blocked();
  BOOST_TEST(!task.stack().empty());
  bool empty = false;
  std::thread([&] { empty = task.stack().empty(); }).join();
  BOOST_TEST(empty);
  event.set();
  task.get();
}

WEFT_TEST_CASE(the_stack_of_the_running_task_is_its_own) {
  std::optional<Task<StackTrace>> task;
  task = spawn([&] { return own_stack(*task); });
  BOOST_TEST(innermost(1, task->get()) == Names{"own_stack"});
}

WEFT_TEST_CASE(all_tasks_has_the_same_stacks) {
  Event event;
  auto task = spawn([&] { outer(event); });
  run_until_blocked();
  bool found = false;
  for (const TaskInfo& info : all_tasks({.stacks = true})) {
    if (info.id != task.id()) continue;
    found = true;
    BOOST_TEST((info.stack == task.stack()), info.stack.to_string());
  }
  BOOST_TEST(found);
  event.set();
  task.get();
}

WEFT_TEST_CASE(the_innermost_64_frames_of_a_deep_stack_are_kept) {
  const StackTrace parked = stack_of_wait([](Event& event) { wait_below(event, 100); });
  BOOST_TEST(parked.frames().size() == StackTrace::kMaxFrames);
  const Names names = functions_of(parked);
  BOOST_TEST(names.size() > StackTrace::kMaxFrames / 2);
  BOOST_TEST(std::ranges::count(names, "wait_below") == std::ssize(names), parked.to_string());
}

// ---- Of the caller ------------------------------------------------------------------------------

WEFT_TEST_CASE(current_begins_with_its_caller) {
  const StackTrace stack = taken_here();
  BOOST_TEST(innermost(2, stack) == Names({"taken_here", "current_begins_with_its_caller_body"}));
  BOOST_TEST(StackTrace({stack.frames().data(), 1}).to_string().find("taken_here") !=
             std::string::npos);
}

WEFT_TEST_CASE(current_keeps_the_innermost_64_frames) {
  const StackTrace stack = taken_below(100);
  BOOST_TEST(stack.frames().size() == StackTrace::kMaxFrames);
  BOOST_TEST(functions_of(stack) == Names(StackTrace::kMaxFrames, "taken_below"));
}

BOOST_AUTO_TEST_CASE(current_works_on_a_plain_thread) {
  StackTrace stack;
  std::thread([&] { stack = taken_here(); }).join();
  BOOST_TEST(innermost(1, stack) == Names{"taken_here"});
  BOOST_TEST(innermost(1, taken_here()) == Names{"taken_here"});
}

WEFT_TEST_CASE(current_works_on_a_thread_of_a_pool) {
  const StackTrace stack = run_in_executor([] { return taken_here(); });
  BOOST_TEST(innermost(1, stack) == Names{"taken_here"}, stack.to_string());
}

WEFT_TEST_CASE(two_stacks_of_one_place_are_equal) {
  StackTrace stacks[2];
  for (StackTrace& stack : stacks) stack = taken_here();
  BOOST_TEST((stacks[0] == stacks[1]));
  BOOST_TEST((stacks[0] != taken_here()));
  BOOST_TEST((StackTrace() == StackTrace()));
}

// ---- As text ------------------------------------------------------------------------------------

WEFT_TEST_CASE(a_line_has_the_number_the_function_the_file_and_the_place) {
  const StackTrace stack = stack_of_wait(&outer);
  const std::vector<std::string> lines = lines_of(stack.to_string());
  BOOST_TEST(lines.size() >= 3u);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    BOOST_TEST(lines[i].starts_with("    #" + std::to_string(i) + " "), lines[i]);
    BOOST_TEST(matches(lines[i], "^    #[0-9]+ [^ ].*  [^ /]+\\+0x[0-9a-f]+$"), lines[i]);
  }
  BOOST_TEST(stack.to_string().ends_with('\n'));
}

WEFT_TEST_CASE(neither_end_of_the_text_is_of_weft) {
  for (const StackTrace& stack : {stack_of_wait(&outer), stack_of_wait(&outer, {.eager = true})}) {
    const std::vector<std::string> lines = lines_of(stack.to_string());
    BOOST_TEST_REQUIRE(!lines.empty());
    BOOST_TEST(lines.size() < stack.frames().size());
    for (const std::string& line : {lines.front(), lines.back()}) {
      BOOST_TEST(function_in(line).find("stack_trace_suite::") != std::string::npos, line);
    }
  }
}

WEFT_TEST_CASE(an_address_that_is_no_code_has_no_name) {
  int variable = 0;
  void* const frames[] = {&variable, nullptr};
  const std::vector<std::string> lines = lines_of(StackTrace(frames).to_string());
  BOOST_TEST(lines.size() == 2u);
  for (const std::string& line : lines) {
    BOOST_TEST(matches(line, "^    #[01] 0x[0-9a-f]+$"), line);
  }
}

// ---- Each kind of wait --------------------------------------------------------------------------

namespace {

template <class F>
[[gnu::noinline]] void wait_in(F& f) {
  f();
  WEFT_NO_TAIL_CALL();
}

// Checks that a task that waits in f() is shown in `call`, and its innermost function as that of
// this file.
template <class F>
void check_wait(std::string_view call, F f) {
  auto task = spawn([&] { wait_in(f); }, {.eager = true});
  std::string found;
  for (const TaskInfo& info : all_tasks()) {
    if (info.id == task.id()) found = info.waiting_for;
  }
  BOOST_TEST(found == call);
  const std::string stack = task.stack().to_string();
  const std::vector<std::string> lines = lines_of(stack);
  BOOST_TEST_REQUIRE(!lines.empty(), call);
  // With a lambda that was not inlined, which has the name of its case.
  const Names names = functions_of(stack);
  BOOST_TEST((names[0] == "wait_in" || names[0].starts_with("a_wait_in_")), call << ":\n" << stack);
  BOOST_TEST(std::ranges::count(names, "wait_in") == 1, call << ":\n" << stack);
}

}  // namespace

WEFT_TEST_CASE(a_wait_in_time_ends_in_its_call) {
  check_wait("sleep_for", [] { sleep_for(1h); });
  check_wait("sleep_until", [] { sleep_until(now() + 1h); });
}

WEFT_TEST_CASE(a_wait_in_a_lock_ends_in_its_call) {
  Mutex mutex;
  SharedMutex exclusive, shared;
  mutex.lock();
  exclusive.lock();
  shared.lock_shared();
  check_wait("Mutex::lock", [&] { mutex.lock(); });
  check_wait("Mutex::lock", [&] { (void)mutex.try_lock_for(1h); });
  check_wait("SharedMutex::lock", [&] { exclusive.lock(); });
  check_wait("SharedMutex::lock", [&] { shared.lock(); });
  check_wait("SharedMutex::lock_shared", [&] { exclusive.lock_shared(); });
  mutex.unlock();
  exclusive.unlock();
  shared.unlock_shared();
}

WEFT_TEST_CASE(a_wait_in_what_signals_ends_in_its_call) {
  Semaphore semaphore(0);
  Event event;
  Barrier barrier(2);
  Mutex mutex;
  ConditionVariable condition;
  check_wait("Semaphore::acquire", [&] { semaphore.acquire(); });
  check_wait("Event::wait", [&] { event.wait(); });
  check_wait("Event::wait", [&] { (void)event.wait_for(1h); });
  check_wait("Barrier::arrive_and_wait", [&] { barrier.arrive_and_wait(); });
  check_wait("ConditionVariable::wait", [&] {
    std::unique_lock lock(mutex);
    condition.wait(lock);
  });
}

WEFT_TEST_CASE(a_wait_in_a_queue_ends_in_its_call) {
  Queue<int> full(1), none(1), joined;
  full.push(1);
  joined.push(1);
  check_wait("Queue::push", [&] { full.push(2); });
  check_wait("Queue::pop", [&] { none.pop(); });
  check_wait("Queue::join", [&] { joined.join(); });
}

WEFT_TEST_CASE(a_wait_in_tasks_ends_in_its_call) {
  Promise<void> promise;
  const Future<void> future = promise.future();
  const std::vector futures{future};
  auto task = spawn([] { sleep_for(24h); });
  check_wait("Future::wait", [&] { future.get(); });
  check_wait("Task::wait", [&] { task.wait(); });
  check_wait("wait", [&] { wait(futures, When::first_completed); });
  check_wait("as_completed", [&] { (void)as_completed(futures).begin(); });
  check_wait("TaskGroup::join", [&] {
    TaskGroup group;
    group.spawn([&] { future.get(); });
    group.join();
  });
  check_wait("TaskGroup::join", [&] {
    with_task_group([&](TaskGroup& group) { group.spawn([&] { future.get(); }); });
  });
  Event event;
  check_wait("~Task", [&] {
    auto stubborn = spawn([&] { shield([&] { (void)event.wait_for(1s); }); }, {.eager = true});
  });
  promise.set_value();
}

WEFT_TEST_CASE(a_wait_in_call_once_ends_in_its_call) {
  Once once;
  Event event;
  auto first = spawn([&] { call_once(once, [&] { event.wait(); }); }, {.eager = true});
  check_wait("call_once", [&] { call_once(once, [] {}); });
  event.set();
  first.get();
}

WEFT_REAL_TIME_TEST_CASE(a_wait_in_a_job_ends_in_its_call) {
  Event event;
  auto releaser = spawn([&] {
    sleep_for(50ms);
    event.set();
  });
  check_wait("run_in_executor", [&] { run_in_executor([&] { event.wait(); }); });
  event.set();
}

BOOST_AUTO_TEST_SUITE_END()
