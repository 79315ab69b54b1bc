#include "weft/fiber/core/overflow.h"

#include <alloca.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <regex>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/fixture.h"
#include "weft/fiber/core/context.h"
#include "weft/fiber/core/fiber.h"
#include "weft/fiber/core/loop.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/core/stack.h"
#include "weft/fiber/core/thread_port.h"

BOOST_AUTO_TEST_SUITE(overflow)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// Of the calling thread.
stack_t alternate_stack() {
  stack_t stack;
  sigaltstack(nullptr, &stack);
  return stack;
}

}  // namespace

#if defined(WEFT_ASAN)

BOOST_AUTO_TEST_CASE(the_handler_and_the_stack_of_asan_stay) {
  struct sigaction before, within;
  sigaction(SIGSEGV, nullptr, &before);
  const stack_t stack = alternate_stack();
  run([&] {
    sigaction(SIGSEGV, nullptr, &within);
    BOOST_TEST(alternate_stack().ss_sp == stack.ss_sp);
  });
  BOOST_TEST((before.sa_sigaction == within.sa_sigaction));
}

#else

namespace {

bool has_alternate_stack() { return !(alternate_stack().ss_flags & SS_DISABLE); }

// Runs f(), which ends the process, in a child as a program would begin: Boost.Test has an
// alternate stack.
template <class F>
ChildEnd in_child(F f) {
  return run_in_child([&] {
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
    f();
    return 0;
  });
}

const char* above = nullptr;

// Its third frame prints how large it is.
[[gnu::noinline]] int parse(int depth) {
  volatile char frame[1000];
  frame[0] = static_cast<char>(depth);
  const char* const here = const_cast<const char*>(frame);
  if (depth == 3) std::fprintf(stderr, "%td bytes a frame\n", above - here);
  above = here;
  return depth == 0 ? 0 : parse(depth + 1) + frame[0];
}

[[gnu::noinline]] int ping(int depth);
[[gnu::noinline]] int pong(int depth) {
  volatile char frame[2000];
  frame[0] = static_cast<char>(depth);
  return depth == 0 ? 0 : ping(depth + 1) + frame[0];
}
int ping(int depth) {
  volatile char frame[500];
  frame[0] = static_cast<char>(depth);
  return depth == 0 ? 0 : pong(depth + 1) + frame[0];
}

[[gnu::noinline]] void handle_request() {
  volatile int result = parse(1);
  (void)result;
}

// The lowest address that a task may use; below it is the guard.
char* bottom_of(const Fiber& fiber) {
  return static_cast<char*>(fiber.pool->bottom_of(const_cast<Fiber*>(&fiber + 1)));
}

void touch(char* address) { *static_cast<volatile char*>(address) = 1; }

// Runs f(), as a fiber, in a child.
template <class F>
ChildEnd run_task(F f, const SpawnOptions& spawn_options = {.name = "session"},
                  const RunOptions& options = {}) {
  return in_child([&] { run([&] { spawn(f, spawn_options).get(); }, options); });
}

bool matches(const std::string& text, const std::string& pattern) {
  return std::regex_search(text, std::regex(pattern));
}

int count_of(std::string_view text, std::string_view words) {
  int count = 0;
  for (std::size_t at = 0; (at = text.find(words, at)) != text.npos; ++at) ++count;
  return count;
}

#define EXPECT(end, pattern) BOOST_TEST(matches((end).said, pattern), (end).said)

constexpr const char* kOverflow =
    "weft: task \\d+ \"session\" overflowed its stack of 256 KiB, at 0x";

}  // namespace

// ---- What it says -------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(an_overflow_names_the_task_and_its_functions) {
  const ChildEnd end = run_task(handle_request);
  BOOST_TEST(end.signal == SIGSEGV);
  EXPECT(end, kOverflow);
  EXPECT(end,
         "\n    #\\d+ +_Z\\w*5parseEi    overflow_test\\+0x[0-9a-f]+    1,\\d\\d\\d bytes a frame, "
         "2\\d\\d times\n");
  EXPECT(end,
         "\n    #2\\d\\d +_Z\\w*14handle_requestEv    overflow_test\\+0x[0-9a-f]+    \\d+ bytes\n");
  BOOST_TEST(count_of(end.said, "weft: ") == 1);
}

BOOST_AUTO_TEST_CASE(the_bytes_of_a_frame_are_those_that_it_takes) {
  const ChildEnd end = run_task(handle_request);
  std::smatch found;
  BOOST_REQUIRE(std::regex_search(end.said, found, std::regex("^(\\d)(\\d+) bytes a frame\n")));
  EXPECT(end, "    " + found[1].str() + "," + found[2].str() + " bytes a frame, ");
}

BOOST_AUTO_TEST_CASE(the_functions_that_have_started_the_task_are_left_out) {
  const ChildEnd end = run_task(handle_request);
  BOOST_TEST(end.said.find("fcontext") == end.said.npos, end.said);
  BOOST_TEST(end.said.find("_ZN4weft") == end.said.npos, end.said);
}

BOOST_AUTO_TEST_CASE(of_many_functions_the_first_and_the_last_are_printed) {
  const ChildEnd end = run_task([] { ping(1); });
  EXPECT(end, kOverflow);
  EXPECT(end, "\n          and \\d+ more\n");
  BOOST_TEST(count_of(end.said, "\n") == 1 + 12 + 1 + 6, end.said);
  EXPECT(end, "pingEi    overflow_test\\+0x[0-9a-f]+    5\\d\\d bytes\n");
  EXPECT(end, "pongEi    overflow_test\\+0x[0-9a-f]+    2,\\d\\d\\d bytes\n");
  // No number is left out.
  std::smatch found;
  BOOST_REQUIRE(std::regex_search(
      end.said, found, std::regex("#11 [^\n]*\n          and (\\d+) more\n    #(\\d+)")));
  BOOST_TEST(std::stoi(found[2]) == 12 + std::stoi(found[1]));
}

BOOST_AUTO_TEST_CASE(a_stack_of_another_size_and_a_task_without_a_name_are_told_as_such) {
  const ChildEnd end = run_task(handle_request, {.stack_size = 64 * 1024});
  EXPECT(end, "weft: task \\d+ overflowed its stack of 64 KiB, at 0x");
}

BOOST_AUTO_TEST_CASE(each_kind_of_task_is_named) {
  for (const bool by_another_thread : {false, true}) {
    const ChildEnd end = in_child([&] {
      run(
          [&] {
            if (by_another_thread) {
              spawn(handle_request, {.name = "session", .on = on(1).on}).get();
            } else {
              Scheduler::current().post(handle_request);
              sleep_for(1h);
            }
          },
          {.threads = 2});
    });
    BOOST_TEST(end.signal == SIGSEGV);
    EXPECT(end, "weft: task \\d+.* overflowed its stack of 256 KiB, at 0x");
    EXPECT(end, "handle_request");
  }
}

BOOST_AUTO_TEST_CASE(the_guard_may_be_of_each_kind) {
  for (const GuardKind kind : {GuardKind::kAutomatic, GuardKind::kMprotect}) {
    const ChildEnd end = in_child([&] {
      ThreadPort port;
      Loop scheduler(port, {.guards = kind});
      const auto task = spawn(handle_request, {.name = "session", .on = &scheduler});
      scheduler.run();
    });
    BOOST_TEST(end.signal == SIGSEGV);
    EXPECT(end, kOverflow);
  }
}

#if !defined(WEFT_TSAN)  // for it a switch blocks all signals

namespace {

[[gnu::noinline]] int wait_deeper(int depth, std::size_t size) {
  auto* const frame = static_cast<volatile char*>(alloca(size));
  frame[0] = static_cast<char>(depth);
  yield();
  return depth == 0 ? 0 : wait_deeper(depth + 1, 256) + frame[0];
}

}  // namespace

// Wherever it is full, also in the middle of a switch, which counts the next fiber as running.
BOOST_AUTO_TEST_CASE(a_stack_that_is_full_within_a_wait_has_overflowed) {
  for (std::size_t offset = 0; offset < 512; offset += 32) {
    const ChildEnd end = run_task([&] {
      const auto other = spawn([] {
        for (;;) yield();
      });
      wait_deeper(1, 16 + offset);
    });
    BOOST_TEST(end.signal == SIGSEGV);
    EXPECT(end, kOverflow);
  }
}

#endif

// ---- What is no overflow ------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_wild_pointer_into_the_guard_of_another_task_is_told_as_such) {
  const ChildEnd end = run_task([] {
    const auto other = spawn([] { sleep_for(1h); }, {.name = "other"});
    yield();
    touch(bottom_of(other.fiber()) - 1);
  });
  BOOST_TEST(end.signal == SIGSEGV);
  EXPECT(end,
         "^weft: task \\d+ \"session\" touched the guard page below the stack of task \\d+ "
         "\"other\", at "
         "0x[0-9a-f]+: a wild pointer, no overflow\n$");
}

BOOST_AUTO_TEST_CASE(a_wild_pointer_into_the_task_s_own_guard_is_told_as_such) {
  const ChildEnd end = run_task([] { touch(bottom_of(*current_fiber()) - 1); });
  EXPECT(end, "^weft: task (\\d+) \"session\" touched the guard page below the stack of task \\1 ");
}

namespace {

// A port that touches a byte instead of waiting, on the thread's own stack.
class WildPort final : public Port {
 public:
  TimePoint now() const noexcept override { return {}; }
  bool wait(TimePoint) override {
    touch(address);
    return false;
  }
  void wake() noexcept override {}

  char* address = nullptr;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_wild_pointer_of_the_loop_is_told_as_such) {
  const ChildEnd end = in_child([] {
    WildPort port;
    Loop scheduler(port, {});
    const auto task = spawn(
        [&port] {
          port.address = bottom_of(*current_fiber()) - 1;
          sleep_for(1h);
        },
        {.name = "session", .on = &scheduler});
    scheduler.run();
  });
  BOOST_TEST(end.signal == SIGSEGV);
  EXPECT(
      end,
      "^weft: a scheduler's loop touched the guard page below the stack of task \\d+ \"session\"");
}

BOOST_AUTO_TEST_CASE(of_other_faults_nothing_is_said) {
  for (char* const address : {static_cast<char*>(nullptr), reinterpret_cast<char*>(64)}) {
    const ChildEnd end = run_task([address] { touch(address); });
    BOOST_TEST(end.signal == SIGSEGV);
    BOOST_TEST(end.said == "");
  }
}

BOOST_AUTO_TEST_CASE(a_signal_that_was_sent_ends_the_program) {
  const ChildEnd end = run_task([] {
    kill(getpid(), SIGSEGV);
    sleep_for(1h);
  });
  BOOST_TEST(end.signal == SIGSEGV);
  BOOST_TEST(end.said == "");
}

BOOST_AUTO_TEST_CASE(an_overflow_outside_of_fibers_is_not_told_of) {
  const ChildEnd end = in_child([] {
    run([] {});
    handle_request();
  });
  BOOST_TEST(end.signal == SIGSEGV);
  BOOST_TEST(count_of(end.said, "weft: ") == 0, end.said);
}

BOOST_AUTO_TEST_CASE(nothing_is_said_where_that_is_turned_off) {
  const ChildEnd end = run_task(
      [] {
        if (has_alternate_stack()) std::fprintf(stderr, "there is a stack\n");
        handle_request();
      },
      {.name = "session"}, {.name_overflows = false});
  BOOST_TEST(end.signal == SIGSEGV);
  EXPECT(end, "^\\d+ bytes a frame\n$");
}

// ---- Other handlers -----------------------------------------------------------------------------

namespace {

void say(const char* text) { (void)!::write(STDERR_FILENO, text, std::strlen(text)); }

void set_handler(void (*handler)(int), int flags = 0) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigaction(SIGSEGV, &action, nullptr);
}

void set_handler(void (*handler)(int, siginfo_t*, void*), int flags = 0) {
  struct sigaction action {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | flags;
  sigaction(SIGSEGV, &action, nullptr);
}

constexpr int kOwnEnd = 42;

}  // namespace

BOOST_AUTO_TEST_CASE(the_handler_that_was_there_gets_the_signal) {
  const ChildEnd end = in_child([] {
    set_handler([](int number) {
      if (number == SIGSEGV) say("their handler\n");
      _exit(kOwnEnd);
    });
    run([] { spawn(handle_request, {.name = "session"}).get(); });
  });
  BOOST_TEST(end.exit_code == kOwnEnd);
  EXPECT(end, kOverflow);
  BOOST_TEST(count_of(end.said, "their handler\n") == 1, end.said);
}

BOOST_AUTO_TEST_CASE(the_handler_that_was_there_gets_what_the_system_says) {
  static char* guard;
  const ChildEnd end = in_child([] {
    set_handler([](int, siginfo_t* info, void* context) {
      const auto* const at = static_cast<char*>(info->si_addr);
      if (at < guard && at >= guard - 4096 && context) say("their handler\n");
      _exit(kOwnEnd);
    });
    run([] {
      const auto task = spawn(
          [] {
            guard = bottom_of(*current_fiber());
            handle_request();
          },
          {.name = "session"});
      sleep_for(1h);
    });
  });
  BOOST_TEST(end.exit_code == kOwnEnd);
  EXPECT(end, kOverflow);
  BOOST_TEST(count_of(end.said, "their handler\n") == 1, end.said);
}

BOOST_AUTO_TEST_CASE(a_handler_for_one_signal_gets_one) {
  const ChildEnd end = in_child([] {
    set_handler([](int) { say("their handler\n"); }, SA_RESETHAND);
    run([] { spawn(handle_request, {.name = "session"}).get(); });
  });
  BOOST_TEST(end.signal == SIGSEGV);
  BOOST_TEST(count_of(end.said, "their handler\n") == 1, end.said);
  BOOST_TEST(count_of(end.said, "overflowed") == 1, end.said);
}

BOOST_AUTO_TEST_CASE(a_handler_that_was_there_gets_other_faults_too) {
  const ChildEnd end = in_child([] {
    set_handler([](int) {
      say("their handler\n");
      _exit(kOwnEnd);
    });
    run([] { touch(nullptr); });
  });
  BOOST_TEST(end.exit_code == kOwnEnd);
  BOOST_TEST(end.said == "their handler\n");
}

BOOST_AUTO_TEST_CASE(an_ignored_signal_that_was_sent_is_ignored_and_an_overflow_is_not) {
  const ChildEnd end = in_child([] {
    std::signal(SIGSEGV, SIG_IGN);
    run([] {
      raise(SIGSEGV);
      say("went on\n");
      spawn(handle_request, {.name = "session"}).get();
    });
  });
  BOOST_TEST(end.signal == SIGSEGV);
  EXPECT(end, "^went on\n");
  EXPECT(end, kOverflow);
}

// ---- The alternate stack ------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_thread_has_an_alternate_stack_while_it_runs_a_scheduler) {
  const ChildEnd end = in_child([] {
    if (has_alternate_stack()) _exit(1);
    for (int i = 0; i < 2; ++i) {
      run([] {
        if (!has_alternate_stack() || alternate_stack().ss_size != 64 * 1024) _exit(2);
      });
      if (has_alternate_stack()) _exit(3);
    }
    run([] { handle_request(); });
  });
  BOOST_TEST(end.signal == SIGSEGV);
  EXPECT(end, "overflowed");
}

BOOST_AUTO_TEST_CASE(a_thread_keeps_the_alternate_stack_that_it_has) {
  const ChildEnd end = in_child([] {
    static char memory[16 * 1024];
    stack_t stack{};
    stack.ss_sp = memory;
    stack.ss_size = sizeof(memory);
    sigaltstack(&stack, nullptr);
    run([] {
      if (alternate_stack().ss_sp != memory) _exit(1);
    });
    if (alternate_stack().ss_sp != memory) _exit(2);
    run([] { spawn(handle_request, {.name = "session"}).get(); });
  });
  BOOST_TEST(end.signal == SIGSEGV);
  EXPECT(end, kOverflow);
  EXPECT(end, "handle_request");
}

BOOST_AUTO_TEST_CASE(on_a_small_alternate_stack_the_task_alone_is_named) {
  const ChildEnd end = in_child([] {
    static char memory[10 * 1024];
    stack_t stack{};
    stack.ss_sp = memory;
    stack.ss_size = sizeof(memory);
    sigaltstack(&stack, nullptr);
    run([] { spawn(handle_request, {.name = "session"}).get(); });
  });
  BOOST_TEST(end.signal == SIGSEGV);
  EXPECT(end, std::string(kOverflow) + "[0-9a-f]+\n$");
}

BOOST_AUTO_TEST_CASE(a_stack_that_a_fiber_sets_stays) {
  const ChildEnd end = in_child([] {
    static char memory[16 * 1024];
    run([] {
      stack_t stack{};
      stack.ss_sp = memory;
      stack.ss_size = sizeof(memory);
      sigaltstack(&stack, nullptr);
    });
    if (alternate_stack().ss_sp != memory || !has_alternate_stack()) _exit(1);
  });
  BOOST_TEST(end.exit_code == 0);
}

#endif

BOOST_AUTO_TEST_SUITE_END()
